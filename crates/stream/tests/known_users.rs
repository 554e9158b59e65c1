//! Users of whom no row tells, or none any more: judgments know them, so the feed says where they
//! are.
#![allow(clippy::unwrap_used, clippy::panic)]

mod told;
mod world;

use std::collections::BTreeSet;
use std::path::Path;
use taghouse_model::{Name, Value};
use taghouse_users::{Op, UnknownUsers, UserChange};
use tempfile::TempDir;
use told::Told;
use world::{HandClock, START_MS, World};

const SHOP: &str = r#"
kind: app
id: shop
---
{kind: source, name: live, format: segment}
---
{kind: source, name: old, format: csv, message_id: id, user_id: user, event: {column: event}, time: time}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: views, type: int, mode: batch, aggregate: {events: [view], function: count}}
---
{kind: crowd, name: away, live: true, expression: "!(orders >= 1)"}
"#;

/// The feed says what judgments say, and these are in the crowd.
async fn check(world: &World, expected: &[&str], when: &str) {
    world.settle().await;
    let members = world.members("away").await;
    assert_eq!(
        members,
        expected.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(),
        "{when}"
    );
    Told::read(world).await.compare_members("away", &members, when);
}

async fn file(world: &World, folder: &Path, rows: &str) {
    let file = folder.join("orders.csv");
    std::fs::write(&file, format!("id,user,event,time\n{rows}")).unwrap();
    world.ingest(&file, true).await;
}

async fn change(world: &World, user: &str, op: Op) {
    let World { users, app, definitions, .. } = world;
    let change = UserChange { user: user.to_owned(), tag: Name::new("views").unwrap(), op };
    users.change(app, definitions, vec![change], UnknownUsers::Created).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_in_a_file_that_is_replaced_is_still_in_a_crowd_of_those_who_lack_something() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = World::open(folder.path(), &clock, SHOP).await;
    world.event("ann", "order", START_MS - 1, "m-1", "{}").await;
    file(&world, folder.path(), "m-2,bob,view,2022-01-01T00:00:00\n").await;
    check(&world, &["bob"], "of the file").await;

    file(&world, folder.path(), "m-3,eve,view,2022-01-01T00:00:00\n").await;
    check(&world, &["bob", "eve"], "of another file in its place").await;

    // The states see the user for the first time, and the user is in the crowd already.
    world.event("bob", "order", START_MS - 1, "m-4", "{}").await;
    check(&world, &["eve"], "with an order").await;

    file(&world, folder.path(), "m-5,eve,order,2022-01-01T00:00:00\n").await;
    check(&world, &[], "of a third file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_to_exist_by_a_value_of_a_batch_tag_enters_the_crowds_of_those_who_lack_something()
 {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = World::open(folder.path(), &clock, SHOP).await;
    world.event("ann", "order", START_MS - 1, "m-1", "{}").await;
    check(&world, &[], "before").await;

    change(&world, "bob", Op::Set(Value::Int(3))).await;
    check(&world, &["bob"], "with a value").await;

    world.event("bob", "order", START_MS - 1, "m-2", "{}").await;
    change(&world, "eve", Op::Set(Value::Int(3))).await;
    check(&world, &["eve"], "with an order").await;

    // All states are computed from the lake, where no row tells of her.
    for id in ["m-3", "m-4"] {
        file(&world, folder.path(), &format!("{id},zoe,order,2022-01-01T00:00:00\n")).await;
        check(&world, &["eve"], "after a file in another's place").await;
    }
    drop(world);

    let world = World::open(folder.path(), &clock, SHOP).await;
    check(&world, &["eve"], "after another start").await;
    world.users.delete(&world.app, &["eve".to_owned()]).await.unwrap();
    check(&world, &[], "deleted").await;
    change(&world, "eve", Op::Set(Value::Int(1))).await;
    check(&world, &["eve"], "come back").await;
}
