//! The members of live crowds, when a process ends between what it tells of them and what it saves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod told;
mod world;

use std::path::PathBuf;
use taghouse_model::Clock;
use taghouse_stream::Tick;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use told::Told;
use world::{HandClock, START_MS, World};

const SHOP: &str = r#"
kind: app
id: shop
---
{kind: source, name: live, format: segment}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 1"}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_enters_twice_when_who_entered_could_not_be_saved() {
    let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
    let world = World::open(folder.path(), &clock, SHOP).await;
    world.event("ann", "order", START_MS - 1, "m-1", "{}").await;

    // No object can be where a folder is.
    let saved = folder.path().join("objects/crowd_members/shop");
    let in_the_way = |feed_id: u64| -> PathBuf {
        saved.join(format!("{feed_id:020}-{}-told", world.clock.now_ms()))
    };
    let in_the_way: Vec<PathBuf> = (0..100).map(in_the_way).collect();
    in_the_way.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    let mut failed = 0;
    for _ in 0..20 {
        let end = world.log.end(&world.app).await.unwrap();
        let on = CancellationToken::new();
        world.landing.admit(&world.app, &world.definitions, end, &on).await.unwrap();
        match world.stream.tick(&world.definitions).await {
            Ok(Tick::Rebuild) => {
                let rebuilt = world.stream.rebuild(&world.definitions, &world.landing).await;
                failed += u32::from(rebuilt.is_err());
            }
            Ok(Tick::Done) => {}
            Err(_) => failed += 1,
        }
    }
    assert!(failed > 0, "it could be saved");
    Told::read(&world).await.compare_members(
        "buyers",
        &["ann".to_owned()].into(),
        "before the end",
    );
    world.feeds.leave().await;
    drop(world);

    in_the_way.iter().for_each(|folder| std::fs::remove_dir(folder).unwrap());
    let world = World::open(folder.path(), &clock, SHOP).await;
    world.event("bob", "order", START_MS - 1, "m-2", "{}").await;
    world.settle().await;
    let members = world.members("buyers").await;
    assert_eq!(members.len(), 2);
    // It fails where somebody enters who is in.
    Told::read(&world).await.compare_members("buyers", &members, "after another start");
}
