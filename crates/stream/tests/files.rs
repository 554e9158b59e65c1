//! Files that land beside live calls: their rows are in the values, also where the process was
//! killed before the stream was told of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::path::Path;
use taghouse_ingest::{Attendant, FileIngest, IngestOptions};
use taghouse_model::{Name, Value};
use tempfile::TempDir;
use world::{HandClock, START_MS, World};

const DEFINITIONS: &str = r#"
kind: app
id: shop
---
{kind: source, name: live, format: segment}
---
{kind: source, name: old, format: csv, message_id: id, user_id: user, event: {column: event}, time: time}
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: tag, name: buyer, type: bool, mode: stream, expression: orders >= 1}
"#;

const MORE: &str = r#"
---
{kind: tag, name: recent, type: date, precision: millisecond, mode: stream, session: {function: last_start}}
---
{kind: tag, name: new_buyer, type: bool, mode: stream, expression: buyer == true && recent within last 10d}
"#;

async fn orders(world: &World) -> Option<Value> {
    world.settle().await;
    let shown = world.shown(&["orders"]).await;
    shown["ann"].get("orders").cloned()
}

/// Ingests an order of last year; whether the stream is told.
async fn ingest(world: &World, folder: &Path, id: &str, is_told: bool) {
    let file = folder.join(format!("{id}.csv"));
    std::fs::write(&file, format!("id,user,event,time\n{id},ann,order,2022-01-01T00:00:00\n"))
        .unwrap();
    let files = FileIngest::new(world.catalog.clone(), world.lake.clone(), world.clock.clone());
    let files = if is_told { files.beside(&world.landing) } else { files };
    let source = Name::new("old").unwrap();
    let (options, nobody) = (IngestOptions::default(), Attendant::nobody());
    let report = files
        .ingest(&world.app, &world.definitions, &source, &[file], &options, nobody)
        .await
        .unwrap();
    assert_eq!(report.files_new, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_files_are_in_the_values_though_nobody_was_told_of_them() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = World::open(folder.path(), &clock, DEFINITIONS).await;
    world.event("ann", "order", START_MS - 1, "m-1", "{}").await;
    assert_eq!(orders(&world).await, Some(Value::Int(1)));
    world.land().await;
    ingest(&world, folder.path(), "told", true).await;
    assert_eq!(orders(&world).await, Some(Value::Int(2)));
    ingest(&world, folder.path(), "untold", false).await;
    drop(world);

    // As after a kill between the commit and the word of it.
    let world = World::open(folder.path(), &clock, DEFINITIONS).await;
    assert_eq!(orders(&world).await, Some(Value::Int(3)));
    drop(world);

    // Nothing has come: what was saved is opened.
    let world = World::open(folder.path(), &clock, DEFINITIONS).await;
    world.follow().await;
    let status = world.stream.status(&world.app).await.unwrap();
    assert!(status.position.is_some() && !status.computing, "{status:?}");
    assert_eq!(orders(&world).await, Some(Value::Int(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_and_a_new_tag_leave_the_states_of_others_alone() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let mut world = World::open(folder.path(), &clock, DEFINITIONS).await;
    world.event("ann", "order", START_MS - 1, "m-1", "{}").await;
    world.settle().await;
    let status = async |world: &World| world.stream.status(&world.app).await.unwrap();
    assert_eq!((status(&world).await.computed, status(&world).await.file_rows), (2, 0));

    // Rows of a file, while a call waits to land; one of them is of a user who is new.
    ingest(&world, folder.path(), "early", true).await;
    assert_eq!(orders(&world).await, Some(Value::Int(2)));
    assert_eq!((status(&world).await.computed, status(&world).await.file_rows), (2, 1));

    // Two tags more, one of them over a tag that was there.
    world.definitions = world::definitions(&(DEFINITIONS.to_owned() + MORE));
    world.settle().await;
    let shown = world.shown(&["orders", "new_buyer"]).await;
    assert_eq!(shown["ann"]["new_buyer"], Value::Bool(true));
    assert_eq!(shown["ann"]["orders"], Value::Int(2));
    assert_eq!(status(&world).await.computed, 4);

    // They are gone, and come again while nobody looks; what was there is opened.
    world.land().await;
    world.event("ann", "order", START_MS - 1, "m-2", "{}").await;
    world.definitions = world::definitions(DEFINITIONS);
    assert_eq!(orders(&world).await, Some(Value::Int(3)));
    world.land().await;
    drop(world);
    let text = DEFINITIONS.to_owned() + MORE;
    let world = World::open(folder.path(), &clock, &text).await;
    assert_eq!(orders(&world).await, Some(Value::Int(3)));
    assert_eq!(world.shown(&["new_buyer"]).await["ann"]["new_buyer"], Value::Bool(true));
    assert_eq!(status(&world).await.computed, 2, "the new ones alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_file_brings_while_its_call_waits_counts_once() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = World::open(folder.path(), &clock, DEFINITIONS).await;
    let time_ms = 1_640_995_200_000;
    world.event("ann", "order", time_ms, "twice", "{}").await;
    assert_eq!(orders(&world).await, Some(Value::Int(1)));
    ingest(&world, folder.path(), "twice", true).await;
    // The call is decided again when it is to land; from then on the row of the file counts alone.
    world.land().await;
    assert_eq!(orders(&world).await, Some(Value::Int(1)));
    assert_eq!(world.produced(&["orders"]).await["ann"]["orders"], Value::Int(1));
}
