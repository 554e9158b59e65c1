//! Users who go and come back between two looks of the stream, and windows that end beside changes:
//! what the feed was told is what holds at the end, and nobody enters or leaves twice.
#![allow(clippy::unwrap_used, clippy::panic)]

mod told;
mod world;

use taghouse_ingest::{LogRecord, RecordBody};
use taghouse_model::{Clock, Name, Value};
use taghouse_users::{Op, UnknownUsers, UserChange};
use tempfile::TempDir;
use told::Told;
use world::{HOUR_MS, HandClock, World};

const TAGS: [&str; 4] = ["views", "views_1h", "age", "band"];
const CROWDS: [&str; 4] = ["young", "away", "young_now", "viewers"];

const SHOP: &str = r#"
kind: app
id: shop
identities: { types: { anonymous: { limit: 3 } } }
---
{kind: source, name: live, format: segment, attributes: {age: {column: age, type: int}}}
---
{kind: tag, name: views, type: int, mode: stream, aggregate: {events: [view], function: count}}
---
{kind: tag, name: views_1h, type: int, mode: stream, aggregate: {events: [view], function: count, window: 1h}}
---
{kind: tag, name: age, type: int, mode: stream, attribute: age}
---
kind: tag
name: band
type: enum
mode: stream
cohort:
  rules:
    - { when: views_1h >= 1 && age < 30, value: young_viewer }
    - { when: views >= 2, value: viewer }
  otherwise: none
---
{kind: crowd, name: young, live: true, expression: age < 30}
---
{kind: crowd, name: away, live: true, expression: "!(views_1h >= 1)"}
---
{kind: crowd, name: young_now, live: true, expression: views_1h >= 1 && age < 30}
---
{kind: crowd, name: viewers, live: true, expression: views >= 1}
"#;

struct Scene {
    world: World,
    _folder: TempDir,
    messages: u32,
}

impl Scene {
    async fn new() -> Self {
        let (clock, folder) = (HandClock::starting(), TempDir::new().unwrap());
        // Events of before lie in the hour in which they are looked at.
        clock.pass(HOUR_MS / 2);
        let world = World::open(folder.path(), &clock, SHOP).await;
        Self { world, _folder: folder, messages: 0 }
    }

    fn message(&mut self) -> String {
        self.messages += 1;
        format!("m-{}", self.messages)
    }

    async fn view(&mut self, user: &str) {
        let (id, at_ms) = (self.message(), self.world.clock.now_ms() - 1);
        self.world.event(user, "view", at_ms, &id, "{}").await;
    }

    async fn aged(&mut self, user: &str, age: u32) {
        let (id, at_ms) = (self.message(), self.world.clock.now_ms() - 1);
        self.world.traits(user, at_ms, &id, &format!(r#"{{"age": {age}}}"#)).await;
    }

    async fn set_age(&self, user: &str, age: i64) {
        let World { users, app, definitions, .. } = &self.world;
        let op = Op::Set(Value::Int(age));
        let change = UserChange { user: user.to_owned(), tag: Name::new("age").unwrap(), op };
        users.change(app, definitions, vec![change], UnknownUsers::Created).await.unwrap();
    }

    async fn delete(&self, user: &str) {
        self.world.users.delete(&self.world.app, &[user.to_owned()]).await.unwrap();
    }

    async fn unlink(&self, id: &str) {
        let body = RecordBody::Unlinked { id: id.to_owned() };
        let record = LogRecord::by_hand(self.world.clock.now_ms(), body);
        self.world.log.append(&self.world.app, vec![record.encode().unwrap()]).await.unwrap();
    }

    /// What the feed says is what holds, and these are in the crowd.
    async fn check(&self, crowd: &str, expected: &[&str]) {
        let world = &self.world;
        world.settle().await;
        let shown = world.shown(&TAGS).await;
        let told = Told::read(world).await;
        told.compare_values(&shown, &TAGS, "values");
        for (user, tags) in &shown {
            tags.iter().for_each(|(tag, value)| told.assert_told(user, tag, value));
        }
        for name in CROWDS {
            told.compare_members(name, &world.members(name).await, "members");
        }
        let members: Vec<String> = world.members(crowd).await.into_iter().collect();
        assert_eq!(members, expected, "{crowd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_by_hand_before_the_deletion_is_read_is_told_of() {
    let mut scene = Scene::new().await;
    scene.view("ann").await;
    scene.check("viewers", &["ann"]).await;
    scene.set_age("ann", 20).await;
    scene.check("young_now", &["ann"]).await;

    // Changes of the former user and of the next one, in one stretch.
    scene.set_age("ann", 21).await;
    scene.view("ann").await;
    scene.delete("ann").await;
    scene.set_age("ann", 22).await;
    scene.set_age("ann", 23).await;
    scene.check("young", &["ann"]).await;
    scene.check("viewers", &[]).await;

    scene.set_age("ann", 50).await;
    scene.delete("ann").await;
    scene.set_age("ann", 24).await;
    scene.delete("ann").await;
    scene.set_age("ann", 51).await;
    // What is as old as the deletion does not count.
    scene.world.clock.pass(1_000);
    scene.view("ann").await;
    scene.check("young", &[]).await;
    scene.check("viewers", &["ann"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_by_a_call_or_a_link_before_the_deletion_is_read_is_told_of() {
    let mut scene = Scene::new().await;
    scene.view("bob").await;
    scene.view("cid").await;
    scene.check("viewers", &["bob", "cid"]).await;

    // The rows of `a1`, from before the deletion of `bob`, are his who came back with the link.
    scene.view("a1").await;
    scene.delete("bob").await;
    scene.delete("cid").await;
    scene.world.clock.pass(1_000);
    scene.view("cid").await;
    let id = scene.message();
    scene.world.link("bob", "a1", false, &id).await;
    scene.check("viewers", &["bob", "cid"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_its_own_again_before_the_link_is_read_keeps_what_it_has() {
    let mut scene = Scene::new().await;
    scene.view("a1").await;
    scene.view("bob").await;
    scene.check("viewers", &["a1", "bob"]).await;

    let id = scene.message();
    scene.world.link("bob", "a1", false, &id).await;
    scene.unlink("a1").await;
    scene.set_age("a1", 20).await;
    scene.world.land().await;
    scene.check("viewers", &["a1", "bob"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_comes_with_the_end_of_a_window_hides_no_exit() {
    let mut scene = Scene::new().await;
    for user in ["ann", "bob"] {
        scene.view(user).await;
        scene.aged(user, 20).await;
    }
    scene.check("young_now", &["ann", "bob"]).await;

    // The window has ended, and nobody looked yet.
    scene.world.clock.pass(2 * HOUR_MS);
    scene.aged("ann", 40).await;
    scene.check("young_now", &[]).await;
    scene.check("away", &["ann", "bob"]).await;
}
