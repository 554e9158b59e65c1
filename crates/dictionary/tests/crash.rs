//! Killed in the middle of writing, the dictionary has whole pairs, no gap, and all that was acknowledged.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use taghouse_dictionary::Dictionary;
use taghouse_model::AppId;

const FOLDER: &str = "TAGHOUSE_CRASH_FOLDER";

/// Not a test of its own: what the child process runs until it is killed. Writes a byte to `acknowledged` after each call.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut acknowledged = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("acknowledged")).unwrap();
    let dictionary = Dictionary::open(&folder.join("dictionary")).unwrap();
    let mut call = acknowledged.metadata().unwrap().len();
    loop {
        let ids = ids_of(call);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        dictionary.assign(&app(call), &ids).unwrap();
        acknowledged.write_all(b".").unwrap();
        call += 1;
    }
}

fn app(call: u64) -> AppId {
    AppId::new(if call.is_multiple_of(2) { "even" } else { "odd" }).unwrap()
}

/// Calls differ in size, some are larger than a journal buffer.
fn ids_of(call: u64) -> Vec<String> {
    (0..1 + call * 7919 % 600).map(|n| format!("user {n} of call {call} {}", "x".repeat((n % 50) as usize))).collect()
}

#[test]
fn kill_leaves_whole_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let count = |folder: &Path| std::fs::metadata(folder.join("acknowledged")).map_or(0, |m| m.len());
    for round in 0..6u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (goal, start) = (count(folder.path()) + 3 + round * 5, Instant::now());
        while count(folder.path()) < goal {
            assert!(child.try_wait().unwrap().is_none(), "the child ended of itself");
            assert!(start.elapsed() < Duration::from_secs(60), "the child does not get on");
            std::thread::sleep(Duration::from_millis(1 + round));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder.path(), count(folder.path()));
    }
}

fn check(folder: &Path, acknowledged: u64) {
    let dictionary = Dictionary::open(&folder.join("dictionary")).unwrap();
    for app in [app(0), app(1)] {
        let len = dictionary.len(&app);
        let pairs: Vec<(u32, String)> = dictionary.resolve_sorted(&app, 0..len).map(Result::unwrap).collect();
        assert_eq!(pairs.len(), len as usize, "no gap");
        let ids: Vec<&str> = pairs.iter().map(|(_, id)| id.as_str()).collect();
        assert!(dictionary.lookup(&app, &ids).unwrap().into_iter().eq((0..len).map(Some)), "both directions");
    }
    for call in 0..=acknowledged {
        let ids = ids_of(call);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let known = dictionary.lookup(&app(call), &ids).unwrap().iter().flatten().count();
        if call < acknowledged {
            assert_eq!(known, ids.len(), "call {call} was acknowledged");
        } else {
            assert!(known == 0 || known == ids.len(), "call {call} is whole or absent: {known} of {}", ids.len());
        }
    }
}
