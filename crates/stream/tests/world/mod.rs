//! A data folder with everything that the stream works with, and a clock moved by hand. Opening it
//! again is a restart: nothing but the folder stays.
#![allow(dead_code, unreachable_pub)]

use arrow::array::AsArray;
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_feed::{Feeds, Retention};
use taghouse_fold::ColumnReader;
use taghouse_identities::Identities;
use taghouse_index::{Index, LiveOptions};
use taghouse_ingest::{
    Attendant, FileIngest, IngestOptions, Landing, LogRecord, MessageIds, OtherId, RecordBody,
};
use taghouse_lake::{Lake, layout};
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::{AppId, Clock, Name, TimestampMs, Value};
use taghouse_produce::Producer;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};
use taghouse_stream::{Error, Parity, ParityAsk, ParityParts, Stream, StreamParts, Tick};
use taghouse_users::Users;
use tokio_util::sync::CancellationToken;

/// 2023-03-26T00:00:00Z: an hour before London's clocks change.
pub const START_MS: TimestampMs = 1_679_788_800_000;
pub const HOUR_MS: i64 = 3_600_000;

/// Values by user and tag.
pub type Values = BTreeMap<String, BTreeMap<String, Value>>;

pub struct HandClock(pub AtomicI64);

impl HandClock {
    pub fn starting() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START_MS)))
    }

    pub fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.load(Ordering::Relaxed)
    }

    fn steady_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct World {
    pub app: AppId,
    pub clock: Arc<HandClock>,
    pub catalog: Arc<dyn Catalog>,
    pub lake: Arc<Lake>,
    pub log: Arc<dyn EventLog>,
    pub index: Arc<Index>,
    pub dictionary: Arc<Dictionary>,
    pub users: Arc<Users>,
    pub landing: Arc<Landing>,
    pub crowds: Arc<Crowds>,
    pub feeds: Arc<Feeds>,
    pub stream: Arc<Stream>,
    pub producer: Producer,
    pub definitions: Arc<Definitions>,
}

pub fn definitions(text: &str) -> Arc<Definitions> {
    let file = DefinitionFile { path: "test.yaml".to_owned(), text: text.to_owned() };
    Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap())
}

/// Pages that are in memory at most: little, so that states are read from files too.
const BUDGET_BYTES: u64 = 4 << 10;

impl World {
    pub async fn open(folder: &Path, clock: &Arc<HandClock>, text: &str) -> Self {
        std::fs::create_dir_all(folder.join("objects")).unwrap();
        let clock = clock.clone();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let objects = Arc::new(LocalFileSystem::new_with_prefix(folder.join("objects")).unwrap());
        let lake =
            Arc::new(Lake::open(catalog.clone(), &folder.join("lake"), clock.clone()).unwrap());
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&folder.join("log")).unwrap());
        let live = LiveOptions { tick: Duration::from_millis(2), ..LiveOptions::default() };
        let index = Index::new(objects.clone(), catalog.clone())
            .local(folder.join("objects"))
            .with_live(folder.join("live"), live);
        let index = Arc::new(index);
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary")).unwrap());
        let identities = Arc::new(Identities::new(lake.clone()));
        let crowds = Arc::new(Crowds::new(
            objects.clone(),
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            clock.clone(),
        ));
        let users = Users::new(
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            crowds.clone(),
            clock.clone(),
        );
        let users = Arc::new(users.noting_in(log.clone()).resolving(identities.clone()));
        users.settle().await.unwrap();
        let ids = Arc::new(MessageIds::at(&folder.join("ids"), clock.clone()));
        let landing = Landing::new(catalog.clone(), lake.clone(), log.clone(), ids, clock.clone());
        let landing = Arc::new(landing.sharing(identities.clone()));
        let feeds = Arc::new(Feeds::new(folder.join("feed"), Retention::default(), clock.clone()));
        let stream = Arc::new(Stream::new(StreamParts {
            catalog: catalog.clone(),
            log: log.clone(),
            lake: lake.clone(),
            index: index.clone(),
            feeds: feeds.clone(),
            users: users.clone(),
            identities: identities.clone(),
            objects,
            scratch: folder.join("scratch"),
            clock: clock.clone(),
            budget_bytes: BUDGET_BYTES,
        }));
        landing.follow(stream.clone());
        let producer = Producer::new(
            catalog.clone(),
            lake.clone(),
            index.clone(),
            dictionary.clone(),
            folder.join("scratch"),
        );
        let definitions = definitions(text);
        Self {
            app: definitions.app.id.clone(),
            clock,
            catalog,
            lake,
            log,
            index,
            dictionary,
            users,
            landing,
            crowds,
            feeds,
            stream,
            producer,
            definitions,
        }
    }

    pub async fn event(&self, user: &str, name: &str, time_ms: i64, id: &str, properties: &str) {
        self.append(LogRecord {
            message_id: id.to_owned(),
            received_at_ms: self.clock.now_ms(),
            replaced: 0,
            anonymous: user.starts_with('a'),
            other_ids: Vec::new(),
            body: RecordBody::Event {
                user_id: user.to_owned(),
                time_ms,
                name: name.to_owned(),
                properties: properties.to_owned(),
            },
        })
        .await;
    }

    pub async fn traits(&self, user: &str, time_ms: i64, id: &str, traits: &str) {
        self.append(LogRecord {
            message_id: id.to_owned(),
            received_at_ms: self.clock.now_ms(),
            replaced: 0,
            anonymous: user.starts_with('a'),
            other_ids: Vec::new(),
            body: RecordBody::Traits {
                user_id: user.to_owned(),
                time_ms,
                traits: traits.to_owned(),
            },
        })
        .await;
    }

    /// A call that says that another id is the user's; by `alias`, or by `identify` with an
    /// `anonymousId`.
    pub async fn link(&self, user: &str, other: &str, alias: bool, id: &str) {
        let (id_type, merges) = match alias {
            true => (None, true),
            false => (Some("anonymous".to_owned()), false),
        };
        let body = RecordBody::Traits {
            user_id: user.to_owned(),
            time_ms: self.clock.now_ms() - 1,
            traits: "{}".to_owned(),
        };
        self.append(LogRecord {
            message_id: id.to_owned(),
            other_ids: vec![OtherId { id: other.to_owned(), id_type, merges }],
            ..LogRecord::by_hand(self.clock.now_ms(), body)
        })
        .await;
    }

    /// Somebody makes an id its own user's again, by hand.
    pub async fn unlink(&self, id: &str) {
        let body = RecordBody::Unlinked { id: id.to_owned() };
        self.append(LogRecord::by_hand(self.clock.now_ms(), body)).await;
        self.land().await;
    }

    async fn append(&self, record: LogRecord) {
        self.log.append(&self.app, vec![record.encode().unwrap()]).await.unwrap();
    }

    /// Takes a file in, in the place of one of its name; whether the stream is told.
    pub async fn ingest(&self, file: &Path, is_told: bool) {
        let files = FileIngest::new(self.catalog.clone(), self.lake.clone(), self.clock.clone());
        let files = if is_told { files.beside(&self.landing) } else { files };
        let options = IngestOptions { replace: true, ..IngestOptions::default() };
        let (source, nobody) = (Name::new("old").unwrap(), Attendant::nobody());
        files
            .ingest(&self.app, &self.definitions, &source, &[file.to_owned()], &options, nobody)
            .await
            .unwrap();
    }

    /// What the engine does ten times a second.
    pub async fn follow(&self) {
        let end = self.log.end(&self.app).await.unwrap();
        self.landing
            .admit(&self.app, &self.definitions, end, &CancellationToken::new())
            .await
            .unwrap();
        if self.stream.tick(&self.definitions).await.unwrap() == Tick::Rebuild {
            // Where users are renumbered meanwhile it is tried again, as by the engine.
            match self.stream.rebuild(&self.definitions, &self.landing).await {
                Ok(()) | Err(Error::Renumbered | Error::Superseded) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Until everything is shown.
    pub async fn settle(&self) {
        loop {
            self.follow().await;
            let status = self.stream.status(&self.app).await.unwrap();
            let end = self.log.end(&self.app).await.unwrap();
            if status.position == Some(end) && !status.computing && status.timers_due == 0 {
                break;
            }
            // A computation that failed is tried again after a while, by this clock.
            self.clock.pass(1);
        }
        // Who is in the live crowds is compared at the next turn after the states were computed.
        self.follow().await;
        // Changes are seen at the next tick of the index.
        self.index.position(&self.app).await.unwrap();
    }

    /// The stream held against the batch.
    pub async fn parity(&self, tag: Option<&str>, seed: u64) -> Parity {
        let parts = ParityParts { stream: self.stream.clone(), landing: self.landing.clone() };
        let tag = tag.map(|tag| Name::new(tag).unwrap());
        let ask = ParityAsk { tag, sample: 1000, seed, pause: Duration::ZERO };
        let settle = || {
            async {
                self.settle().await;
                Ok(true)
            }
            .boxed()
        };
        parts.compare(&self.definitions, &ask, &settle, &|_, _| ()).await.unwrap()
    }

    pub async fn land(&self) {
        self.landing.land(&self.app, &self.definitions, &CancellationToken::new()).await.unwrap();
    }

    /// The values of these tags in the index, of users who exist.
    pub async fn shown(&self, tags: &[&str]) -> Values {
        let snapshot = self.index.snapshot(&self.app).await.unwrap().unwrap();
        let users: Vec<u32> = snapshot.users().iter().collect();
        let ids = self.dictionary.resolve(&self.app, &users).unwrap();
        let mut values = Values::new();
        for (ordinal, id) in users.into_iter().zip(ids) {
            let of_user = values.entry(id.unwrap()).or_default();
            for tag in tags {
                let Some(view) = snapshot.tag(tag).unwrap() else { continue };
                if let Some(value) = view.value_of(ordinal).unwrap() {
                    of_user.insert((*tag).to_owned(), value);
                }
            }
        }
        values
    }

    /// Who is in a live crowd.
    pub async fn members(&self, crowd: &str) -> BTreeSet<String> {
        self.crowds.define(&self.definitions);
        if self.index.snapshot(&self.app).await.unwrap().is_none() {
            return BTreeSet::new();
        }
        let members = self.crowds.members(&self.app, crowd, None).await.unwrap();
        members.ids().flat_map(|ids| ids.unwrap()).collect()
    }

    /// The values that a production of now gives.
    pub async fn produced(&self, tags: &[&str]) -> Values {
        let as_of_ms = self.clock.now_ms();
        let land = || {
            async {
                let landed = self
                    .landing
                    .land(&self.app, &self.definitions, &CancellationToken::new())
                    .await;
                landed.map(drop).map_err(|error| error.to_string())
            }
            .boxed()
        };
        self.producer
            .produce_landing(&self.app, &self.definitions, as_of_ms, None, &|_, _| (), &land)
            .await
            .unwrap();
        let mut values = Values::new();
        for user in self.shown(&[]).await.into_keys() {
            values.insert(user, BTreeMap::new());
        }
        for tag in tags {
            let definition = self.definitions.tags.get(*tag).unwrap();
            let table = layout::tag(&definition.name, definition.value_type);
            let table = self.lake.table(&self.app, &table.name).await.unwrap().unwrap();
            let scan = table.scan(&["user_id", "value"]);
            let scan = scan.partition(&Value::Time(as_of_ms)).unwrap().plan(1).await.unwrap();
            for mut batches in scan.partitions() {
                while let Some(batch) = batches.next().await {
                    let batch = batch.unwrap();
                    let users = batch.column(0).as_string::<i32>();
                    let reader =
                        ColumnReader::new("value", batch.column(1), definition.value_type).unwrap();
                    for row in 0..batch.num_rows() {
                        let of_user = values.entry(users.value(row).to_owned()).or_default();
                        of_user.insert((*tag).to_owned(), reader.value(row).unwrap());
                    }
                }
            }
        }
        values
    }
}
