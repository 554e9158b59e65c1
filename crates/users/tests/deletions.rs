//! A deletion costs the same however many crowds there are, is right in every answer at once, and
//! in the files later; and no app waits for another.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recording;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use recording::Recording;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::{Catalog, Change, SqliteCatalog};
use taghouse_crowd::{Crowds, Question};
use taghouse_dictionary::Dictionary;
use taghouse_index::{Index, LiveOptions, Publication, SegmentBuilder, TagPublication};
use taghouse_model::{Clock, Name, Ordinal, TimestampMs, Value, ValueType};
use taghouse_rules::{CrowdDefinition, DefinitionFile, Definitions, parse_definitions};
use taghouse_users::{Error, Op, UnknownUsers, UserChange, Users};
use tokio_util::sync::CancellationToken;

const USERS: u32 = 60;
const CROWDS: usize = 200;
const VERSIONS: usize = 5;
/// Far more than any of this takes.
const AT_ONCE: Duration = Duration::from_secs(30);

struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> TimestampMs {
        1_000
    }
}

/// Crowds `over_0`, `over_1`, … of those older than 0, 1, … of 30.
fn definitions(app: &str, crowds: usize) -> Definitions {
    let mut text = format!(
        "kind: app\nid: {app}\ntime_zone: UTC\n---\nkind: source\nname: live\nformat: segment\n"
    );
    text += "attributes:\n  age: { column: age, type: int }\n---\nkind: tag\nname: age\ntype: int\nattribute: age\n";
    for n in 0..crowds {
        text += &format!("---\nkind: crowd\nname: over_{n}\nexpression: 'age > {}'\n", n % 30);
    }
    let file = DefinitionFile { path: "test.yaml".to_owned(), text };
    Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap()
}

/// One data folder; opening it again is a restart.
struct House {
    catalog: Arc<dyn Catalog>,
    store: Arc<Recording>,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    crowds: Arc<Crowds>,
    users: Arc<Users>,
}

impl House {
    async fn open(folder: &Path, store: Arc<Recording>) -> Self {
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let options = LiveOptions { tick: Duration::from_millis(5), ..LiveOptions::default() };
        let index = Arc::new(
            Index::new(store.clone(), catalog.clone()).with_live(folder.join("live"), options),
        );
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary")).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
        let crowds = Arc::new(Crowds::new(
            store.clone(),
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
        Self { catalog, store, index, dictionary, crowds, users }
    }

    /// Users `u0`, `u1`, … of age 0, 1, …, and so many versions of each crowd.
    async fn publish(&self, definitions: &Definitions, versions: usize) {
        let app = &definitions.app.id;
        let (kind, body) = ("app".to_owned(), serde_json::json!({}));
        let defined = Change::PutDefinition {
            app: app.clone(),
            kind,
            name: app.to_string(),
            expected: None,
            body,
            at_ms: 0,
        };
        self.catalog.commit(vec![defined]).await.unwrap();
        let ids: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
        let ordinals = self
            .dictionary
            .assign(app, &ids.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap();
        let mut age = SegmentBuilder::new(ValueType::Int);
        ordinals
            .iter()
            .zip(0..)
            .for_each(|(ordinal, n)| age.add(*ordinal, &Value::Int(n)).unwrap());
        let tag = TagPublication {
            name: Name::new("age").unwrap(),
            value_type: ValueType::Int,
            as_of_ms: 0,
            definition: serde_json::json!({}),
            segment: age.finish().unwrap().into(),
            flushed_through: None,
        };
        let users: Bitmap = ordinals.into_iter().collect();
        let publication = Publication {
            generation: self.dictionary.generation(app),
            users,
            tags: vec![tag],
            drop: vec![],
        };
        self.index.publish(app, publication, vec![]).await.unwrap();
        for crowd in definitions.crowds.values() {
            for _ in 0..versions {
                self.crowds.compute(definitions, crowd).await.unwrap();
            }
        }
    }

    /// Size shown, rows exported and members admitted of every kept version are those older than
    /// the crowd says, but for `gone`.
    async fn check(&self, definitions: &Definitions, gone: &[u32]) {
        let app = &definitions.app.id;
        let shown = self.crowds.list(app).await.unwrap();
        let older = |crowd: &CrowdDefinition| {
            let least =
                crowd.source.to_string().rsplit(' ').next().unwrap().parse::<u32>().unwrap();
            (least + 1..USERS)
                .filter(|n| !gone.contains(n))
                .map(|n| format!("u{n}"))
                .collect::<Vec<_>>()
        };
        let everybody: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
        for (crowd, shown) in definitions.crowds.values().zip(sorted(shown, definitions)) {
            let (name, expected) = (crowd.name.as_str(), older(crowd));
            assert_eq!(shown, expected.len() as u64, "{name} as listed");
            let versions = self.crowds.versions(app, name).await.unwrap().versions;
            for version in &versions {
                let members = self.crowds.members(app, name, Some(version.version)).await.unwrap();
                let rows: Vec<String> = members.ids().flat_map(Result::unwrap).collect();
                assert_eq!(
                    (version.size, members.version().size),
                    (expected.len() as u64, expected.len() as u64),
                    "{name}"
                );
                assert_eq!(rows, expected, "version {} of {name}", version.version);
            }
            let judged = self
                .crowds
                .judge_batch(app, &everybody, &[name.to_owned()])
                .await
                .unwrap()
                .in_crowd;
            let admitted: Vec<String> = everybody
                .iter()
                .zip(judged)
                .filter(|(_, row)| row[0])
                .map(|(user, _)| user.clone())
                .collect();
            assert_eq!(admitted, expected, "{name}");
            let question = Question::parse(&format!("crowd(\"{name}\")")).unwrap();
            assert_eq!(
                self.crowds.count(app, definitions, &question).await.unwrap().count,
                expected.len() as u64,
                "{name}"
            );
        }
    }

    /// The objects of crowds that hold one of these ordinals, and how many objects there are.
    async fn objects_with(&self, ordinals: &[Ordinal]) -> (usize, usize) {
        let all: Vec<_> = self.store.list(Some(&"crowds".into())).try_collect().await.unwrap();
        let mut holding = 0;
        for object in &all {
            let bytes = self.store.get(&object.location).await.unwrap().bytes().await.unwrap();
            let set = Bitmap::from_bytes(bytes).unwrap();
            holding += usize::from(ordinals.iter().any(|ordinal| set.contains(*ordinal)));
        }
        (holding, all.len())
    }
}

/// The sizes listed, in the order of the definitions.
fn sorted(shown: Vec<taghouse_crowd::CrowdSummary>, definitions: &Definitions) -> Vec<u64> {
    definitions
        .crowds
        .keys()
        .map(|name| shown.iter().find(|crowd| crowd.name == *name).unwrap().current.size)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_touches_no_version_of_a_crowd_and_is_right_at_once() {
    let (folder, store, shop) =
        (tempfile::tempdir().unwrap(), Arc::new(Recording::new()), definitions("shop", CROWDS));
    let app = shop.app.id.clone();
    let house = House::open(folder.path(), store.clone()).await;
    house.publish(&shop, VERSIONS).await;
    let ordinals: Vec<Ordinal> =
        house.dictionary.lookup(&app, &["u40", "u50"]).unwrap().into_iter().flatten().collect();
    let before = store.operations();
    house.users.delete(&app, &["u40".to_owned(), "u50".to_owned()]).await.unwrap();
    assert_eq!(store.operations(), before, "a deletion reads and writes no object of a crowd");
    house.check(&shop, &[40, 50]).await;
    assert_eq!(house.objects_with(&ordinals).await, (CROWDS * VERSIONS, CROWDS * VERSIONS));

    drop(house);
    let house = House::open(folder.path(), store.clone()).await;
    house.check(&shop, &[40, 50]).await;
    // The disk is full in the middle of the rewriting, and the process ends there.
    store.fail_after(17);
    house.users.tidy().await.unwrap_err();
    house.check(&shop, &[40, 50]).await;
    drop(house);
    store.fail_after(i64::MAX);
    let house = House::open(folder.path(), store.clone()).await;
    house.check(&shop, &[40, 50]).await;
    assert!(house.users.tidy().await.unwrap().versions > 0);
    assert_eq!(
        house.objects_with(&ordinals).await,
        (0, CROWDS * VERSIONS),
        "no object holds them, and none is left over"
    );
    house.check(&shop, &[40, 50]).await;
    assert_eq!(house.users.tidy().await.unwrap().versions, 0);

    drop(house);
    let house = House::open(folder.path(), store.clone()).await;
    let before = store.operations();
    assert_eq!(house.crowds.list(&app).await.unwrap().len(), CROWDS);
    assert_eq!(
        store.operations(),
        before,
        "sizes of versions that are clean are known without their sets"
    );
    house.check(&shop, &[40, 50]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_computed_beside_deletions_hold_nobody_who_is_gone() {
    let (folder, store, shop) =
        (tempfile::tempdir().unwrap(), Arc::new(Recording::new()), definitions("shop", 3));
    let app = shop.app.id.clone();
    let house = Arc::new(House::open(folder.path(), store.clone()).await);
    house.publish(&shop, 2).await;
    for n in 0..10_u32 {
        // The set is computed with the user in it, and published when the user is gone.
        store.shut(Some("crowds/"));
        let computing = {
            let (house, crowd, shop) = (house.clone(), shop.crowds["over_0"].clone(), shop.clone());
            tokio::spawn(async move { house.crowds.compute(&shop, &crowd).await.unwrap() })
        };
        store.reached().await;
        let user = [format!("u{}", 20 + n)];
        let deleting = house.users.delete(&app, &user);
        tokio::time::timeout(AT_ONCE, deleting)
            .await
            .expect("a deletion does not wait for a computation")
            .unwrap();
        store.shut(None);
        computing.await.unwrap();
        house.check(&shop, &(20..=20 + n).collect::<Vec<_>>()).await;
        if n % 4 == 3 {
            house.users.tidy().await.unwrap();
            house.check(&shop, &(20..=20 + n).collect::<Vec<_>>()).await;
        }
    }
    house.users.compact(&app, &shop, None, &CancellationToken::new()).await.unwrap();
    house.check(&shop, &(20..30).collect::<Vec<_>>()).await;
    assert_eq!(house.crowds.versions(&app, "over_0").await.unwrap().versions[0].generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_hears_a_stop_between_its_steps_and_changes_nothing() {
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Recording::new()));
    let shop = Arc::new(definitions("shop", 3));
    let app = shop.app.id.clone();
    let house = Arc::new(House::open(folder.path(), store.clone()).await);
    house.publish(&shop, 2).await;
    let begin = |stop: &CancellationToken| {
        let (house, shop, stop) = (house.clone(), shop.clone(), stop.clone());
        tokio::spawn(async move { house.users.compact(&shop.app.id, &shop, None, &stop).await })
    };
    let mut gone = Vec::new();
    for (user, dropped) in [(40, false), (41, true)] {
        // It has made the dictionary and the segments, and writes the crowds' versions.
        store.shut(Some("crowds/"));
        let stop = CancellationToken::new();
        let compacting = begin(&stop);
        store.reached().await;
        stop.cancel();
        if dropped {
            // As a run does whose task does not end in time: nobody waits for it any more.
            compacting.abort();
        }
        store.shut(None);
        match compacting.await {
            Ok(outcome) => assert!(matches!(outcome, Err(Error::Stopped)), "{outcome:?}"),
            Err(ended) => assert!(dropped && ended.is_cancelled()),
        }
        // Writers wait for it no longer, and all is as it was.
        let leaver = [format!("u{user}")];
        let deleting = house.users.delete(&app, &leaver);
        tokio::time::timeout(AT_ONCE, deleting)
            .await
            .expect("a compaction that is over holds nothing")
            .unwrap();
        gone.push(user);
        house.check(&shop, &gone).await;
        assert_eq!(house.dictionary.generation(&app), 1);
    }
    let early = CancellationToken::new();
    early.cancel();
    assert!(matches!(begin(&early).await.unwrap(), Err(Error::Stopped)));
    let done = begin(&CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!((done.generation, done.users), (2, u64::from(USERS) - 2));
    house.check(&shop, &gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_waits_for_another_and_no_judgment_for_a_writer() {
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Recording::new()));
    let (one, other) = (definitions("one", 2), definitions("other", 2));
    let house = Arc::new(House::open(folder.path(), store.clone()).await);
    house.publish(&one, 2).await;
    house.publish(&other, 2).await;
    // The users of one app are being renumbered, with all the locks that this takes, and it does
    // not come on.
    store.shut(Some("crowds/one/"));
    let compacting = {
        let (house, one) = (house.clone(), one.clone());
        tokio::spawn(async move {
            house.users.compact(&one.app.id, &one, None, &CancellationToken::new()).await.unwrap()
        })
    };
    store.reached().await;
    let meanwhile = async {
        house.users.delete(&other.app.id, &["u7".to_owned()]).await.unwrap();
        house.crowds.compute(&other, &other.crowds["over_1"]).await.unwrap();
        house.users.tidy().await.unwrap();
        house.check(&other, &[7]).await;
        for app in [&one.app.id, &other.app.id] {
            assert!(house.crowds.judge(app, "u40", "over_1").await.unwrap().in_crowd);
            let (users, crowds) =
                (["u40", "u0"].map(str::to_owned), ["over_0", "over_1"].map(str::to_owned));
            assert_eq!(
                house.crowds.judge_batch(app, &users, &crowds).await.unwrap().in_crowd,
                [[true, true], [false, false]]
            );
        }
        assert_eq!(
            house.crowds.members(&one.app.id, "over_0", None).await.unwrap().version().size,
            u64::from(USERS) - 1
        );
    };
    tokio::time::timeout(AT_ONCE, meanwhile)
        .await
        .expect("neither the other app nor a judgment waits");
    store.shut(None);
    compacting.await.unwrap();
    house.check(&one, &[]).await;
    house.check(&other, &[7]).await;
}

/// The log of changes has the deletion, and the process ends (or the disk is full) before the
/// dictionary has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_broke_off_hides_nothing_that_comes_later() {
    let (folder, store, shop) =
        (tempfile::tempdir().unwrap(), Arc::new(Recording::new()), definitions("shop", 1));
    let app = shop.app.id.clone();
    let house = House::open(folder.path(), store.clone()).await;
    house.publish(&shop, 1).await;
    let ordinals: Vec<Ordinal> =
        house.dictionary.lookup(&app, &["u40", "u50"]).unwrap().into_iter().flatten().collect();
    let generation = house.dictionary.generation(&app);
    house.index.delete_users(&app, generation, &ordinals).await.unwrap();
    let age = |user: &str, age| UserChange {
        user: user.to_owned(),
        tag: Name::new("age").unwrap(),
        op: Op::Set(Value::Int(age)),
    };
    let older = async |house: &House| {
        house.index.position(&app).await.unwrap();
        let question = Question::parse("age > 100").unwrap();
        house.crowds.count(&app, &shop, &question).await.unwrap().count
    };
    house.users.change(&app, &shop, vec![age("u40", 140)], UnknownUsers::Created).await.unwrap();
    assert_eq!(older(&house).await, 1, "what was acknowledged is seen");
    drop(house);
    let house = House::open(folder.path(), store.clone()).await;
    assert_eq!(house.dictionary.lookup(&app, &["u50"]).unwrap(), [None], "a restart finishes it");
    house.users.change(&app, &shop, vec![age("u50", 150)], UnknownUsers::Created).await.unwrap();
    assert_eq!(older(&house).await, 2);
}
