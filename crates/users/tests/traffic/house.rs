//! One data folder with all the crates that change users; opening it again is a restart.

use crate::model::{LAKE_USERS, id, purchases};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use object_store::local::LocalFileSystem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_fold::ColumnBuilder;
use taghouse_index::{Index, LiveOptions};
use taghouse_lake::{Lake, layout};
use taghouse_model::{AppId, Clock, TimestampMs, Value};
use taghouse_produce::Producer;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};
use taghouse_users::Users;

const NOW_MS: TimestampMs = 1_700_000_000_000;

const DEFINITIONS: &str = r"
kind: app
id: shop
time_zone: UTC
---
kind: source
name: shop
format: csv
user_id: user
event: purchase
time: time
properties:
  quantity: { column: quantity, type: int }
---
{ kind: source, name: live, format: segment, attributes: { note: { column: note, type: text } } }
---
{ kind: tag, name: amount, type: int, aggregate: { function: sum, value: quantity } }
---
{ kind: tag, name: best, type: int, aggregate: { function: max, value: quantity } }
---
{ kind: tag, name: note, type: enum, attribute: note }
";

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> TimestampMs {
        NOW_MS
    }
}

pub(crate) struct House {
    pub(crate) app: AppId,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) users: Arc<Users>,
    pub(crate) producer: Arc<Producer>,
    lake: Arc<Lake>,
}

impl House {
    pub(crate) async fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("objects")).unwrap();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let lake =
            Arc::new(Lake::open(catalog.clone(), &folder.join("lake"), clock.clone()).unwrap());
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.join("objects")).unwrap());
        // Small, so that files change and tags are flushed again and again.
        let options = LiveOptions {
            tick: Duration::from_millis(20),
            file_bytes: 64 << 10,
            checkpoint_changes: 3_000,
            flush_changes: 300,
            flush_share: u64::MAX,
            flush_every: Some(Duration::from_millis(30)),
            ..LiveOptions::default()
        };
        let index = Index::new(store.clone(), catalog.clone())
            .local(folder.join("objects"))
            .with_live(folder.join("live"), options);
        let index = Arc::new(index);
        index.flush_in_background();
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary")).unwrap());
        let crowds = Arc::new(Crowds::new(
            store,
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            clock.clone(),
        ));
        let users = Arc::new(Users::new(
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            crowds.clone(),
            clock,
        ));
        users.settle().await.unwrap();
        let producer = Arc::new(Producer::new(
            catalog,
            lake.clone(),
            index.clone(),
            dictionary.clone(),
            folder.join("scratch"),
        ));
        let file = DefinitionFile { path: "shop.yaml".to_owned(), text: DEFINITIONS.to_owned() };
        let definitions =
            Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap());
        Self {
            app: AppId::new("shop").unwrap(),
            definitions,
            index,
            dictionary,
            crowds,
            users,
            producer,
            lake,
        }
    }

    /// The purchases of all users of the lake.
    pub(crate) async fn buy(&self) {
        let layout = layout::events(&self.definitions.properties());
        let table = self.lake.ensure(&self.app, &layout).await.unwrap();
        let rows: Vec<(u32, i64)> = (0..LAKE_USERS)
            .flat_map(|user| purchases(user).map(|quantity| (user, quantity)))
            .collect();
        let columns = layout.columns.iter().map(|column| {
            let mut builder = ColumnBuilder::new(column.value);
            for (number, (user, quantity)) in rows.iter().enumerate() {
                let value = match column.name.as_str() {
                    "user_id" => Some(Value::text(&id(*user))),
                    "event" => Some(Value::text("purchase")),
                    "time" | "received_at" => Some(Value::Time(NOW_MS - 86_400_000)),
                    "message_id" => Some(Value::text(&number.to_string())),
                    "source" => Some(Value::text("shop")),
                    "quantity" => Some(Value::Int(*quantity)),
                    _ => None,
                };
                builder.push(value.as_ref());
            }
            let array = builder.finish();
            (Field::new(&column.name, array.data_type().clone(), true), array)
        });
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.unzip();
        let mut writer = table.writer();
        writer
            .write(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
            .await
            .unwrap();
        let mut commit = self.lake.begin(&self.app);
        commit.append(&table, writer.close().await.unwrap());
        commit.commit().await.unwrap();
    }

    /// Produces all tags; the position that they subsume.
    pub(crate) async fn produce(&self) -> u64 {
        let produced =
            self.producer.produce(&self.app, &self.definitions, NOW_MS, None, &|_, _| ()).await;
        produced
            .unwrap_or_else(|error| panic!("a production beside traffic: {error}"))
            .flushed_through
            .unwrap()
    }
}
