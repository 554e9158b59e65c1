//! SIGKILL at any moment of writing, flushing and checkpointing: what was acknowledged is there,
//! and nothing older took its place.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use object_store::local::LocalFileSystem;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{Changes, Index, LiveOptions, Op, TagChange};
use taghouse_model::{AppId, Name, Value, ValueType};

const FOLDER: &str = "TAGHOUSE_LIVE_CRASH_FOLDER";
const FROM: &str = "TAGHOUSE_LIVE_CRASH_FROM";
const ROUNDS: u32 = 6;
const WRITERS: u32 = 4;
/// Users of one writer.
const USERS: u64 = 50;

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

async fn open(folder: &Path) -> Arc<Index> {
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let options = LiveOptions {
        tick: Duration::from_millis(3),
        file_bytes: 8 << 10,
        checkpoint_changes: 700,
        flush_changes: 1,
        flush_share: u64::MAX,
        flush_every: Some(Duration::from_millis(10)),
        ..LiveOptions::default()
    };
    let index = Arc::new(
        Index::new(store, catalog).local(folder.to_owned()).with_live(folder.join("live"), options),
    );
    for (tag, value_type) in
        [("n", ValueType::Int), ("text", ValueType::Text), ("set", ValueType::Set)]
    {
        index
            .declare(&shop(), 1, Name::new(tag).unwrap(), value_type, 0, serde_json::json!({}))
            .await
            .unwrap();
    }
    index
}

/// The nth call of a writer changes one of its users: number, text and set say n, all or none of
/// them.
fn call(writer: u32, n: u64) -> (u32, Changes) {
    let ordinal = writer * 1_000_000 + (n % USERS) as u32;
    let text: Arc<str> = format!("v{n}").into();
    let of = |tag: &str, op| TagChange { tag: Name::new(tag).unwrap(), ordinal, op };
    let mut points = vec![
        of("n", Op::Set(Value::Int(n as i64))),
        of("text", Op::Set(Value::Text(text.clone()))),
    ];
    if let Some(before) = n.checked_sub(USERS) {
        points.push(of("set", Op::Remove(format!("v{before}").into())));
    }
    points.push(of("set", Op::Add(text)));
    (ordinal, Changes { generation: 1, points, ..Changes::default() })
}

/// Not a test of its own: `acknowledged_changes_survive_sigkill` runs it as a process and kills it.
#[test]
#[ignore = "run as a subprocess by acknowledged_changes_survive_sigkill"]
fn child_that_changes_until_killed() {
    let folder = std::env::var(FOLDER).expect("run by the test below");
    let from: Vec<u64> = std::env::var(FROM)
        .expect("run by the test below")
        .split(',')
        .map(|n| n.parse().unwrap())
        .collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let index = open(Path::new(&folder)).await;
        index.flush_in_background();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (index, from) = (index.clone(), from[writer as usize]);
                tokio::spawn(async move {
                    for n in from.. {
                        let (_, changes) = call(writer, n);
                        let position = index.change(&shop(), changes).await.unwrap();
                        std::io::stdout()
                            .lock()
                            .write_all(format!("ack {writer} {n} {position}\n").as_bytes())
                            .unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

/// Runs the child until it has acknowledged `enough` calls, kills it, and notes each writer's last.
fn run_and_kill(
    folder: &Path,
    enough: usize,
    next: &mut [u64],
    positions: &mut BTreeMap<u64, (usize, u64)>,
) {
    let from: Vec<String> = next.iter().map(u64::to_string).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_changes_until_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FROM, from.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        let Some((_, said)) = line.split_once("ack ") else { continue };
        let numbers: Vec<u64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
        next[numbers[0] as usize] = numbers[1] + 1;
        assert_eq!(
            positions.insert(numbers[2], (numbers[0] as usize, numbers[1])),
            None,
            "position {} was given twice",
            numbers[2]
        );
        seen += 1;
        if seen == enough {
            // SIGKILL on Unix. What the pipe still holds was acknowledged too, so read on to its
            // end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= enough, "the child ended by itself after {seen} calls");
}

#[test]
fn acknowledged_changes_survive_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut next, mut positions) = ([0_u64; WRITERS as usize], BTreeMap::new());
    let mut flushes = 0;
    for round in 0..ROUNDS {
        run_and_kill(folder.path(), 150 + 173 * round as usize, &mut next, &mut positions);
        runtime.block_on(async {
            let index = open(folder.path()).await;
            let end = index.position(&shop()).await.unwrap();
            assert!(Some(&end) >= positions.keys().last(), "the log ends at {end}");
            let snapshot = index.snapshot(&shop()).await.unwrap().unwrap();
            flushes = snapshot.info("n").unwrap().flushed_through;
            let view = |tag: &str| snapshot.tag(tag).unwrap().unwrap();
            let (numbers, texts, sets) = (view("n"), view("text"), view("set"));
            for writer in 0..WRITERS {
                // One call may be in the log that nobody was told of.
                let acknowledged = next[writer as usize];
                let (after, _) = call(writer, acknowledged);
                let one_more =
                    numbers.value_of(after).unwrap() == Some(Value::Int(acknowledged as i64));
                next[writer as usize] += u64::from(one_more);
                let written = next[writer as usize];
                for n in written.saturating_sub(USERS)..written {
                    let (user, _) = call(writer, n);
                    let text: Arc<str> = format!("v{n}").into();
                    assert_eq!(
                        numbers.value_of(user).unwrap(),
                        Some(Value::Int(n as i64)),
                        "round {round}, user {user}"
                    );
                    assert_eq!(
                        texts.value_of(user).unwrap(),
                        Some(Value::Text(text.clone())),
                        "round {round}, user {user}"
                    );
                    assert_eq!(
                        sets.value_of(user).unwrap(),
                        Some(Value::Set([text].into())),
                        "round {round}, user {user}"
                    );
                    assert!(snapshot.users().contains(user));
                }
            }
            let users: u64 = next.iter().map(|next| (*next).min(USERS)).sum();
            assert_eq!(
                (numbers.users().unwrap(), sets.users().unwrap(), snapshot.users().len()),
                (users, users, users)
            );
        });
    }
    let calls: u64 = next.iter().sum();
    assert!(
        calls > 2_000 && flushes > 0,
        "{calls} calls, flushed up to {flushes}: the test saw too little"
    );
}
