//! A small shop: a data folder with a catalog, a store, a dictionary and an index, and a clock that
//! stands still.

pub(crate) mod away;

use away::Away;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use taghouse_bitmap::Bitmap;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::{Crowds, Question};
use taghouse_dictionary::Dictionary;
use taghouse_disk::DurableStore;
use taghouse_index::{
    Changes, Index, LiveOptions, Op, Publication, SegmentBuilder, TagChange, TagPublication,
};
use taghouse_model::{AppId, Clock, Name, TimestampMs, Value, ValueType};
use taghouse_rules::{
    AppDefinition, CrowdCondition, CrowdDefinition, CrowdPolicy, CrowdSource, Definitions,
    parse_predicate,
};

pub(crate) struct Shop {
    pub(crate) app: AppId,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) away: Arc<Away>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) index: Arc<Index>,
    pub(crate) clock: Arc<StoppedClock>,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) definitions: Definitions,
}

pub(crate) struct StoppedClock(pub(crate) AtomicI64);

impl Clock for StoppedClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.load(Ordering::SeqCst)
    }
}

/// The tags of the shop.
pub(crate) const TAGS: [(&str, ValueType); 6] = [
    ("orders", ValueType::Int),
    ("country", ValueType::Text),
    ("vip", ValueType::Bool),
    ("spend", ValueType::Decimal { scale: 2 }),
    ("badges", ValueType::Set),
    ("since", ValueType::Date),
];

/// One user's values, by tag.
pub(crate) type Row = BTreeMap<&'static str, Value>;

impl Shop {
    pub(crate) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        let away = Arc::new(Away::new(Arc::new(
            SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap(),
        )));
        let catalog: Arc<dyn Catalog> = Arc::clone(&away) as _;
        let dictionary = Arc::new(Dictionary::open(&folder.path().join("dictionary")).unwrap());
        let index = Index::new(store(folder.path()), Arc::clone(&catalog))
            .with_live(folder.path().join("live"), LiveOptions::default());
        let index = Arc::new(index);
        let clock = Arc::new(StoppedClock(AtomicI64::new(1_000_000)));
        let crowds = crowds(folder.path(), &catalog, &index, &dictionary, &clock);
        let app = AppId::new("shop").unwrap();
        let definition = AppDefinition {
            id: app.clone(),
            time_zone: jiff::tz::TimeZone::UTC,
            description: None,
            identities: None,
        };
        let definitions = Definitions {
            sinks: BTreeMap::new(),
            activations: BTreeMap::new(),
            app: definition,
            sources: BTreeMap::new(),
            tags: BTreeMap::new(),
            crowds: BTreeMap::new(),
        };
        Self { app, folder, catalog, away, dictionary, index, clock, crowds, definitions }
    }

    /// With users `u0`, `u1`, … of these values.
    pub(crate) async fn with(rows: &[Row]) -> Self {
        let shop = Self::empty().await;
        shop.produce(rows).await;
        shop
    }

    /// Publishes these values; the as-of time of the n-th tag is `100 * (n + 1)`.
    pub(crate) async fn produce(&self, rows: &[Row]) {
        let ids: Vec<String> = (0..rows.len()).map(|n| format!("u{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let ordinals = self.dictionary.assign(&self.app, &ids).unwrap();
        let tags = TAGS.iter().enumerate().map(|(n, (name, value_type))| {
            let mut segment = SegmentBuilder::new(*value_type);
            for (ordinal, row) in ordinals.iter().zip(rows) {
                if let Some(value) = row.get(name) {
                    segment.add(*ordinal, value).unwrap();
                }
            }
            TagPublication {
                name: Name::new(name).unwrap(),
                value_type: *value_type,
                as_of_ms: 100 * (n as i64 + 1),
                definition: serde_json::json!({}),
                segment: segment.finish().unwrap().into(),
                flushed_through: None,
            }
        });
        let generation = self.dictionary.generation(&self.app);
        let publication = Publication {
            generation,
            users: ordinals.iter().copied().collect::<Bitmap>(),
            tags: tags.collect(),
            drop: Vec::new(),
        };
        self.index.publish(&self.app, publication, Vec::new()).await.unwrap();
    }

    /// Live changes that make of users `u0`, `u1`, … with these values those of `now`, of whom
    /// there may be more.
    pub(crate) async fn change(&self, before: &[Row], now: &[Row]) {
        let ids: Vec<String> = (0..now.len()).map(|n| format!("u{n}")).collect();
        let users = self
            .dictionary
            .assign(&self.app, &ids.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap();
        let nothing = Row::new();
        let mut points = Vec::new();
        for (n, (ordinal, row)) in users.iter().zip(now).enumerate() {
            let old = before.get(n).unwrap_or(&nothing);
            for (tag, _) in TAGS.iter().filter(|(tag, _)| old.get(tag) != row.get(tag)) {
                let op = row.get(tag).cloned().map_or(Op::Unset, Op::Set);
                points.push(TagChange { tag: Name::new(tag).unwrap(), ordinal: *ordinal, op });
            }
        }
        let changes = Changes {
            generation: self.dictionary.generation(&self.app),
            users,
            points,
            ..Changes::default()
        };
        self.index.change(&self.app, changes).await.unwrap();
        // Asking for the position makes what was logged visible.
        self.index.position(&self.app).await.unwrap();
    }

    /// Defines a crowd and gives the definition.
    pub(crate) fn define(&mut self, name: &str, text: &str) -> CrowdDefinition {
        let written = parse_predicate(text).unwrap();
        let types = |name: &str| TAGS.iter().find(|(tag, _)| *tag == name).map(|(_, ty)| *ty);
        let checked = written.check(&types, &|_| true, &jiff::tz::TimeZone::UTC).unwrap();
        let crowd = CrowdDefinition {
            name: Name::new(name).unwrap(),
            description: None,
            source: CrowdSource::Rule(CrowdCondition { written, checked }),
            is_live: false,
            policy: CrowdPolicy::default(),
        };
        self.definitions.crowds.insert(crowd.name.clone(), crowd.clone());
        crowd
    }

    pub(crate) async fn count(&self, text: &str) -> u64 {
        self.crowds
            .count(&self.app, &self.definitions, &Question::parse(text).unwrap())
            .await
            .unwrap()
            .count
    }

    /// Another process's view of the same folder (the dictionary and the index, which know no more
    /// than this one, are shared).
    pub(crate) fn other_process(&self) -> Arc<Crowds> {
        crowds(self.folder.path(), &self.catalog, &self.index, &self.dictionary, &self.clock)
    }

    /// The file names of a crowd's objects.
    pub(crate) fn objects(&self, crowd: &str) -> Vec<String> {
        let files =
            std::fs::read_dir(self.folder.path().join("objects/crowds/shop").join(crowd)).unwrap();
        let mut names: Vec<String> =
            files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The exported ids of a crowd's current version.
    pub(crate) async fn exported(&self, crowd: &str) -> Vec<String> {
        let members = self.crowds.members(&self.app, crowd, None).await.unwrap();
        members.ids().flat_map(Result::unwrap).collect()
    }
}

fn store(folder: &Path) -> Arc<dyn object_store::ObjectStore> {
    Arc::new(DurableStore::below(folder.join("objects")).unwrap())
}

fn crowds(
    folder: &Path,
    catalog: &Arc<dyn Catalog>,
    index: &Arc<Index>,
    dictionary: &Arc<Dictionary>,
    clock: &Arc<StoppedClock>,
) -> Arc<Crowds> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Arc::new(Crowds::new(
        store(folder),
        Arc::clone(catalog),
        Arc::clone(index),
        Arc::clone(dictionary),
        clock,
    ))
}

/// Ten users: `u0` … `u9` with as many orders as their number, odd ones in France, `u0` without any
/// value.
pub(crate) fn ten() -> Vec<Row> {
    let row = |n: i64| {
        let country = if n % 2 == 1 { "France" } else { "Spain" };
        BTreeMap::from([
            ("orders", Value::Int(n)),
            ("country", Value::text(country)),
            ("vip", Value::Bool(n > 7)),
        ])
    };
    (0..10).map(|n| if n == 0 { Row::new() } else { row(n) }).collect()
}
