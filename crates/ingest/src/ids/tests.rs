#[path = "../../../../tests/needs/copy_folder.rs"]
mod copy_folder;

use super::{MessageIds, NotedId};
use copy_folder::copy_folder;
use std::path::Path;
use std::sync::Arc;
use taghouse_model::{AppId, Clock};

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_780_000_000_000
    }
}

fn ids(folder: &Path) -> MessageIds {
    MessageIds::at(folder, Arc::new(Still))
}

/// Whatever byte of the journal is flipped: no panic, and either the ids are there, or it is said
/// that some are missing, or the folder is named.
#[test]
fn a_damaged_journal_is_said_or_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let app = AppId::new("shop").unwrap();
    let noted: Vec<NotedId> =
        (1..=40u64).map(|n| NotedId { id: u128::from(n) << 64 | 7, position: n }).collect();
    let whole = home.path().join("whole");
    for part in noted.chunks(10) {
        ids(&whole).note(&app, part, part[9].position).unwrap();
    }
    let all: Vec<u128> = noted.iter().map(|noted| noted.id).collect();
    let journal = std::fs::read_dir(&whole)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "jnl"));
    let name = journal.unwrap().file_name().unwrap().to_owned();
    let bytes = std::fs::read(whole.join(&name)).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, mut missing) = (0, 0);
    for at in (0..written).step_by(37) {
        let folder = home.path().join(format!("at-{at}"));
        copy_folder(&whole, &folder);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        std::fs::write(folder.join(&name), damaged).unwrap();
        let opened = ids(&folder);
        match opened.settle(&app, 40) {
            Ok(true) => assert_eq!(opened.known(&app, &all).unwrap(), vec![true; 40], "byte {at}"),
            Ok(false) => missing += 1,
            Err(error) => {
                assert!(error.to_string().contains(folder.to_str().unwrap()), "byte {at}: {error}");
                refused += 1;
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(refused + missing > 0, "no byte of {written} mattered");
}
