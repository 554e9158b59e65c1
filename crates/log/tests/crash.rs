//! SIGKILL at any moment: what was acknowledged is there, dense, and none twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use taghouse_log::{EmbeddedLog, EventLog, Options};
use taghouse_model::AppId;

const FOLDER: &str = "TAGHOUSE_LOG_CRASH_FOLDER";
const ROUND: &str = "TAGHOUSE_LOG_CRASH_ROUND";
const ROUNDS: u32 = 6;
const WRITERS: u32 = 8;

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

/// Never trimmed, so that its records are carried out of old segments.
fn slow() -> AppId {
    AppId::new("slow").unwrap()
}

/// So small that kills meet the beginning and the removal of segments, and the carrying.
const OPTIONS: Options = Options { segment_bytes: 4 << 10, frame_bytes: 100, dead_bytes: 8 << 10 };

/// Not a test of its own: `acknowledged_records_survive_sigkill` runs it as a process and kills it.
#[test]
#[ignore = "run as a subprocess by acknowledged_records_survive_sigkill"]
fn child_that_appends_until_killed() {
    let folder = std::env::var(FOLDER).expect("run by the test below");
    let round = std::env::var(ROUND).expect("run by the test below");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let log = Arc::new(EmbeddedLog::open_with(Path::new(&folder), OPTIONS).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let (log, round) = (log.clone(), round.clone());
        runtime.spawn(async move {
            for n in 0u64.. {
                let records: Vec<String> =
                    (0..=n % 3).map(|part| format!("{round}/{writer}/{n}/{part}")).collect();
                let last = log
                    .append(&shop(), records.iter().map(|text| text.clone().into_bytes()).collect())
                    .await
                    .unwrap();
                let first = last + 1 - records.len() as u64;
                let lines: String = (first..)
                    .zip(&records)
                    .map(|(position, text)| format!("ack {position} {text}\n"))
                    .collect();
                std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
                if writer == 1 && n % 20 == 0 {
                    let position = log.append(&slow(), vec![lagging(&round, n)]).await.unwrap();
                    println!("slow {position}");
                }
                if writer == 0 && n % 5 == 4 {
                    // Trim far behind, so that kills meet trims too; the parent keeps what it has
                    // seen trimmed out of its books.
                    let through = last.saturating_sub(200);
                    println!("trim {through}");
                    log.trim(&shop(), through).await.unwrap();
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    runtime.block_on(async {
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

fn lagging(round: &str, n: u64) -> Vec<u8> {
    format!("{round}:{n}").into_bytes()
}

/// Runs the child until it has acknowledged `enough` records, kills it, and notes all it said.
fn run_and_kill(
    folder: &Path,
    round: u32,
    enough: usize,
    acknowledged: &mut BTreeMap<u64, String>,
    trimmed: &mut u64,
    lagging: &mut u64,
) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_appends_until_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        // The harness writes its own "test child… ... " before the first line.
        if let Some((_, trim)) = line.split_once("trim ") {
            *trimmed = (*trimmed).max(trim.parse().unwrap());
        } else if let Some((_, position)) = line.split_once("slow ") {
            *lagging = position.parse().unwrap();
        } else if let Some((_, said)) = line.split_once("ack ")
            && let Some((position, text)) = said.split_once(' ')
        {
            let position = position.parse().unwrap();
            let before = acknowledged.insert(position, text.to_owned());
            assert_eq!(before, None, "position {position} was given twice");
            seen += 1;
            if seen == enough {
                // SIGKILL on Unix. What the pipe still holds was acknowledged too, so read on to
                // its end.
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(seen >= enough, "round {round}: the child ended by itself after {seen} records");
}

#[test]
fn acknowledged_records_survive_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut acknowledged, mut asked, mut lagged) = (BTreeMap::new(), 0, 0);
    let mut slow_before: Vec<(u64, Vec<u8>)> = Vec::new();
    for round in 0..ROUNDS {
        run_and_kill(
            &folder.path().join("log"),
            round,
            100 + 137 * round as usize,
            &mut acknowledged,
            &mut asked,
            &mut lagged,
        );

        let log = EmbeddedLog::open_with(&folder.path().join("log"), OPTIONS).unwrap();
        let slow = runtime.block_on(log.read(&slow(), 0, usize::MAX)).unwrap();
        assert!(slow.iter().map(|(position, _)| *position).eq(1..=slow.len() as u64));
        assert!(slow.len() as u64 >= lagged && slow.starts_with(&slow_before));
        slow_before = slow;
        let (end, records) = runtime.block_on(async {
            (log.end(&shop()).await.unwrap(), log.read(&shop(), 0, usize::MAX).await.unwrap())
        });
        let first = records.first().map_or(end + 1, |(position, _)| *position);
        assert!(first <= asked + 1, "records {asked}..{first} went without having been trimmed");
        assert_eq!(records.last().map(|(position, _)| *position), Some(end));
        assert!(records.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "positions are dense");
        let texts: HashSet<&[u8]> = records.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(texts.len(), records.len(), "no record is there twice");
        assert!(acknowledged.keys().last() <= Some(&end));
        for (position, bytes) in &records {
            if let Some(text) = acknowledged.get(position) {
                assert_eq!(bytes, text.as_bytes(), "position {position}");
            }
        }
    }
    assert!(
        acknowledged.len() > 2_000 && asked > 0 && lagged > 10 && oldest(folder.path()) > 1,
        "{} records, trimmed to {asked}: the test saw too little",
        acknowledged.len()
    );
}

/// The first group of the oldest segment.
fn oldest(folder: &Path) -> u64 {
    let names = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segments = names.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    segments.map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap()).min().unwrap()
}
