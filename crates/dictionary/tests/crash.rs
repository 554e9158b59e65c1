//! Killed in the middle of writing, sealing, merging, deleting, erasing or re-packing, the
//! dictionary has all that was acknowledged and of the call that was cut off all or nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use taghouse_dictionary::{Dictionary, Error, Options};
use taghouse_model::AppId;

const FOLDER: &str = "TAGHOUSE_CRASH_FOLDER";

/// What the calls so far should have made.
#[derive(Clone, Default)]
struct ReferenceModel {
    generation: u64,
    ids: Vec<Option<String>>,
    forward: HashMap<String, u32>,
}

enum Call {
    Assign(Vec<String>),
    Delete(Vec<u32>),
    Purge,
    /// These are kept.
    Repack(Vec<u32>),
}

impl ReferenceModel {
    /// What the call of this number does; it depends on the calls before.
    fn call(&self, number: u64) -> Call {
        let len = self.ids.len() as u64;
        match number % 12 {
            5 | 9 => Call::Delete(vec![(number * 31 % len) as u32, (number * 17 % len) as u32]),
            7 => Call::Purge,
            11 => Call::Repack(
                (0..len as u32).filter(|ordinal| u64::from(ordinal % 3) != number % 3).collect(),
            ),
            // Half of the calls' ids were given before. Calls differ in size, some are larger than
            // a page.
            _ => {
                let id = |n: u64| {
                    format!(
                        "user {n} of call {} {}",
                        number - number % 2,
                        "x".repeat((n % 50) as usize)
                    )
                };
                Call::Assign((0..1 + number * 7919 % 300).map(id).collect())
            }
        }
    }

    fn apply(&mut self, call: &Call) {
        match call {
            Call::Assign(ids) => {
                self.generation = self.generation.max(1);
                for id in ids {
                    self.forward.entry(id.clone()).or_insert_with(|| {
                        self.ids.push(Some(id.clone()));
                        self.ids.len() as u32 - 1
                    });
                }
            }
            Call::Delete(ordinals) => {
                for ordinal in ordinals {
                    if let Some(id) = self.ids[*ordinal as usize].take() {
                        self.forward.remove(&id);
                    }
                }
            }
            Call::Purge => {}
            Call::Repack(kept) => {
                self.generation += 1;
                self.ids = kept
                    .iter()
                    .map(|old| self.ids[*old as usize].clone())
                    .filter(Option::is_some)
                    .collect();
                self.forward = self.ids.iter().flatten().cloned().zip(0..).collect();
            }
        }
    }

    fn equals(&self, dictionary: &Dictionary) -> bool {
        let all: Vec<u32> = (0..self.ids.len() as u32).collect();
        let ids: Vec<&str> = self.forward.keys().map(String::as_str).collect();
        dictionary.generation(&shop()) == self.generation
            && dictionary.len(&shop()) as usize == self.ids.len()
            && dictionary.resolve(&shop(), &all).unwrap() == self.ids
            && dictionary.lookup(&shop(), &ids).unwrap().into_iter().eq(self
                .forward
                .values()
                .copied()
                .map(Some))
    }
}

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

/// Opens it as a server does: what was published says which generation it is.
fn open(folder: &Path) -> Dictionary {
    let dictionary = Dictionary::open_with(
        &folder.join("dictionary"),
        Options { seal_ids: 250, ..Options::default() },
    )
    .unwrap();
    if let Ok(published) = fs::read_to_string(folder.join("published")) {
        dictionary.settle(&shop(), published.parse().unwrap()).unwrap();
    }
    dictionary
}

fn acknowledged(folder: &Path) -> u64 {
    fs::metadata(folder.join("acknowledged")).map_or(0, |m| m.len())
}

fn acknowledge(folder: &Path) {
    let mut file =
        fs::OpenOptions::new().create(true).append(true).open(folder.join("acknowledged")).unwrap();
    file.write_all(b".").unwrap();
}

fn run(dictionary: &Dictionary, folder: &Path, call: &Call) -> Result<(), Error> {
    match call {
        Call::Assign(ids) => dictionary
            .assign(&shop(), &ids.iter().map(String::as_str).collect::<Vec<_>>())
            .map(drop),
        Call::Delete(ordinals) => dictionary.delete(&shop(), ordinals).map(drop),
        Call::Purge => dictionary.purge(&shop()).map(drop),
        Call::Repack(kept) => dictionary.repack(&shop(), kept.iter().copied())?.finish(|carried| {
            fs::write(folder.join("publishing"), carried.generation.to_string()).unwrap();
            fs::rename(folder.join("publishing"), folder.join("published")).unwrap();
            Ok(())
        }),
    }
}

/// Not a test of its own: what the child process runs until it is killed.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let folder = std::env::var(FOLDER).expect("run by the test below");
    let folder = Path::new(&folder);
    let dictionary = open(folder);
    let mut model = ReferenceModel::default();
    for number in 0.. {
        let call = model.call(number);
        model.apply(&call);
        if number >= acknowledged(folder) {
            run(&dictionary, folder, &call).unwrap();
            acknowledge(folder);
        }
    }
}

#[test]
fn kill_loses_nothing_and_halves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for round in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (goal, start) = (acknowledged(folder) + 3 + round % 11, Instant::now());
        while acknowledged(folder) < goal {
            assert!(child.try_wait().unwrap().is_none(), "the child ended of itself");
            assert!(start.elapsed() < Duration::from_secs(60), "the child does not get on");
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(round * 7919 % 6000));
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder);
    }
}

fn check(folder: &Path) {
    let dictionary = open(folder);
    let mut model = ReferenceModel::default();
    let acknowledged = acknowledged(folder);
    for number in 0..acknowledged {
        model.apply(&model.call(number));
    }
    if !model.equals(&dictionary) {
        let call = model.call(acknowledged);
        model.apply(&call);
        assert!(
            model.equals(&dictionary),
            "neither before nor after call {acknowledged}, the one cut off"
        );
        // It is not done twice: a re-packing would give yet another generation.
        acknowledge(folder);
    }
    let entries = fs::read_dir(folder.join("dictionary/shop")).unwrap().count();
    assert_eq!(entries, 2, "the manifest and one generation");
}
