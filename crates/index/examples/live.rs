//! Live changes under query load: `cargo run --release -p taghouse-index --example live -- USERS
//! TAGS SECONDS RATE BATCH FOLDER THREADS SHARE`
//!
//! Makes an index of TAGS tags in which two of three users have a value, asks it counts over three
//! tags one after the other, each on THREADS threads (0: as it sees fit), for SECONDS without
//! writing and for SECONDS with RATE changes a second (0: as many as it takes) in calls of BATCH,
//! one in five of them taking a value away. Then opens it again and flushes all. A tag is flushed
//! once one in SHARE of its users has changed. On Linux it tells the processor time of each kind of
//! thread.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use object_store::local::LocalFileSystem;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, ChangeColumn, Changes, Index, LiveOptions, Publication, SegmentBuilder, TagChanges,
    TagPublication,
};
use taghouse_model::{AppId, Name, Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};

const VALUES: u64 = 10;

fn mixed(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn tag(number: u64) -> Name {
    Name::new(&format!("t{number}")).unwrap()
}

/// Every third tag is an int, the others are enums.
fn type_of(number: u64) -> ValueType {
    if number % 3 == 2 { ValueType::Int } else { ValueType::Text }
}

fn text(value: u64) -> Arc<str> {
    Arc::from(format!("value {value}"))
}

async fn open(folder: &Path, flush_share: u64) -> Arc<Index> {
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let index = Index::new(store, catalog).local(folder.to_owned());
    let index = Arc::new(
        index.with_live(folder.join("live"), LiveOptions { flush_share, ..LiveOptions::default() }),
    );
    index.flush_in_background();
    index
}

fn segment(number: u64, users: u32) -> Vec<u8> {
    let mut by_value: Vec<Vec<u32>> = vec![Vec::new(); VALUES as usize];
    let mut numbers = SegmentBuilder::new(ValueType::Int);
    for user in 0..users {
        let value = mixed(number << 32 | u64::from(user)) % (VALUES * 3 / 2);
        if value < VALUES {
            match type_of(number) {
                ValueType::Int => numbers.add(user, &Value::Int(value as i64)).unwrap(),
                _ => by_value[value as usize].push(user),
            }
        }
    }
    match type_of(number) {
        ValueType::Int => numbers.finish().unwrap(),
        ty => {
            let values = by_value.iter().enumerate().map(|(value, users)| {
                (Value::Text(text(value as u64)), Bitmap::from_sorted(users))
            });
            SegmentBuilder::from_values(ty, values.collect()).unwrap()
        }
    }
}

fn question(seed: u64, tags: u64) -> Predicate<Value> {
    let leaf = |at: u64| {
        let drawn = mixed(seed * 8 + at);
        let number = drawn % tags;
        let (name, value) = (format!("t{number}"), drawn / tags % VALUES);
        match type_of(number) {
            ValueType::Int => Predicate::Compare {
                name,
                op: CompareOp::GreaterOrEqual,
                literal: Value::Int(value as i64),
            },
            _ => Predicate::In {
                name,
                literals: vec![Value::Text(text(value)), Value::Text(text((value + 1) % VALUES))],
            },
        }
    };
    Predicate::And(vec![
        leaf(0),
        Predicate::Or(vec![leaf(1), leaf(2)]),
        Predicate::Not(Box::new(leaf(3))),
    ])
}

/// Asks until `stop`; milliseconds of each question, sorted. In a thread of its own, whose
/// processor time can be told from the others'.
async fn ask(
    index: &Arc<Index>,
    app: &AppId,
    tags: u64,
    threads: usize,
    stop: &Arc<AtomicBool>,
) -> Vec<f64> {
    let (index, app, stop, runtime) =
        (index.clone(), app.clone(), stop.clone(), tokio::runtime::Handle::current());
    let asking = move || {
        let mut times = Vec::new();
        let before = processor_seconds();
        let begin = Instant::now();
        for seed in 1.. {
            let start = Instant::now();
            let snapshot = runtime.block_on(index.snapshot(&app)).unwrap().unwrap();
            let query = snapshot.evaluate(&question(seed, tags), &|_| None).unwrap();
            let _ = if threads == 0 {
                query.count().unwrap()
            } else {
                query.count_on(threads).unwrap()
            };
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        let after = processor_seconds();
        let took = begin.elapsed().as_secs_f64();
        for (name, seconds) in after {
            let share = (seconds - before.get(&name).copied().unwrap_or(0.0)) / took;
            if share > 0.005 {
                print!("{name} {:.0}%, ", share * 100.0);
            }
            if name == "asking" {
                print!(
                    "{:.3} ms of processor time a question, ",
                    share * took * 1e3 / times.len() as f64
                );
            }
        }
        println!("of a core");
        times.sort_by(f64::total_cmp);
        times
    };
    let thread = std::thread::Builder::new().name("asking".to_owned()).spawn(asking).unwrap();
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

/// Processor time of the threads of each name. Empty where there is no `/proc`.
fn processor_seconds() -> BTreeMap<String, f64> {
    let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read =
            |file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let ran: f64 =
            read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        *seconds.entry(read("comm").trim().to_owned()).or_default() += ran / 1e9;
    }
    seconds
}

fn batch(seed: u64, tags: u64, users: u32, points: usize) -> Changes {
    // A call changes some tags, each for many users.
    let columns = (0..8).map(|part| {
        let number = mixed(seed * 8 + part) % tags;
        let drawn = |at: usize| mixed((seed * 8 + part) << 24 | at as u64);
        let ordinals: Vec<u32> =
            (0..points / 8).map(|at| (drawn(at) % u64::from(users)) as u32).collect();
        let column = match (mixed(seed + part) % 5, type_of(number)) {
            (0, _) => ChangeColumn::Unset,
            (_, ValueType::Int) => ChangeColumn::Numbers(
                (0..points / 8).map(|at| (drawn(at) >> 40) as i64 % VALUES as i64).collect(),
            ),
            _ => ChangeColumn::Texts {
                texts: (0..VALUES).map(text).collect(),
                codes: (0..points / 8).map(|at| (drawn(at) >> 40) as u32 % VALUES as u32).collect(),
            },
        };
        TagChanges { tag: tag(number), ordinals, column }
    });
    Changes { generation: 1, users: vec![], columns: columns.collect(), points: vec![] }
}

fn report(name: &str, times: &[f64]) -> f64 {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {} questions, p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms",
        times.len(),
        at(0.5),
        at(0.9),
        at(0.99)
    );
    at(0.99)
}

/// What the writer does.
#[derive(Clone, Copy)]
struct WriteLoad {
    users: u32,
    tags: u64,
    /// Changes a second; 0: as many as it takes.
    rate: u64,
    /// Changes of one call.
    points: usize,
}

/// What the writer has done.
struct Written {
    took: Duration,
    changes: u64,
    slowest_call: Duration,
}

/// Writes batches at a rate until `stop`.
fn write(
    index: &Arc<Index>,
    app: &AppId,
    load: WriteLoad,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<Written> {
    let (index, app, stop) = (index.clone(), app.clone(), stop.clone());
    let WriteLoad { users, tags, rate, points } = load;
    // Made beforehand: making them is not what is measured.
    let batches: Vec<Changes> = (0..200).map(|seed| batch(seed, tags, users, points)).collect();
    tokio::spawn(async move {
        let start = Instant::now();
        let mut written: u64 = 0;
        let mut slowest_call = Duration::ZERO;
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let due = written.saturating_mul(1_000_000).checked_div(rate).unwrap_or(0);
            if let Some(wait) = Duration::from_micros(due).checked_sub(start.elapsed()) {
                tokio::time::sleep(wait).await;
            }
            let mut changes = batches[number % batches.len()].clone();
            // Other users each time round.
            let shift = (mixed(number as u64) % u64::from(users)) as u32;
            changes
                .columns
                .iter_mut()
                .flat_map(|column| &mut column.ordinals)
                .for_each(|user| *user = (*user + shift) % users);
            let call = Instant::now();
            index.change(&app, changes).await.unwrap();
            slowest_call = slowest_call.max(call.elapsed());
            written += points as u64;
        }
        Written { took: start.elapsed(), changes: written, slowest_call }
    })
}

/// The arguments of the command line.
struct Arguments {
    seconds: u64,
    load: WriteLoad,
    folder: PathBuf,
    threads: usize,
    flush_share: u64,
}

impl Arguments {
    fn read() -> Self {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let number =
            |at: usize, default: u64| given.get(at).map_or(default, |text| text.parse().unwrap());
        Self {
            load: WriteLoad {
                users: number(0, 2_000_000) as u32,
                tags: number(1, 30),
                rate: number(3, 1_000_000),
                points: number(4, 20_000) as usize,
            },
            seconds: number(2, 10),
            folder: given
                .get(5)
                .map_or_else(|| std::env::temp_dir().join("taghouse-live"), PathBuf::from),
            threads: number(6, 0) as usize,
            flush_share: number(7, LiveOptions::default().flush_share),
        }
    }
}

async fn publish(index: &Arc<Index>, app: &AppId, users: u32, tags: u64) {
    let published = (0..tags).map(|number| TagPublication {
        name: tag(number),
        value_type: type_of(number),
        as_of_ms: 0,
        definition: serde_json::json!({}),
        segment: segment(number, users).into(),
        flushed_through: None,
    });
    let publication = Publication {
        generation: 1,
        users: Bitmap::from_range(0..=users - 1),
        tags: published.collect(),
        drop: vec![],
    };
    index.publish(app, publication, vec![]).await.unwrap();
}

/// Set after so many seconds.
fn stop_after(seconds: u64) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        set.store(true, Ordering::Relaxed);
    });
    stop
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Arguments { seconds, load, folder, threads, flush_share } = Arguments::read();
    let WriteLoad { users, tags, .. } = load;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (index, app) = (open(&folder, flush_share).await, AppId::new("shop").unwrap());
    let start = Instant::now();
    publish(&index, &app, users, tags).await;
    println!("{users} users, {tags} tags, built in {:.1} s", start.elapsed().as_secs_f64());

    let stop = stop_after(seconds);
    let before = report("without writing", &ask(&index, &app, tags, threads, &stop).await);

    let stop = stop_after(seconds);
    let writer = write(&index, &app, load, &stop);
    let during = report("while writing", &ask(&index, &app, tags, threads, &stop).await);
    let written = writer.await.unwrap();
    println!(
        "{:.0} changes/s, slowest call {:.0} ms; p99 {:+.0}%",
        written.changes as f64 / written.took.as_secs_f64(),
        written.slowest_call.as_secs_f64() * 1e3,
        (during / before - 1.0) * 100.0
    );

    let position = index.position(&app).await.unwrap();
    drop(index);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = Instant::now();
    let index = open(&folder, flush_share).await;
    assert_eq!(index.position(&app).await.unwrap(), position);
    index.snapshot(&app).await.unwrap();
    println!("opened again in {:.2} s, position {position}", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let flushed = index.flush(&app).await.unwrap();
    println!("{flushed} tags flushed in {:.2} s", start.elapsed().as_secs_f64());
}
