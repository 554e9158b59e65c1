//! Values changed by hand outlive a computation from the lake, until a later row of their tag comes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use taghouse_catalog::Change;
use taghouse_model::{Clock, Name, Value};
use taghouse_testkit::Dice;
use taghouse_users::{Op, UnknownUsers, UserChange};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use world::{HandClock, World};

const SHOP: &str = r#"
kind: app
id: shop
identities: { types: { anonymous: { limit: 3 } } }
---
{kind: source, name: live, format: segment, properties: {qty: {column: qty, type: int}, sku: {column: sku, type: text}}, attributes: {age: {column: age, type: int}}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [buy], function: count, window: 30d}}
---
{kind: tag, name: pieces, type: int, mode: both, aggregate: {events: [buy], function: sum, value: qty}}
---
{kind: tag, name: views, type: int, mode: stream, aggregate: {events: [view], function: count}}
---
{kind: tag, name: things, type: set, mode: stream, aggregate: {events: [buy], function: set, value: sku}}
---
{kind: tag, name: age, type: int, mode: stream, attribute: age}
---
{kind: tag, name: keen, type: bool, mode: both, expression: "orders >= 2 || age > 50"}
"#;

/// Another rule for all tags over events but `keen`.
fn otherwise() -> String {
    SHOP.replace("events: [buy]", "events: [buy, order]").replace("[view]", "[view, look]")
}

async fn change(world: &World, user: &str, tag: &str, op: Op) {
    let change = UserChange { user: user.to_owned(), tag: Name::new(tag).unwrap(), op };
    let (app, definitions) = (&world.app, &world.definitions);
    world.users.change(app, definitions, vec![change], UnknownUsers::Created).await.unwrap();
    world.clock.pass(5);
}

async fn buy(world: &World, user: &str, id: &str) {
    world.event(user, "buy", world.clock.now_ms(), id, r#"{"qty": 2, "sku": "2"}"#).await;
    world.clock.pass(5);
}

async fn compact(world: &World) {
    let stop = CancellationToken::new();
    world.users.compact(&world.app, &world.definitions, None, &stop).await.unwrap();
}

/// What is shown of a user, as `tag value`.
async fn of(world: &World, user: &str) -> Vec<String> {
    let tags = ["orders", "pieces", "views", "things", "age", "keen"];
    let shown = world.shown(&tags).await.remove(user).unwrap_or_default();
    shown.into_iter().map(|(tag, value)| format!("{tag} {value:?}")).collect()
}

fn int(value: i64) -> Op {
    Op::Set(Value::Int(value))
}

/// Ann has bought once, bob twice, cid is old enough, and nobody knows dan but by hand.
async fn changed(folder: &TempDir, clock: &std::sync::Arc<HandClock>) -> World {
    let world = World::open(folder.path(), clock, SHOP).await;
    for (user, id) in [("ann", "m1"), ("bob", "m2"), ("bob", "m3")] {
        buy(&world, user, id).await;
    }
    world.traits("cid", clock.now_ms(), "m4", r#"{"age": 60}"#).await;
    clock.pass(5);
    world.settle().await;

    change(&world, "ann", "orders", int(40)).await;
    change(&world, "ann", "pieces", int(80)).await;
    change(&world, "bob", "orders", Op::Unset).await;
    change(&world, "bob", "things", Op::Add("9".into())).await;
    change(&world, "cid", "keen", Op::Set(Value::Bool(false))).await;
    change(&world, "dan", "age", int(33)).await;
    world.settle().await;
    world
}

/// Another row of `ann`, which her tags by hand do not look at.
async fn look(world: &World) {
    world.event("ann", "view", world.clock.now_ms(), "m5", "{}").await;
    world.clock.pass(5);
    world.settle().await;
}

async fn everybody(world: &World) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::new();
    for user in ["ann", "bob", "cid", "dan"] {
        all.insert(user, of(world, user).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_there_after_users_were_renumbered_and_after_a_start_without_states() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = changed(&folder, &clock).await;
    look(&world).await;
    let before = everybody(&world).await;
    assert_eq!(
        before["ann"],
        [
            "keen Bool(false)",
            "orders Int(40)",
            "pieces Int(80)",
            r#"things Set({"2"})"#,
            "views Int(1)"
        ]
    );
    assert_eq!(before["bob"], ["keen Bool(true)", "pieces Int(4)", r#"things Set({"2", "9"})"#]);
    assert_eq!(before["cid"], ["age Int(60)", "keen Bool(false)"]);
    assert!(before["dan"].contains(&"age Int(33)".to_owned()));

    compact(&world).await;
    world.settle().await;
    assert_eq!(everybody(&world).await, before, "after a compaction");

    // No checkpoint: all states are computed from the lake.
    let saved = world.catalog.pointer("stream", &world.app, "state").await.unwrap().unwrap();
    let gone = Change::DeletePointer {
        kind: "stream".to_owned(),
        app: world.app.clone(),
        name: "state".to_owned(),
        expected: saved.revision,
    };
    world.catalog.commit(vec![gone]).await.unwrap();
    world.feeds.leave().await;
    drop(world);
    let world = World::open(folder.path(), &clock, SHOP).await;
    world.settle().await;
    assert_eq!(everybody(&world).await, before, "after a start without states");
    let status = world.stream.status(&world.app).await.unwrap();
    assert!(status.computed > 0, "the states were not computed again");

    // A production says the same of what it makes.
    let produced = world.produced(&["pieces"]).await;
    assert_eq!(produced["ann"]["pieces"], Value::Int(80));
    assert_eq!(produced["bob"]["pieces"], Value::Int(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_there_after_the_definition_of_their_tag_has_changed() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let mut world = changed(&folder, &clock).await;
    let before = everybody(&world).await;
    world.definitions = world::definitions(&otherwise());
    world.settle().await;
    assert_eq!(everybody(&world).await, before);

    // A tag of batches that becomes a live one.
    let batch = SHOP.replace("name: pieces, type: int, mode: both", "name: pieces, type: int");
    world.definitions = world::definitions(&batch);
    world.settle().await;
    assert_eq!(world.produced(&["pieces"]).await["ann"]["pieces"], Value::Int(80));
    change(&world, "ann", "pieces", int(81)).await;
    world.definitions = world::definitions(SHOP);
    world.settle().await;
    assert_eq!(world.shown(&["pieces"]).await["ann"]["pieces"], Value::Int(81));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_row_or_a_deletion_ends_them() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = changed(&folder, &clock).await;
    buy(&world, "ann", "m6").await;
    // Of bob something comes later, and of dan, whom a change by hand alone knew, nothing.
    let gone = ["bob".to_owned(), "dan".to_owned()];
    world.users.delete(&world.app, &gone).await.unwrap();
    clock.pass(5);
    buy(&world, "bob", "m7").await;
    world.settle().await;
    let before = everybody(&world).await;
    assert!(before["ann"].contains(&"orders Int(2)".to_owned()), "{before:?}");
    assert!(before["bob"].contains(&"orders Int(1)".to_owned()), "{before:?}");
    compact(&world).await;
    world.settle().await;
    assert_eq!(everybody(&world).await, before);
    assert!(!world.shown(&["orders"]).await.contains_key("dan"), "who was deleted is back");
}

/// What a user's number of orders is to be.
#[derive(Default, Clone, Copy)]
struct Wanted {
    orders: i64,
    by_hand: Option<i64>,
}

const USERS: u64 = 1_500;

/// Orders and changes by hand, until it is stopped.
async fn goes_on(
    world: &World,
    wanted: &mut [Wanted],
    dice: &mut Dice,
    next: &AtomicU64,
    stopped: &AtomicBool,
) {
    while !stopped.load(Ordering::Relaxed) {
        for _ in 0..10 {
            let user = dice.below(USERS);
            let (id, wanted) = (format!("u{user}"), &mut wanted[user as usize]);
            let number = next.fetch_add(1, Ordering::Relaxed);
            if dice.one_in(3) {
                change(world, &id, "orders", int(1_000 + number as i64)).await;
                wanted.by_hand = Some(1_000 + number as i64);
            } else if dice.one_in(2) {
                // It touches the user's states, and not the tag.
                world.event(&id, "view", world.clock.now_ms(), &format!("m{number}"), "{}").await;
            } else {
                buy(world, &id, &format!("m{number}")).await;
                *wanted = Wanted { orders: wanted.orders + 1, by_hand: None };
            }
        }
        let end = world.log.end(&world.app).await.unwrap();
        let on = CancellationToken::new();
        world.landing.admit(&world.app, &world.definitions, end, &on).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_may_be_made_while_states_are_computed() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let mut world = World::open(folder.path(), &clock, SHOP).await;
    let mut wanted = vec![Wanted::default(); USERS as usize];
    for (user, wanted) in wanted.iter_mut().enumerate() {
        buy(&world, &format!("u{user}"), &format!("u-{user}")).await;
        wanted.orders = 1;
    }
    world.settle().await;

    let (mut dice, next) = (Dice::new(11), AtomicU64::new(0));
    for turn in 0..6 {
        match turn % 3 {
            0 => compact(&world).await,
            1 => world.definitions = world::definitions(&otherwise()),
            _ => world.definitions = world::definitions(SHOP),
        }
        let stopped = AtomicBool::new(false);
        let computing = async {
            world.follow().await;
            world.follow().await;
            stopped.store(true, Ordering::Relaxed);
        };
        tokio::join!(computing, goes_on(&world, &mut wanted, &mut dice, &next, &stopped));
        world.settle().await;

        let shown = world.shown(&["orders"]).await;
        for (user, wanted) in wanted.iter().enumerate() {
            let value = Value::Int(wanted.by_hand.unwrap_or(wanted.orders));
            let id = format!("u{user}");
            assert_eq!(shown[&id].get("orders"), Some(&value), "turn {turn}, {id}");
        }
    }
    assert!(next.load(Ordering::Relaxed) > 100, "little came beside");
}
