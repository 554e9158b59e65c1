#[path = "../../../../tests/needs/copy_folder.rs"]
mod copy_folder;

use super::{HOUR_MS, MessageIds, NotedId};
use copy_folder::copy_folder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use taghouse_model::{AppId, Clock};
use taghouse_testkit::Dice;
use xxhash_rust::xxh3::xxh3_128;

/// A clock that is moved by hand.
#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        1_780_000_000_000
    }

    fn steady_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn ids(folder: &Path) -> MessageIds {
    MessageIds::at(folder, Arc::new(HandClock::default()))
}

fn id(number: u64) -> u128 {
    xxh3_128(&number.to_le_bytes())
}

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

/// Forty ids of which the first ten are in a run, and the others in the log.
fn forty(folder: &Path) -> Vec<u128> {
    let clock = Arc::new(HandClock::default());
    let ids = MessageIds::at(folder, clock.clone());
    let noted: Vec<NotedId> = (1..=40u64).map(|n| NotedId { id: id(n), position: n }).collect();
    for part in noted.chunks(10) {
        ids.note(&shop(), part, part[9].position).unwrap();
        clock.0.fetch_max(HOUR_MS, Ordering::Relaxed);
    }
    noted.iter().map(|noted| noted.id).collect()
}

/// Whatever byte is flipped: no panic, and either the ids are there, or it is said that some are
/// missing, or the folder is named.
#[test]
fn damage_is_said_or_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    let all = forty(&whole);
    for ending in ["log", "ids"] {
        let file = files(&whole, ending).pop().unwrap();
        let name = file.file_name().unwrap().to_owned();
        let bytes = std::fs::read(&file).unwrap();
        let (mut refused, mut missing) = (0, 0);
        for at in (0..bytes.len()).step_by(if ending == "ids" { 61 } else { 7 }) {
            let folder = home.path().join(format!("{ending}-{at}"));
            copy_folder(&whole, &folder);
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            std::fs::write(folder.join(&name), damaged).unwrap();
            let opened = ids(&folder);
            let said = opened
                .settle(&shop(), 40)
                .and_then(|settled| Ok((settled, opened.known(&shop(), &all)?)));
            match said {
                Ok((true, known)) => assert_eq!(known, vec![true; 40], "{ending}: byte {at}"),
                Ok((false, _)) => missing += 1,
                Err(error) => {
                    assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
                    refused += 1;
                }
            }
            drop(opened);
            std::fs::remove_dir_all(&folder).unwrap();
        }
        assert!(refused + missing > 0, "{ending}: no byte of {} mattered", bytes.len());
    }
}

/// A crash leaves a part of the last frame: what was noted before it is there, and of what it
/// brought it is said that it is missing.
#[test]
fn a_torn_end_loses_only_what_was_torn() {
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    let all = forty(&whole);
    let file = files(&whole, "log").pop().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    // The frame of the last ten takes at least their entries.
    for cut in [1, 31, 32, 100, 319] {
        let folder = home.path().join(format!("cut-{cut}"));
        copy_folder(&whole, &folder);
        let torn = folder.join(file.file_name().unwrap());
        std::fs::write(&torn, &bytes[..bytes.len() - cut]).unwrap();
        let opened = ids(&folder);
        assert!(!opened.settle(&shop(), 40).unwrap(), "cut {cut}");
        assert!(opened.settle(&shop(), 30).unwrap(), "cut {cut}");
        let known = opened.known(&shop(), &all).unwrap();
        assert_eq!(known, [[true; 30].as_slice(), &[false; 10]].concat(), "cut {cut}");
    }
}

/// What was there before this form of store is made again from the lake.
#[test]
fn files_of_another_kind_of_store_go() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("ids");
    std::fs::create_dir_all(folder.join("keyspaces/1")).unwrap();
    std::fs::write(folder.join("0.jnl"), "x").unwrap();
    let opened = ids(&folder);
    assert!(!opened.settle(&shop(), 7).unwrap(), "ids are missing");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

/// What must be known, by plain sets.
#[derive(Default)]
struct Model {
    /// Position and hour of each id, by app.
    ids: BTreeMap<usize, BTreeMap<u64, (u64, i64)>>,
    through: BTreeMap<usize, u64>,
    next_id: u64,
}

/// Random notes of many sizes, by two apps, over hours, with crashes that void what was not
/// committed, and restarts.
#[test]
fn it_knows_what_a_plain_set_knows() {
    let apps = [shop(), AppId::new("shop-2").unwrap()];
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let mut store = MessageIds::at(home.path(), clock.clone());
        let mut model = Model::default();
        for step in 0..160 {
            let at = dice.below(2) as usize;
            let app = &apps[at];
            let hour = clock.0.load(Ordering::Relaxed) / HOUR_MS;
            let end = model.through.get(&at).copied().unwrap_or(0);
            match dice.below(10) {
                0..6 => {
                    let sizes = if dice.one_in(5) { 4 } else { 3 };
                    let many = [1, 7, 300, 17_000][dice.below(sizes) as usize];
                    let first = model.next_id;
                    model.next_id += many;
                    let noted: Vec<NotedId> = (0..many)
                        .map(|n| NotedId { id: id(first + n), position: end + 1 + n })
                        .collect();
                    store.note(app, &noted, end + many).unwrap();
                    let of_app = model.ids.entry(at).or_default();
                    of_app.extend((0..many).map(|n| (first + n, (end + 1 + n, hour))));
                    model.through.insert(at, end + many);
                }
                6 => {
                    // The commit of the last records failed, or a process was killed before it.
                    let landed = end - dice.below(end.min(400) + 1);
                    assert!(store.settle(app, landed).unwrap() || end == 0, "seed {seed}, {step}");
                    let of_app = model.ids.entry(at).or_default();
                    of_app.retain(|_, (position, _)| *position <= landed);
                    model.through.insert(at, landed);
                }
                7 => {
                    clock.0.fetch_add(dice.below(2) as i64 * HOUR_MS, Ordering::Relaxed);
                    store.begin(app).unwrap();
                    store.caught_up(app).unwrap();
                }
                8 => {
                    // Read from the lake again.
                    let some: Vec<u64> =
                        model.ids.get(&at).into_iter().flatten().map(|(n, _)| *n).take(5).collect();
                    store.restore(app, some.iter().map(|n| id(*n))).unwrap();
                    let of_app = model.ids.entry(at).or_default();
                    of_app.extend(some.iter().map(|n| (*n, (0, hour))));
                }
                _ => {
                    drop(store);
                    store = MessageIds::at(home.path(), clock.clone());
                }
            }
            let now = clock.0.load(Ordering::Relaxed) / HOUR_MS;
            for (at, app) in apps.iter().enumerate() {
                let held = model.ids.entry(at).or_default();
                let mut asked: BTreeSet<u64> =
                    (0..40).map(|_| dice.below(model.next_id + 5)).collect();
                asked.extend(held.keys().rev().take(5));
                let asked: Vec<u64> = asked.into_iter().collect();
                let hashes: Vec<u128> = asked.iter().map(|n| id(*n)).collect();
                let known = store.known(app, &hashes).unwrap();
                for (number, known) in asked.iter().zip(known) {
                    match held.get(number) {
                        // Older ones may be forgotten.
                        Some((_, hour)) if now - hour <= 24 => {
                            assert!(known, "seed {seed}, step {step}: {number} of {app}");
                        }
                        Some(_) => {}
                        None => assert!(!known, "seed {seed}, step {step}: {number} of {app}"),
                    }
                }
            }
        }
        drop(store);
        let runs = files(home.path(), "ids").len();
        let hours = clock.0.load(Ordering::Relaxed) / HOUR_MS;
        assert!(runs as i64 <= 2 * hours + 16, "seed {seed}: {runs} runs of {hours} hours");
    }
}
