use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_dictionary::Dictionary;
use taghouse_fold::{ColumnBuilder, ColumnReader};
use taghouse_index::Index;
use taghouse_lake::{Lake, TableLayout, layout};
use taghouse_model::{AppId, Clock, Name, TimestampMs, Value, ValueType};
use taghouse_produce::{Produced, Producer};
use taghouse_rules::Definitions;
use tempfile::TempDir;

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> TimestampMs {
        1_700_000_000_000
    }
}

pub(crate) struct House {
    _folder: TempDir,
    pub(crate) app: AppId,
    lake: Arc<Lake>,
    pub(crate) index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    producer: Producer,
}

/// A small generator of our own, so that the events are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// 2023-03-01T00:00Z
const BEGIN_MS: i64 = 1_677_628_800_000;

type Row = BTreeMap<&'static str, Value>;

impl House {
    /// Forty-five days of events of some 120 users; the last days are after the as-of times of the
    /// tests.
    pub(crate) async fn with_shop(events: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let lake = Arc::new(
            Lake::open(catalog.clone(), &folder.path().join("lake"), Arc::new(Still)).unwrap(),
        );
        let index =
            Arc::new(Index::new(Arc::new(object_store::memory::InMemory::new()), catalog.clone()));
        let dictionary = Arc::new(Dictionary::open(&folder.path().join("dictionary")).unwrap());
        let producer = Producer::new(
            catalog,
            lake.clone(),
            index.clone(),
            dictionary.clone(),
            folder.path().join("scratch"),
        );
        let house = Self {
            _folder: folder,
            app: AppId::new("shop").unwrap(),
            lake,
            index,
            dictionary,
            producer,
        };
        let definitions = crate::shop::definitions(crate::shop::BASE);
        let mut dice = Dice(7);
        house
            .append(
                &layout::events(&definitions.properties()),
                (0..events).map(|i| event(&mut dice, i)).collect(),
            )
            .await;
        house
            .append(
                &layout::attributes(),
                (0..events / 5).map(|i| attribute(&mut dice, i)).collect(),
            )
            .await;
        house
    }

    async fn append(&self, layout: &TableLayout, rows: Vec<Row>) {
        let table = self.lake.ensure(&self.app, layout).await.unwrap();
        let mut writer = table.writer();
        for part in rows.chunks(rows.len() / 3 + 1) {
            let arrays = layout.columns.iter().map(|column| {
                let mut builder = ColumnBuilder::new(column.value);
                part.iter().for_each(|row| builder.push(row.get(column.name.as_str())));
                builder.finish()
            });
            let arrays: Vec<_> = arrays.collect();
            let fields: Vec<Field> = layout
                .columns
                .iter()
                .zip(&arrays)
                .map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true))
                .collect();
            writer
                .write(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
                .await
                .unwrap();
        }
        let mut commit = self.lake.begin(&self.app);
        commit.append(&table, writer.close().await.unwrap());
        commit.commit().await.unwrap();
    }

    pub(crate) async fn produce(
        &self,
        definitions: &Arc<Definitions>,
        as_of_ms: TimestampMs,
        only: Option<&[Name]>,
    ) -> taghouse_produce::Result<Produced> {
        self.producer.produce(&self.app, definitions, as_of_ms, only, &|_, _| ()).await
    }

    /// The tag in the index, by user id.
    pub(crate) async fn indexed(&self, tag: &str) -> BTreeMap<String, Value> {
        let snapshot = self.index.snapshot(&self.app).await.unwrap().unwrap();
        let segment = snapshot.tag(tag).unwrap().unwrap();
        let ordinals: Vec<u32> = snapshot.users().iter().collect();
        let ids = self.dictionary.resolve(&self.app, &ordinals).unwrap();
        let value = |(ordinal, id): (u32, Option<String>)| {
            segment.value_of(ordinal).unwrap().map(|value| (id.unwrap(), value))
        };
        ordinals.into_iter().zip(ids).filter_map(value).collect()
    }

    /// A query's `user_id, value`, as values of a type; each user once.
    pub(crate) async fn query(&self, query: &str, ty: ValueType) -> BTreeMap<String, Value> {
        let (_, batches) =
            self.lake.sql(&self.app, query, &[]).await.unwrap_or_else(|e| panic!("{e}\n{query}"));
        let batches: Vec<RecordBatch> =
            batches.try_collect().await.unwrap_or_else(|e| panic!("{e}\n{query}"));
        let wanted = ColumnBuilder::new(ty).finish().data_type().clone();
        let mut values = BTreeMap::new();
        for batch in &batches {
            let column = cast(batch.column(1), &wanted).unwrap_or_else(|e| panic!("{e}\n{query}"));
            assert_eq!(column.null_count(), batch.column(1).null_count(), "{query}");
            let reader = ColumnReader::new("value", &column, ty).unwrap();
            for (row, id) in batch.column(0).as_string::<i32>().iter().enumerate() {
                let before = values.insert(
                    id.unwrap().to_owned(),
                    reader.value(row).unwrap_or_else(|| panic!("no value\n{query}")),
                );
                assert_eq!(before, None, "{query}");
            }
        }
        values
    }
}

fn event(dice: &mut Dice, number: usize) -> Row {
    // Few minutes of a day, so that events share instants and message ids decide.
    let time_ms = BEGIN_MS + dice.below(45) as i64 * 86_400_000 + dice.below(48) as i64 * 1_800_000;
    let mut row = Row::from([
        ("user_id", Value::text(&format!("u{}", dice.below(120)))),
        ("event", Value::text(["purchase", "view", "refund"][dice.below(3) as usize])),
        ("time", Value::Time(time_ms)),
        ("message_id", Value::text(&format!("{:04}:{number}", dice.below(10_000)))),
        ("source", Value::text("shop")),
        ("received_at", Value::Time(time_ms)),
    ]);
    if dice.below(10) > 0 {
        row.insert("sku", Value::text(&format!("s{}", dice.below(25))));
        row.insert("quantity", Value::Int(dice.below(7) as i64 - 1));
    }
    if dice.below(10) > 1 {
        row.insert("price", Value::Decimal(Decimal::new(dice.below(40) as i64 * 1250 + 5, 4)));
        row.insert("gift", Value::Bool(dice.below(2) == 0));
    }
    row
}

fn attribute(dice: &mut Dice, number: usize) -> Row {
    let time_ms = BEGIN_MS + dice.below(45) as i64 * 86_400_000;
    let mut row = Row::from([
        ("user_id", Value::text(&format!("u{}", dice.below(140)))),
        ("name", Value::text(["age", "other"][dice.below(2) as usize])),
        ("time", Value::Time(time_ms)),
        ("message_id", Value::text(&format!("{:04}:a{number}", dice.below(10_000)))),
        ("source", Value::text("shop")),
        ("received_at", Value::Time(time_ms)),
    ]);
    if dice.below(8) > 0 {
        row.insert("value", Value::text(&dice.below(90).to_string()));
    }
    row
}
