//! A source that falls silent: windows end, states and sequences go on, and who is in a live crowd by
//! that leaves it, by the clock alone. No event and no mark of time has to come.
#![allow(clippy::unwrap_used, clippy::panic)]

mod told;
mod world;

use taghouse_model::{Clock, Value};
use tempfile::TempDir;
use told::Told;
use world::{HOUR_MS, HandClock, World};

const SHOP: &str = r#"
kind: app
id: shop
time_zone: Europe/London
---
{kind: source, name: live, format: segment, properties: {sku: sku}}
---
{kind: source, name: other, format: segment, properties: {sku: sku}}
---
{kind: tag, name: views_1h, type: int, mode: stream, aggregate: {events: [view], function: count, window: 1h}}
---
{kind: tag, name: views_2d, type: int, mode: stream, aggregate: {events: [view], function: count, window: 2d}}
---
kind: tag
name: lifecycle
type: enum
mode: stream
state:
  transitions:
    - { events: [view], to: active }
    - { after: 30h, from: [active], to: idle }
---
kind: tag
name: left_it
type: bool
mode: stream
sequence:
  steps:
    - { events: [view], same: sku }
    - { events: [buy], same: sku, absent: true, within: 7h }
---
{kind: tag, name: is_quiet, type: bool, mode: stream, expression: "!(views_1h >= 1)"}
---
{kind: crowd, name: here, live: true, expression: "views_1h >= 1"}
"#;

async fn check(world: &World, crowd: &[&str], expected: &[(&str, Value)]) {
    world.settle().await;
    let tags = ["views_1h", "views_2d", "lifecycle", "left_it", "is_quiet"];
    let shown = world.shown(&tags).await;
    let of_ann: Vec<(&str, Value)> =
        shown["ann"].iter().map(|(tag, value)| (tag.as_str(), value.clone())).collect();
    let mut expected = expected.to_vec();
    expected.sort_by_key(|(tag, _)| *tag);
    assert_eq!(of_ann, expected, "at {}", world.clock.now_ms());
    let members = world.members("here").await;
    assert_eq!(members.iter().map(String::as_str).collect::<Vec<_>>(), crowd);
    let told = Told::read(world).await;
    told.compare_values(&shown, &tags, "what the feed says");
    told.compare_members("here", &members, "who the feed says is in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_source_closes_its_windows() {
    let folder = TempDir::new().unwrap();
    let clock = HandClock::starting();
    // Within an hour, by which the window of an hour slides.
    clock.pass(HOUR_MS / 2);
    let world = World::open(folder.path(), &clock, SHOP).await;
    let time_ms = clock.now_ms() - 1;
    world.event("ann", "view", time_ms, "m1", r#"{"sku": "a"}"#).await;
    let text = |text: &str| Value::Text(text.into());
    let first = [
        ("views_1h", Value::Int(1)),
        ("views_2d", Value::Int(1)),
        ("lifecycle", text("active")),
        ("left_it", Value::Bool(false)),
        ("is_quiet", Value::Bool(false)),
    ];
    check(&world, &["ann"], &first).await;

    clock.pass(2 * HOUR_MS);
    let quiet = [
        ("views_2d", Value::Int(1)),
        ("lifecycle", text("active")),
        ("left_it", Value::Bool(false)),
        ("is_quiet", Value::Bool(true)),
    ];
    check(&world, &[], &quiet).await;

    clock.pass(6 * HOUR_MS);
    let left = [
        ("views_2d", Value::Int(1)),
        ("lifecycle", text("active")),
        ("left_it", Value::Bool(true)),
        ("is_quiet", Value::Bool(true)),
    ];
    check(&world, &[], &left).await;

    // The source is silent over a restart, too: what is due is known from the checkpoint.
    world.land().await;
    world.feeds.leave().await;
    drop(world);
    clock.pass(72 * HOUR_MS);
    let world = World::open(folder.path(), &clock, SHOP).await;
    let long_after = [
        ("lifecycle", text("idle")),
        ("left_it", Value::Bool(true)),
        ("is_quiet", Value::Bool(true)),
    ];
    check(&world, &[], &long_after).await;
}
