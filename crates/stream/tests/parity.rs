//! What the stream is held against: values that are right differ from nothing, whatever goes on
//! beside; a value that is wrong is found, in the index and in the states.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use futures::StreamExt;
use std::sync::Arc;
use taghouse_index::{ChangeColumn, Changes, TagChanges};
use taghouse_lake::layout;
use taghouse_model::{Clock, Name, Value};
use taghouse_stream::{DifferenceClass, Parity};
use taghouse_testkit::Dice;
use taghouse_users::{Op, UnknownUsers, UserChange};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use world::{HOUR_MS, HandClock, World};

const SHOP: &str = r#"
kind: app
id: shop
time_zone: Europe/London
identities: { types: { anonymous: { limit: 3 } } }
---
kind: source
name: live
format: segment
max_future: 3d
properties: { qty: { column: qty, type: int } }
attributes: { age: { column: age, type: int } }
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [buy], function: count, window: 30d}}
---
{kind: tag, name: pieces, type: int, mode: both, aggregate: {events: [buy], function: sum, value: qty}}
---
{kind: tag, name: age, type: int, mode: stream, attribute: age}
---
{kind: tag, name: keen, type: bool, mode: stream, expression: "orders >= 2 || age > 50"}
---
{kind: crowd, name: lately, live: true, expression: 'did("buy", count >= 2, within 2d)'}
"#;

struct Shop {
    world: World,
    _folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let world = World::open(folder.path(), &HandClock::starting(), SHOP).await;
        Self { world, _folder: folder }
    }

    async fn buy(&self, user: &str, id: &str) {
        let time_ms = self.world.clock.now_ms() - 1;
        self.world.event(user, "buy", time_ms, id, r#"{"qty": 2}"#).await;
    }

    /// Ann has bought once, bob twice, and cid never.
    async fn with_customers() -> Self {
        let shop = Self::open().await;
        shop.buy("ann", "m1").await;
        shop.buy("bob", "m2").await;
        shop.buy("bob", "m3").await;
        let time_ms = shop.world.clock.now_ms() - 1;
        shop.world.traits("cid", time_ms, "m4", r#"{"age": 60}"#).await;
        shop.world.settle().await;
        shop
    }

    async fn compare(&self, tag: Option<&str>, seed: u64) -> Parity {
        self.world.parity(tag, seed).await
    }

    /// Rows of the lake that no call brought: those of a user once more, as another's if one is
    /// named.
    async fn forge(&self, of: &str, user: &str) {
        let world = &self.world;
        let events = world.lake.table(&world.app, layout::EVENTS).await.unwrap().unwrap();
        let names: Vec<String> =
            events.arrow_schema().fields().iter().map(|field| field.name().clone()).collect();
        let columns: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut writer = events.writer();
        for mut batches in events.scan(&columns).plan(1).await.unwrap().partitions() {
            while let Some(batch) = batches.next().await {
                let batch = batch.unwrap();
                let place = batch.schema().index_of("user_id").unwrap();
                let ids = batch.column(place).as_any().downcast_ref::<StringArray>().unwrap();
                let Some(row) = ids.iter().position(|id| id == Some(of)) else { continue };
                let row = batch.slice(row, 1);
                let mut columns: Vec<ArrayRef> = row.columns().to_vec();
                columns[place] = Arc::new(StringArray::from(vec![user]));
                writer.write(RecordBatch::try_new(row.schema(), columns).unwrap()).await.unwrap();
            }
        }
        let mut commit = world.lake.begin(&world.app);
        commit.append(&events, writer.close().await.unwrap());
        commit.commit().await.unwrap();
    }

    /// Puts a value into the index that nobody computed.
    async fn corrupt(&self, user: &str, tag: &str, value: i64) {
        let users = self.world.users.share(&self.world.app).await;
        let ordinal = users.ordinal(user).await.unwrap().unwrap();
        let column = TagChanges {
            tag: Name::new(tag).unwrap(),
            ordinals: vec![ordinal],
            column: ChangeColumn::Numbers(vec![value]),
        };
        let changes =
            Changes { generation: users.generation(), columns: vec![column], ..Changes::default() };
        users.apply(changes).await.unwrap();
    }
}

/// The differences as `user tag class`.
fn named(parity: &Parity) -> Vec<String> {
    let name = |d: &taghouse_stream::Difference| format!("{} {} {}", d.user, d.tag, d.class);
    parity.differences.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_right_differ_from_nothing() {
    let shop = Shop::with_customers().await;
    let parity = shop.compare(None, 1).await;
    assert_eq!(named(&parity), Vec::<String>::new());
    assert_eq!((parity.users, parity.users_known, parity.looks), (3, 3, 1));
    let values = |tag: &str| parity.tags[&Name::new(tag).unwrap()].values;
    assert_eq!((values("orders"), values("pieces"), values("age"), values("keen")), (2, 2, 1, 3));
    assert_eq!(parity.tags.len(), 5, "and the condition of the crowd");

    let one = shop.compare(Some("keen"), 2).await;
    assert_eq!(one.tags.keys().map(Name::as_str).collect::<Vec<_>>(), ["keen"]);
    assert_eq!(named(&one), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_value_in_the_index_is_found() {
    let shop = Shop::with_customers().await;
    shop.corrupt("bob", "orders", 7).await;
    let parity = shop.compare(None, 1).await;
    assert_eq!(named(&parity), ["bob orders defect"]);
    let found = &parity.differences[0];
    assert_eq!(
        (&found.shown, &found.held, &found.batch),
        (&Some(Value::Int(7)), &Some(Value::Int(2)), &Some(Value::Int(2)))
    );
    let name = Name::new("orders").unwrap();
    assert_eq!((parity.defects(), parity.count(&name, DifferenceClass::Defect)), (1, 1));
    assert_eq!(named(&shop.compare(Some("pieces"), 1).await), Vec::<String>::new());
    // The next event makes it right.
    shop.buy("bob", "m9").await;
    assert_eq!(named(&shop.compare(None, 2).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_states_lack_is_found() {
    let shop = Shop::with_customers().await;
    shop.world.land().await;
    shop.forge("ann", "ann").await;
    let parity = shop.compare(None, 1).await;
    let found = named(&parity);
    assert_eq!(found.len(), 4, "{found:?}");
    for tag in ["keen", "orders", "pieces"] {
        assert!(found.contains(&format!("ann {tag} defect")), "{found:?}");
    }
    assert_eq!(parity.looks, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whom_only_the_lake_knows_is_found() {
    let shop = Shop::with_customers().await;
    shop.world.land().await;
    shop.forge("ann", "dora").await;
    let parity = shop.compare(None, 1).await;
    let found = named(&parity);
    assert!(found.contains(&"dora orders defect".to_owned()), "{found:?}");
    assert!(found.iter().all(|found| found.starts_with("dora ")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_changed_by_hand_is_told_from_a_defect() {
    let shop = Shop::with_customers().await;
    let world = &shop.world;
    let change = UserChange {
        user: "ann".to_owned(),
        tag: Name::new("orders").unwrap(),
        op: Op::Set(Value::Int(40)),
    };
    let (app, unknown) = (&world.app, UnknownUsers::Refused);
    world.users.change(app, &world.definitions, vec![change], unknown).await.unwrap();
    let parity = shop.compare(None, 1).await;
    assert_eq!(named(&parity), ["ann orders by_hand"]);
    assert_eq!(parity.looks, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_on_beside_is_no_defect() {
    let shop = Shop::with_customers().await;
    let world = &shop.world;
    let busy = async {
        let mut dice = Dice::new(7);
        for number in 0..400_u64 {
            let kind = if dice.one_in(4) { 'a' } else { 'u' };
            let user = format!("{kind}{}", dice.below(40));
            let late = dice.below(40 * 24) as i64 * HOUR_MS;
            let ahead = if dice.one_in(6) { dice.below(3) as i64 * HOUR_MS } else { 0 };
            let time_ms = world.clock.now_ms() - 1 - late + ahead;
            world.event(&user, "buy", time_ms, &format!("b{number}"), r#"{"qty": 1}"#).await;
            match dice.below(30) {
                0 => drop(world.users.delete(&world.app, &[user]).await.unwrap()),
                1 => {
                    let known = format!("u{}", dice.below(40));
                    world.link(&known, &user, dice.one_in(2), &format!("l{number}")).await;
                }
                2 => world.unlink(&user).await,
                3 => drop(world.produced(&["pieces"]).await),
                4 => {
                    let stop = CancellationToken::new();
                    let app = &world.app;
                    world.users.compact(app, &world.definitions, None, &stop).await.unwrap();
                }
                5..8 => world.clock.pass(dice.below(30) as i64 * HOUR_MS),
                8..20 => world.follow().await,
                _ => world.clock.pass(dice.below(900) as i64),
            }
            tokio::task::yield_now().await;
        }
    };
    let comparing = async {
        let mut users = 0;
        for seed in 0..25 {
            let parity = shop.compare(None, seed).await;
            assert_eq!(parity.defects(), 0, "{:?}", parity.differences);
            users += parity.users;
        }
        users
    };
    let ((), users) = tokio::join!(busy, comparing);
    assert!(users > 100, "{users}");
}
