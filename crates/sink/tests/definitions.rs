//! Where a sink begins, by when it was defined, and that it goes on where it stood.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_feed::{Change, FeedReader, Feeds, Retention};
use taghouse_model::{AppId, Clock, Name};
use taghouse_rules::{SinkDefinition, SinkTarget, StartAt, Webhook};
use taghouse_sink::{Begun, Progress, begins, defined, ends};

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_000
    }
}

struct House {
    app: AppId,
    feeds: Arc<Feeds>,
    catalog: Arc<dyn Catalog>,
}

impl House {
    async fn open(folder: &Path) -> Self {
        let feeds = Feeds::new(folder.join("feed"), Retention::default(), Arc::new(Still));
        let catalog = SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap();
        Self {
            app: AppId::new("shop").unwrap(),
            feeds: Arc::new(feeds),
            catalog: Arc::new(catalog),
        }
    }

    async fn change(&self, user: &str) {
        let change = Change::UserDeleted { user: user.into() };
        self.feeds.append(&self.app, 1, 1, &[change]).await.unwrap();
        self.feeds.flush(&self.app).await.unwrap();
    }

    async fn define(&self, start: StartAt) {
        let end = self.feeds.extent(&self.app).await.unwrap().end;
        let change = begins(self.catalog.as_ref(), &self.app, "crm", start, end).await.unwrap();
        self.catalog.commit(vec![change]).await.unwrap();
    }

    async fn remove(&self) {
        let change = ends(self.catalog.as_ref(), &self.app, "crm").await.unwrap();
        self.catalog.commit(change.into_iter().collect()).await.unwrap();
    }

    async fn begin(&self, start: StartAt) -> Begun {
        Progress::begin(&self.app, &sink(start), &self.feeds, &self.catalog).await.unwrap()
    }

    async fn number(&self) -> Option<u64> {
        let all: BTreeMap<String, _> = defined(self.catalog.as_ref(), &self.app).await.unwrap();
        all.get("crm").map(|defined| defined.number)
    }
}

fn sink(start: StartAt) -> SinkDefinition {
    let webhook = Webhook {
        url: "https://a.example".to_owned(),
        secret: String::new(),
        headers: BTreeMap::new(),
        timeout_ms: 1,
        batch_events: 1,
        batch_bytes: 1,
        parallel: 1,
        retry_for_ms: 1,
    };
    SinkDefinition {
        name: Name::new("crm").unwrap(),
        description: None,
        target: SinkTarget::Webhook(webhook),
        start,
        tags: BTreeSet::new(),
        crowds: BTreeSet::new(),
    }
}

async fn next(mut reader: FeedReader) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        let records = reader.read().await.unwrap();
        if records.is_empty() {
            return ids;
        }
        ids.extend(records.iter().map(|record| record.id));
    }
}

#[tokio::test]
async fn a_sink_begins_behind_what_the_feed_had_when_it_was_defined() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.change("ann").await;
    house.define(StartAt::Latest).await;
    house.change("bob").await;
    let Begun { progress, reader, lost } = house.begin(StartAt::Latest).await;
    assert_eq!((progress.remembered(), next(reader).await, lost), (1, vec![2], None));

    // What was acknowledged counts from then on, also for another process.
    let mut begun = house.begin(StartAt::Latest).await;
    begun.progress.remember(2).await.unwrap();
    house.change("cid").await;
    drop(house);
    let house = House::open(folder.path()).await;
    assert_eq!(next(house.begin(StartAt::Latest).await.reader).await, [3]);
}

#[tokio::test]
async fn a_sink_that_is_defined_again_knows_nothing_of_what_was_sent_before() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.define(StartAt::Latest).await;
    let first = house.number().await;
    house.change("ann").await;
    let mut begun = house.begin(StartAt::Latest).await;
    house.remove().await;
    assert_eq!(house.number().await, None);
    house.change("bob").await;
    house.define(StartAt::Latest).await;
    assert!(house.number().await > first, "it is told from the former one");
    // A writer of the former one may still write down what it sent.
    begun.progress.remember(1).await.unwrap();
    house.change("cid").await;
    assert_eq!(next(house.begin(StartAt::Latest).await.reader).await, [3]);

    house.remove().await;
    house.define(StartAt::Earliest).await;
    assert_eq!(next(house.begin(StartAt::Earliest).await.reader).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_sink_of_a_former_release_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.change("ann").await;
    house.change("bob").await;
    let put = taghouse_catalog::Change::PutPointer {
        kind: "sinks".to_owned(),
        app: house.app.clone(),
        name: "crm".to_owned(),
        expected: None,
        value: serde_json::json!({ "sent": 1 }),
    };
    house.catalog.commit(vec![put]).await.unwrap();
    assert_eq!(next(house.begin(StartAt::Latest).await.reader).await, [2]);
}
