//! Productions, compactions, deletions and a stream of changes, all at once and for as long as it
//! takes until each has come in several times: nothing is refused, and all answers at quiet points
//! are those of a model.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod house;
mod model;

use house::House;
use model::{LAKE_USERS, Model, TAGS, id};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use taghouse_crowd::Question;
use taghouse_index::Op;
use taghouse_model::{Name, Value};
use taghouse_users::{UnknownUsers, UserChange};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Of each half: so many productions, compactions and changes at least.
const PRODUCTIONS: u64 = 3;
const COMPACTIONS: u64 = 2;
const CHANGES: u64 = 10_000;
const WRITERS: u32 = 4;
/// Changes of one call, and how often a writer makes one: 10,000 a second of all writers, as far as
/// the machine can.
const CALL: u32 = 250;
const EVERY: Duration = Duration::from_millis(100);

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(n)) as u32
    }
}

/// What goes on, and when it stops.
#[derive(Clone)]
struct Traffic {
    house: Arc<House>,
    model: Arc<Mutex<Model>>,
    stop: Arc<AtomicBool>,
    compactions: Arc<AtomicU64>,
}

impl Traffic {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Users of a writer's own, half of them unknown to the lake, each value at most once a call.
    async fn write(self, writer: u32, seed: u64) {
        let mut dice = Dice(seed);
        while !self.stopped() {
            let began = Instant::now();
            let mut changes: BTreeMap<(u32, &'static str), Option<Value>> = BTreeMap::new();
            for _ in 0..CALL {
                let (user, tag) = (
                    dice.below(2 * LAKE_USERS / WRITERS) * WRITERS + writer,
                    TAGS[dice.below(3) as usize],
                );
                let number = dice.below(60);
                let value = if tag == "note" {
                    Value::text(&format!("n{number}"))
                } else {
                    Value::Int(i64::from(number))
                };
                changes.insert((user, tag), (number > 5).then_some(value));
            }
            let change = |((user, tag), value): (&(u32, &'static str), &Option<Value>)| {
                let op = value.clone().map_or(Op::Unset, Op::Set);
                UserChange { user: id(*user), tag: Name::new(tag).unwrap(), op }
            };
            let call = changes.iter().map(change).collect();
            let changed = self
                .house
                .users
                .change(&self.house.app, &self.house.definitions, call, UnknownUsers::Created)
                .await
                .unwrap();
            let changes =
                changes.into_iter().map(|((user, tag), value)| (user, tag, value)).collect();
            self.model.lock().unwrap().change(changed.position, changes);
            tokio::time::sleep(EVERY.saturating_sub(began.elapsed())).await;
        }
    }

    async fn delete(self, seed: u64) {
        let mut dice = Dice(seed);
        while !self.stopped() {
            let users: Vec<u32> = [dice.below(2 * LAKE_USERS), dice.below(2 * LAKE_USERS)].into();
            let ids: Vec<String> = users.iter().map(|user| id(*user)).collect();
            match self.house.users.delete(&self.house.app, &ids).await {
                Ok(receipt) => {
                    let known: Vec<u32> = users
                        .into_iter()
                        .filter(|user| receipt.users.contains(&id(*user)))
                        .collect();
                    if let Some(position) = receipt.position {
                        self.model.lock().unwrap().delete(position, &known);
                    }
                }
                Err(error) => {
                    assert!(matches!(error, taghouse_users::Error::UnknownUser { .. }), "{error}")
                }
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    async fn produce(self) {
        while !self.stopped() {
            let asked = Instant::now();
            let position = self.house.produce().await;
            self.model.lock().unwrap().produce(asked, position);
        }
    }

    async fn compact(self) {
        while !self.stopped() {
            self.house
                .users
                .compact(&self.house.app, &self.house.definitions, None, &CancellationToken::new())
                .await
                .unwrap();
            self.compactions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything at once, until each has come in so often; then quiet.
    async fn run(&self, seed: u64) {
        self.stop.store(false, Ordering::Relaxed);
        let counts = || {
            let model = self.model.lock().unwrap();
            [model.productions, self.compactions.load(Ordering::Relaxed), model.changed]
        };
        let (began, before) = (Instant::now(), counts());
        let mut tasks: Vec<JoinHandle<()>> = (0..WRITERS)
            .map(|writer| tokio::spawn(self.clone().write(writer, seed + u64::from(writer))))
            .collect();
        tasks.push(tokio::spawn(self.clone().delete(seed)));
        tasks.push(tokio::spawn(self.clone().produce()));
        tasks.push(tokio::spawn(self.clone().compact()));
        let enough = async {
            while !counts()
                .iter()
                .zip(before)
                .zip([PRODUCTIONS, COMPACTIONS, CHANGES])
                .all(|((now, before), least)| now - before >= least)
            {
                assert!(!tasks.iter().any(JoinHandle::is_finished), "a task has failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(300), enough).await;
        self.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        assert!(
            in_time.is_ok(),
            "of productions, compactions and changes there were only {:?} since {before:?}",
            counts()
        );
        println!("productions, compactions, changes: {:?} in {:?}", counts(), began.elapsed());
    }
}

async fn check(house: &House, model: &Model) {
    house.index.position(&house.app).await.unwrap();
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    let (expected, unsure) = model.expected();
    assert!(unsure.len() < 20, "of {} users nobody can say what they are", unsure.len());
    let ids: Vec<String> = (0..2 * LAKE_USERS).map(id).collect();
    let ordinals = house
        .dictionary
        .lookup(&house.app, &ids.iter().map(String::as_str).collect::<Vec<_>>())
        .unwrap();
    let views = TAGS.map(|tag| (tag, snapshot.tag(tag).unwrap().unwrap()));
    for (user, ordinal) in (0..).zip(ordinals).filter(|(user, _)| !unsure.contains(user)) {
        let ordinal = ordinal.filter(|ordinal| snapshot.users().contains(*ordinal));
        let found = ordinal.map(|ordinal| {
            let values = views
                .iter()
                .filter_map(|(tag, view)| Some((*tag, view.value_of(ordinal).unwrap()?)));
            values.collect::<BTreeMap<_, _>>()
        });
        assert_eq!(
            found.as_ref(),
            expected.get(&user),
            "user {user}, ordinal {ordinal:?}, deleted: {:?}",
            model.deletion(user)
        );
    }
    // What is counted is what is told one by one.
    for limit in [3, 20, 45] {
        let question = Question::parse(&format!("amount >= {limit} && note is set")).unwrap();
        let count =
            house.crowds.count(&house.app, &house.definitions, &question).await.unwrap().count;
        let fits = |values: &BTreeMap<&str, Value>| {
            values.get("amount").is_some_and(|amount| *amount >= Value::Int(limit))
                && values.contains_key("note")
        };
        let least = expected.values().filter(|values| fits(values)).count() as u64;
        assert!(
            (least..=least + unsure.len() as u64).contains(&count),
            "{count} users of amount {limit}, not {least}"
        );
    }
}

#[allow(clippy::await_holding_lock, reason = "nobody else is at the model while it is checked")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_production_gets_in_beside_changes_deletions_and_compactions() {
    let folder = tempfile::tempdir().unwrap();
    let house = Arc::new(House::open(folder.path()).await);
    house.buy().await;
    let model = Arc::new(Mutex::new(Model::default()));
    let asked = Instant::now();
    let position = house.produce().await;
    model.lock().unwrap().produce(asked, position);
    check(&house, &model.lock().unwrap()).await;
    let traffic = Traffic {
        house: house.clone(),
        model: model.clone(),
        stop: Arc::default(),
        compactions: Arc::default(),
    };
    for seed in [17, 4_711] {
        traffic.run(seed).await;
        check(&house, &model.lock().unwrap()).await;
    }
    {
        let model = model.lock().unwrap();
        assert!(
            model.productions > 2 * PRODUCTIONS
                && model.changed >= 2 * CHANGES
                && model.deleted > 10,
            "{}",
            model.deleted
        );
    }
    // After a restart, and flushed, all is as it was.
    drop(traffic);
    house.index.flush(&house.app).await.unwrap();
    check(&house, &model.lock().unwrap()).await;
    let index = Arc::downgrade(&house.index);
    drop(Arc::into_inner(house).expect("nobody else has it"));
    while index.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let house = House::open(folder.path()).await;
    check(&house, &model.lock().unwrap()).await;
}
