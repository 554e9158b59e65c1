//! SIGKILL while calls land and the lake is kept small beside it: each acknowledged message is
//! there once, and what is left behind does not grow.
//!
//! Files are joined, snapshots expire and the sweep comes every few hundred milliseconds, so that
//! kills meet all of them. `TAGHOUSE_KILLS=200` kills more often.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod house;

use house::{Counting, House, definitions};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use taghouse_ingest::{LiveCall, MessageIds};
use taghouse_lake::{Lake, Upkeep};
use taghouse_model::Clock;
use taghouse_testkit::Dice;
use tokio_util::sync::CancellationToken;

const FOLDER: &str = "TAGHOUSE_LANDING_CRASH_FOLDER";
const ROUND: &str = "TAGHOUSE_LANDING_CRASH_ROUND";
const WRITERS: u64 = 3;
const SOURCE: &str = "kind: source\nname: web\nformat: segment\nproperties:\n  amount: { column: amount, type: int }\n";
/// Data files of two tables, and metadata of a few versions.
const MOST_LEFT: usize = 120;
const ORPHAN_MS: i64 = 2_000;

/// The system's, for the sweep looks at the times of files.
struct RealClock(AtomicI64);

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods, reason = "files are stamped by the system's clock")]
    fn now_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// A house whose lake is kept small all the time.
async fn open(folder: &Path) -> House {
    let mut house = House::open(folder).await;
    let upkeep = Upkeep {
        kept_ms: 300,
        kept_snapshots: 3,
        grace_ms: 1_000,
        orphan_ms: ORPHAN_MS,
        sweep_every_ms: 300,
        min_files: 2,
        ..Upkeep::default()
    };
    let clock = Arc::new(RealClock(AtomicI64::new(0)));
    house.lake = Arc::new(
        Lake::open_kept(house.catalog.clone(), &folder.join("lake"), clock.clone(), upkeep)
            .unwrap(),
    );
    house.ids = Arc::new(MessageIds::at(&folder.join("ids"), clock));
    house
}

/// Two rows: of the event and of the attribute.
fn calls(id: &str, now_ms: i64) -> Vec<Vec<u8>> {
    let time = "2026-11-20T10:00:00Z";
    let track = format!(
        r#"{{"userId":"u","event":"paid","messageId":"{id}","timestamp":"{time}","properties":{{"amount":1}}}}"#
    );
    let identify = format!(
        r#"{{"userId":"u","messageId":"{id}-i","timestamp":"{time}","traits":{{"plan":"{id}"}}}}"#
    );
    let parse = |kind, body: &str| {
        LiveCall::parse(kind, body.as_bytes(), now_ms, &Counting::new()).unwrap()
    };
    let records = parse("track", &track).into_iter().chain(parse("identify", &identify));
    records.map(|record| record.encode().unwrap()).collect()
}

/// Not a test of its own: the test below runs it as a process and kills it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run as a subprocess by acknowledged_messages_land_once_whatever_is_killed"]
async fn child_that_lands_until_killed() {
    let folder = std::env::var(FOLDER).expect("run by the test below");
    let round = std::env::var(ROUND).expect("run by the test below");
    let house = Arc::new(open(Path::new(&folder)).await);
    let log = house.log();
    println!("\nopen");
    for writer in 0..WRITERS {
        let (house, log, round) = (house.clone(), log.clone(), round.clone());
        tokio::spawn(async move {
            for n in 0_u64.. {
                let id = format!("{round}/{writer}/{n}");
                let now_ms = house.clock.now_ms();
                log.append(&house.app, calls(&id, now_ms)).await.unwrap();
                std::io::stdout().lock().write_all(format!("ack {id}\n").as_bytes()).unwrap();
                if n % 4 == 3 {
                    // The same message once more, as a client that heard nothing sends it.
                    log.append(&house.app, calls(&format!("{round}/{writer}/{}", n / 2), now_ms))
                        .await
                        .unwrap();
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
    }
    let keeping = house.clone();
    tokio::spawn(async move {
        loop {
            if let Err(error) = keeping.lake.maintain(&keeping.app).await {
                println!("\nfailed to keep the lake small: {error}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let (landing, defined) = (house.landing(log), definitions(SOURCE));
    loop {
        if let Err(error) = landing.land(&house.app, &defined, &CancellationToken::new()).await {
            println!("\nfailed to land: {error}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs the child, kills it some time after it has opened its folder, and gives what it
/// acknowledged.
fn run_and_kill(folder: &Path, round: u64, wait: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_lands_until_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let opened = lines.by_ref().any(|line| line.unwrap() == "open");
    assert!(opened, "round {round}: the child could not open what the one before it left");
    let killer = std::thread::spawn(move || {
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.unwrap();
        assert!(!line.starts_with("failed") && !line.contains("panicked"), "round {round}: {line}");
        acknowledged.extend(line.strip_prefix("ack ").map(str::to_owned));
    }
    killer.join().unwrap();
    acknowledged
}

/// Lands what is left, and holds what is in the lake against what was acknowledged. `sent` are the
/// numbers acknowledged by round and writer.
async fn check(folder: &Path, sent: &BTreeMap<String, u64>, acknowledged: &BTreeSet<String>) {
    let house = open(folder).await;
    let log = house.log();
    house
        .landing(log)
        .land(&house.app, &definitions(SOURCE), &CancellationToken::new())
        .await
        .unwrap();
    for (table, ending) in [("events", ""), ("attributes", "-i")] {
        let rows = house.rows(table, &["message_id"]).await;
        let different: BTreeSet<&str> =
            rows.iter().map(|id| id.strip_suffix(ending).unwrap()).collect();
        assert_eq!(rows.len(), different.len(), "{table}: a message landed twice");
        let lost: Vec<&String> =
            acknowledged.iter().filter(|id| !different.contains(id.as_str())).take(5).collect();
        assert!(lost.is_empty(), "{table}: acknowledged and not there: {lost:?}");
        for id in different.iter().filter(|id| !acknowledged.contains(**id)) {
            // At most the one call of each writer that the kill cut short.
            let (of, n) = id.rsplit_once('/').unwrap();
            assert!(
                n.parse::<u64>().unwrap() <= sent.get(of).copied().unwrap_or(0),
                "{table}: nobody sent {id}"
            );
        }
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn acknowledged_messages_land_once_whatever_is_killed() {
    let kills = std::env::var("TAGHOUSE_KILLS").ok().map_or(6, |text| text.parse::<u64>().unwrap());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut dice, mut most_files) = (Dice::new(3), 0);
    let (mut acknowledged, mut sent) = (BTreeSet::new(), BTreeMap::new());
    for round in 0..kills {
        let wait = Duration::from_millis(50 + dice.below(2_500));
        for id in run_and_kill(&folder, round, wait) {
            let (of, n) = id.rsplit_once('/').unwrap();
            sent.insert(of.to_owned(), n.parse::<u64>().unwrap() + 1);
            acknowledged.insert(id);
        }
        // Reading all rows takes longer than a round.
        if round % 10 == 0 || round + 1 == kills {
            runtime.block_on(check(&folder, &sent, &acknowledged));
        }
        most_files = most_files.max(files_below(&folder.join("lake")));
    }
    assert!(
        acknowledged.len() as u64 > 10 * kills,
        "only {} messages were acknowledged: the kills came before the work",
        acknowledged.len()
    );
    // What the killed left is swept once it is old enough; then a table has some data files, and
    // metadata of a few versions.
    let left = runtime.block_on(async {
        let house = open(&folder).await;
        let log = house.log();
        let landing = house.landing(log.clone());
        let defined = definitions(SOURCE);
        let mut left = usize::MAX;
        for round in 0..20_u64 {
            // A landing lets go of the snapshots before the last ones, and with them of the files
            // that were joined.
            let id = format!("end/0/{round}");
            log.append(&house.app, calls(&id, house.clock.now_ms())).await.unwrap();
            landing.land(&house.app, &defined, &CancellationToken::new()).await.unwrap();
            sent.insert("end/0".to_owned(), round + 1);
            acknowledged.insert(id);
            tokio::time::sleep(Duration::from_millis(ORPHAN_MS as u64 / 2)).await;
            house.lake.maintain(&house.app).await.unwrap();
            left = files_below(&folder.join("lake"));
            if left <= MOST_LEFT {
                break;
            }
        }
        left
    });
    eprintln!(
        "{kills} kills, {} messages acknowledged, {most_files} files of the lake at most, {left} in the end",
        acknowledged.len()
    );
    assert!(left <= MOST_LEFT, "{left} files of the lake are left");
    runtime.block_on(check(&folder, &sent, &acknowledged));
}
