//! Values of a first computation, of every type and of numbers that 64 bits do not hold.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use taghouse_model::Value;
use tempfile::TempDir;
use world::{HandClock, START_MS, World};

const SOURCE: &str = r#"
kind: app
id: shop
---
kind: source
name: live
format: segment
properties:
  amount: { column: amount, type: decimal, scale: 2 }
  sku: { column: sku, type: text }
"#;

const TAGS: &str = r#"
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: tag, name: spend, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: sum, value: amount}}
---
{kind: tag, name: dearest, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: max, value: amount}}
---
{kind: tag, name: last_sku, type: enum, mode: both, aggregate: {function: last, value: sku}}
---
{kind: tag, name: skus, type: set, mode: both, aggregate: {function: set, value: sku}}
---
{kind: tag, name: rich, type: bool, mode: both, expression: spend >= 1000}
---
{kind: tag, name: owed, type: decimal, scale: 2, mode: both, expression: 0 - spend}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_every_type_are_published() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let mut world = World::open(folder.path(), &clock, SOURCE).await;
    // 10^20 units: more than 64 bits; three such, and many small ones.
    let huge = "1000000000000000000.00";
    for (number, (user, amount)) in
        [("ann", huge), ("ann", huge), ("bob", "7.50"), ("cid", "0.01"), ("ann", huge)]
            .into_iter()
            .enumerate()
    {
        let properties = format!("{{\"amount\": {amount}, \"sku\": \"s{number}\"}}");
        world.event(user, "order", START_MS - 1, &format!("m-{number}"), &properties).await;
    }
    world.land().await;

    // All of it is in the lake: the tags are computed from there.
    world.definitions = world::definitions(&format!("{SOURCE}{TAGS}"));
    world.settle().await;
    let names = ["orders", "spend", "dearest", "last_sku", "skus", "rich", "owed"];
    let shown = world.shown(&names).await;
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    assert_eq!(shown["ann"]["spend"], decimal("3000000000000000000.00"));
    assert_eq!(shown["ann"]["owed"], decimal("-3000000000000000000.00"));
    assert_eq!(shown["ann"]["dearest"], decimal(huge));
    assert_eq!(shown["ann"]["rich"], Value::Bool(true));
    assert_eq!(shown["bob"]["spend"], decimal("7.50"));
    assert_eq!(shown["cid"]["owed"], decimal("-0.01"));
    assert_eq!(shown["cid"]["rich"], Value::Bool(false));
    assert_eq!(shown["bob"]["last_sku"], Value::text("s2"));
    assert_eq!(shown["ann"]["orders"], Value::Int(3));
    assert_eq!(shown, world.produced(&names).await);
    let scratch = std::fs::read_dir(folder.path().join("scratch")).unwrap();
    assert_eq!(scratch.count(), 0, "nothing is left of the computation");
}
