//! Values of all users are computed for a publication while calls, deletions and time go on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod told;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use taghouse_model::Clock;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use told::Told;
use world::{HOUR_MS, HandClock, World};

const SHOP: &str = r#"
kind: app
id: shop
---
{kind: source, name: live, format: segment, properties: {price: {column: price, type: decimal, scale: 2}}}
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2 && !(recent >= 1)"}
---
{kind: crowd, name: away, live: true, expression: "!(orders >= 1)"}
"#;

/// Definitions that take turns: tags that come, go and are others.
const TURNS: [&str; 3] = [
    "---\n{kind: tag, name: recent, type: int, mode: both, aggregate: {events: [order], function: count, window: 3h}}\n\
     ---\n{kind: tag, name: rich, type: bool, mode: both, expression: orders >= 3}\n",
    "---\n{kind: tag, name: recent, type: int, mode: both, aggregate: {events: [view], function: count, window: 3h}}\n\
     ---\n{kind: tag, name: spent, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: sum, value: price}}\n\
     ---\n{kind: tag, name: rich, type: bool, mode: both, expression: spent >= 20}\n",
    "---\n{kind: tag, name: recent, type: int, mode: both, aggregate: {events: [order, view], function: count, window: 2h}}\n",
];

const NAMES: [&str; 4] = ["orders", "recent", "rich", "spent"];

/// More than are computed at once.
const USERS: u64 = 3_000;

/// Calls that come, until it is stopped: how many.
async fn calls(world: &World, stopped: &AtomicBool, next: &AtomicU64) -> u64 {
    let mut came = 0;
    while !stopped.load(Ordering::Relaxed) {
        for _ in 0..20 {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let user = format!("u{}", number * 7919 % USERS);
            let name = if number.is_multiple_of(3) { "view" } else { "order" };
            let at_ms = world.clock.now_ms() - 1 - (number % 5) as i64 * HOUR_MS;
            let id = format!("m-{number}");
            world.event(&user, name, at_ms, &id, "{\"price\": 2.5}").await;
            came += 1;
        }
        if came % 100 == 0 {
            let user = format!("u{}", came * 31 % USERS);
            world.users.delete(&world.app, &[user]).await.unwrap();
        }
        let end = world.log.end(&world.app).await.unwrap();
        let on = CancellationToken::new();
        world.landing.admit(&world.app, &world.definitions, end, &on).await.unwrap();
        world.clock.pass(HOUR_MS / 200);
    }
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_values_are_computed_is_in_them() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let mut world = World::open(folder.path(), &clock, &format!("{SHOP}{}", TURNS[2])).await;
    for user in 0..USERS {
        let name = if user.is_multiple_of(4) { "view" } else { "order" };
        world
            .event(&format!("u{user}"), name, clock.now_ms() - 1, &format!("u-{user}"), "{}")
            .await;
    }
    world.settle().await;

    let next = Arc::new(AtomicU64::new(0));
    let mut beside = 0;
    for turn in TURNS.iter().cycle().take(6) {
        world.definitions = world::definitions(&format!("{SHOP}{turn}"));
        let stopped = AtomicBool::new(false);
        let computing = async {
            world.follow().await;
            world.follow().await;
            stopped.store(true, Ordering::Relaxed);
        };
        let ((), came) = tokio::join!(computing, calls(&world, &stopped, &next));
        beside += came;

        world.settle().await;
        let names: Vec<&str> = NAMES.into_iter().filter(|name| turn.contains(name)).collect();
        let shown = world.shown(&names).await;
        assert_eq!(shown, world.produced(&names).await, "{turn}");
        let told = Told::read(&world).await;
        for crowd in ["buyers", "away"] {
            told.compare_members(crowd, &world.members(crowd).await, turn);
        }
    }
    assert!(beside > 0, "nothing came beside");
}
