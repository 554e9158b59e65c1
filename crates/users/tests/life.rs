//! Users change, are deleted, expire and are renumbered, while questions are asked.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::local::LocalFileSystem;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::{Crowds, Question};
use taghouse_dictionary::Dictionary;
use taghouse_index::{Index, LiveOptions, Op, Publication, SegmentBuilder, TagPublication};
use taghouse_model::{AppId, Clock, ErrorKind, Name, TimestampMs, Value, ValueType};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};
use taghouse_users::{Error, UnknownUsers, UserChange, Users};
use tokio_util::sync::CancellationToken;

struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> TimestampMs {
        1_000
    }
}

const DEFINITIONS: &str = r#"
kind: app
id: shop
time_zone: UTC
---
kind: source
name: live
format: segment
attributes:
  age: { column: age, type: int }
  country: { column: country, type: text }
---
kind: tag
name: age
type: int
attribute: age
---
kind: tag
name: country
type: enum
attribute: country
---
kind: crowd
name: grown
expression: 'age >= 20'
---
kind: crowd
name: grown_in_de
expression: 'crowd("grown") && country == "DE"'
"#;

fn definitions() -> Definitions {
    let file = DefinitionFile { path: "test.yaml".to_owned(), text: DEFINITIONS.to_owned() };
    Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap()
}

/// One data folder; opening it again is a restart.
struct House {
    app: AppId,
    definitions: Definitions,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    crowds: Arc<Crowds>,
    users: Arc<Users>,
}

impl House {
    async fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("objects")).unwrap();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.join("objects")).unwrap());
        let options = LiveOptions { tick: Duration::from_millis(5), ..LiveOptions::default() };
        let index = Index::new(store.clone(), catalog.clone())
            .local(folder.join("objects"))
            .with_live(folder.join("live"), options);
        let index = Arc::new(index);
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary")).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
        let crowds = Arc::new(Crowds::new(
            store,
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            clock.clone(),
        ));
        let users =
            Arc::new(Users::new(catalog, index.clone(), dictionary.clone(), crowds.clone(), clock));
        users.settle().await.unwrap();
        Self {
            app: AppId::new("shop").unwrap(),
            definitions: definitions(),
            index,
            dictionary,
            crowds,
            users,
        }
    }

    /// Users `u0`, `u1`, … of age n and of one of three countries.
    async fn publish(&self, count: u32) {
        self.publish_those(0..count).await;
    }

    async fn publish_those(&self, numbers: impl Iterator<Item = u32>) {
        let numbers: Vec<u32> = numbers.collect();
        let ids: Vec<String> = numbers.iter().map(|n| format!("u{n}")).collect();
        let ordinals = self
            .dictionary
            .assign(&self.app, &ids.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap();
        let (mut age, mut country) =
            (SegmentBuilder::new(ValueType::Int), SegmentBuilder::new(ValueType::Text));
        for (n, ordinal) in numbers.iter().zip(&ordinals) {
            age.add(*ordinal, &Value::Int(i64::from(*n))).unwrap();
            country.add(*ordinal, &Value::text(["DE", "AT", "CH"][*n as usize % 3])).unwrap();
        }
        let tag = |name: &str, value_type, builder: SegmentBuilder| {
            let (name, definition) = (Name::new(name).unwrap(), serde_json::json!({}));
            TagPublication {
                name,
                value_type,
                as_of_ms: 0,
                definition,
                segment: builder.finish().unwrap().into(),
                flushed_through: None,
            }
        };
        let tags = vec![tag("age", ValueType::Int, age), tag("country", ValueType::Text, country)];
        let users: Bitmap = ordinals.into_iter().collect();
        let publication = Publication {
            generation: self.dictionary.generation(&self.app),
            users,
            tags,
            drop: vec![],
        };
        self.index.publish(&self.app, publication, vec![]).await.unwrap();
        for crowd in ["grown", "grown_in_de"] {
            self.crowds.compute(&self.definitions, &self.definitions.crowds[crowd]).await.unwrap();
        }
    }

    /// Bytes of the dictionary, and of the segments that are current.
    async fn bytes(&self, folder: &Path) -> u64 {
        let snapshot = self.index.snapshot(&self.app).await.unwrap().unwrap();
        let size =
            |object: &String| std::fs::metadata(folder.join("objects").join(object)).unwrap().len();
        self.dictionary.bytes_on_disk(&self.app).unwrap()
            + snapshot.tags().map(|tag| size(&tag.object)).sum::<u64>()
    }

    async fn count(&self, expression: &str) -> u64 {
        self.crowds
            .count(&self.app, &self.definitions, &Question::parse(expression).unwrap())
            .await
            .unwrap()
            .count
    }

    async fn members(&self, crowd: &str) -> Vec<String> {
        let members = self.crowds.members(&self.app, crowd, None).await.unwrap();
        let ids: Vec<String> = members.ids().flat_map(Result::unwrap).collect();
        assert_eq!(
            members.version().size,
            ids.len() as u64,
            "the size shown is that of the members"
        );
        ids
    }

    async fn change(&self, user: &str, tag: &str, op: Op) -> Result<(), Error> {
        let change = UserChange { user: user.to_owned(), tag: Name::new(tag).unwrap(), op };
        self.users
            .change(&self.app, &self.definitions, vec![change], UnknownUsers::Created)
            .await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    async fn profile(&self, user: &str) -> Result<BTreeMap<String, Value>, taghouse_crowd::Error> {
        let values = self.crowds.profile(&self.app, user, None).await?;
        Ok(values.into_iter().map(|value| (value.name.to_string(), value.value)).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_seen_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    // Tags that were never produced: the first change makes them known.
    house.change("u1", "age", Op::Set(Value::Int(30))).await.unwrap();
    house.change("u2", "age", Op::Set(Value::Int(40))).await.unwrap();
    house.change("u2", "country", Op::Set(Value::text("DE"))).await.unwrap();
    assert_eq!(
        (house.count("age >= 30").await, house.count("age > 30 && country == \"DE\"").await),
        (2, 1)
    );
    house.change("u2", "country", Op::Set(Value::text("AT"))).await.unwrap();
    house.change("u1", "age", Op::Unset).await.unwrap();
    house.change("u3", "age", Op::Unset).await.unwrap();
    let check = async |house: &House| {
        assert_eq!(
            (house.count("country == \"DE\"").await, house.count("country == \"AT\"").await),
            (0, 1)
        );
        assert_eq!((house.count("age is set").await, house.count("!(age is set)").await), (1, 2));
        assert_eq!(
            house.profile("u2").await.unwrap(),
            BTreeMap::from([("age".into(), Value::Int(40)), ("country".into(), Value::text("AT"))])
        );
    };
    check(&house).await;
    drop(house);
    let house = House::open(folder.path()).await;
    check(&house).await;
    house.index.flush(&house.app).await.unwrap();
    check(&house).await;
    house
        .users
        .compact(&house.app, &house.definitions, None, &CancellationToken::new())
        .await
        .unwrap();
    check(&house).await;
    assert_eq!(
        house.profile("u3").await.unwrap(),
        BTreeMap::new(),
        "a user without values is one all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.publish(30).await;
    let good = UserChange {
        user: "u1".into(),
        tag: Name::new("age").unwrap(),
        op: Op::Set(Value::Int(99)),
    };
    let bad = UserChange { op: Op::Set(Value::text("old")), ..good.clone() };
    let unknown = UserChange { tag: Name::new("agee").unwrap(), ..good.clone() };
    let error = house
        .users
        .change(&house.app, &house.definitions, vec![good.clone(), bad], UnknownUsers::Created)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = house
        .users
        .change(&house.app, &house.definitions, vec![good, unknown], UnknownUsers::Created)
        .await
        .unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("age"), "{error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(house.count("age == 99").await, 0);
    let error = house.users.delete(&house.app, &["nobody".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_gone_from_everything() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.publish(60).await;
    assert_eq!(
        (house.members("grown").await.len(), house.members("grown_in_de").await.len()),
        (40, 13)
    );
    let receipt =
        house.users.delete(&house.app, &["u21".to_owned(), "unknown".to_owned()]).await.unwrap();
    assert_eq!(
        (receipt.users, receipt.unknown),
        (vec!["u21".to_owned()], vec!["unknown".to_owned()])
    );
    let tags: Vec<String> =
        receipt.tags.iter().map(|tag| format!("{} {} {}", tag.user, tag.tag, tag.value)).collect();
    assert_eq!(tags, ["u21 age 21", "u21 country DE"]);
    let check = async |house: &House| {
        assert_eq!(
            (
                house.count("age >= 20").await,
                house.count("age == 21").await,
                house.count("!(age == 21)").await
            ),
            (39, 0, 59)
        );
        let members = house.members("grown").await;
        assert!(members.len() == 39 && !members.contains(&"u21".to_owned()));
        assert_eq!(house.members("grown_in_de").await.len(), 12);
        assert!(house.crowds.judge(&house.app, "u21", "grown").await.unwrap().unknown_user);
        assert_eq!(house.profile("u21").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(house.dictionary.lookup(&house.app, &["u21"]).unwrap(), [None]);
    };
    check(&house).await;
    drop(house);
    let house = House::open(folder.path()).await;
    check(&house).await;
    house.index.flush(&house.app).await.unwrap();
    house.users.tidy().await.unwrap();
    check(&house).await;
    // The id comes back: another user, of whom nothing is known.
    house.change("u21", "age", Op::Set(Value::Int(5))).await.unwrap();
    assert_eq!(
        house.profile("u21").await.unwrap(),
        BTreeMap::from([("age".into(), Value::Int(5))])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn half_the_users_expire_while_questions_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.publish(3_000).await;
    house.change("u5", "age", Op::Set(Value::Int(10_000))).await.unwrap();
    let (before, after) = (house.count("age >= 1500").await, 1_501);
    assert_eq!(before, 1_501);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = {
        let (crowds, app, stop, asked) =
            (house.crowds.clone(), house.app.clone(), stop.clone(), asked.clone());
        let definitions = definitions();
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let question = Question::parse("age >= 1500").unwrap();
                assert_eq!(crowds.count(&app, &definitions, &question).await.unwrap().count, 1_501);
                let sample = crowds.sample(&app, &definitions, &question, 3, 7).await.unwrap();
                for user in sample.users {
                    let values = crowds.profile(&app, &user, None).await.unwrap();
                    assert!(
                        values
                            .iter()
                            .any(|v| v.name.as_str() == "age" && v.value >= Value::Int(1_500)),
                        "{user}: {values:?}"
                    );
                    assert!(
                        crowds.judge(&app, &user, "grown").await.unwrap().in_crowd || user == "u5"
                    );
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let expire = Question::parse("age < 1500").unwrap();
    let first = house
        .users
        .compact(&house.app, &house.definitions, Some(&expire), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        (first.before, first.expired, first.users, first.generation),
        (3_000, 1_499, after, 2)
    );
    while asked.load(Ordering::Relaxed) < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    let check = async |house: &House| {
        assert_eq!(
            (
                house.count("age >= 0").await,
                house.count("age < 1500").await,
                house.count("age == 10000").await
            ),
            (after, 0, 1)
        );
        assert_eq!(house.dictionary.len(&house.app), after as u32, "no gaps");
        assert_eq!(house.members("grown").await.len(), 1_500);
        assert_eq!(
            house.dictionary.lookup(&house.app, &["u20", "u2999"]).unwrap(),
            [None, Some(1_500)]
        );
        assert_eq!(house.profile("u2999").await.unwrap()["age"], Value::Int(2_999));
    };
    check(&house).await;
    // Writers go on under the new generation.
    house.change("new", "age", Op::Set(Value::Int(3))).await.unwrap();
    assert_eq!(house.count("age == 3").await, 1);
    house.users.delete(&house.app, &["new".to_owned()]).await.unwrap();
    drop(house);
    let house = House::open(folder.path()).await;
    assert_eq!(house.count("age >= 0").await, after);
    let again = house
        .users
        .compact(&house.app, &house.definitions, None, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((again.users, again.generation), (after, 3));
    check(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_expiry_the_files_are_as_small_as_fresh_ones() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let house = House::open(folder.path()).await;
    house.publish(40_000).await;
    let expire = Question::parse("age < 20000").unwrap();
    house
        .users
        .compact(&house.app, &house.definitions, Some(&expire), &CancellationToken::new())
        .await
        .unwrap();
    // A compaction of nobody, so that both dictionaries are of one form.
    let fresh = House::open(other.path()).await;
    fresh.publish_those(20_000..40_000).await;
    fresh
        .users
        .compact(&fresh.app, &fresh.definitions, None, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((house.count("age >= 0").await, fresh.count("age >= 0").await), (20_000, 20_000));
    let (packed, built) = (house.bytes(folder.path()).await, fresh.bytes(other.path()).await);
    assert!(packed * 100 <= built * 110, "{packed} bytes, fresh {built}");
}
