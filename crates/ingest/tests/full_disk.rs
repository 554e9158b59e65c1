//! The memory of message ids on a disk that is full while it is made.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod house;
#[path = "../../../tests/needs/small_disk.rs"]
mod small_disk;

use house::{HandClock, NOW_MS};
use small_disk::SmallDisk;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use taghouse_ingest::{MessageIds, NotedId};
use taghouse_model::AppId;

const PAGE_BYTES: usize = 4096;
const PAGES: usize = 32;

/// Whichever write is the first that fails, the memory works once there is room.
#[test]
fn a_memory_that_could_not_be_made_is_made_once_there_is_room() {
    let app = AppId::new("shop").unwrap();
    let clock = || Arc::new(HandClock(AtomicI64::new(NOW_MS), AtomicI64::new(0)));
    let mut refused = 0;
    for free in 0..PAGES {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::over(
            folder.path(),
            "a_memory_that_could_not_be_made_is_made_once_there_is_room",
            "128k",
        ) else {
            return;
        };
        std::fs::write(folder.path().join("filler"), vec![7; (PAGES - free) * PAGE_BYTES]).unwrap();
        let ids = MessageIds::at(&folder.path().join("ids"), clock());
        // Eight pages of the log, of which the disk takes some.
        let noted: Vec<NotedId> =
            (1..=1000).map(|n| NotedId { id: u128::from(n), position: n }).collect();
        let note = || ids.note(&app, &noted, 1000);
        if note().is_err() {
            refused += 1;
            assert!(
                !ids.known(&app, &[7, 1000]).is_ok_and(|known| known[0] || known[1]),
                "what was refused is not known with {free} pages"
            );
            disk.grow("64m");
            note().unwrap();
        }
        assert_eq!(ids.known(&app, &[7, 1001]).unwrap(), [true, false], "{free} pages");
        drop(ids);
        let again = MessageIds::at(&folder.path().join("ids"), clock());
        assert_eq!(again.known(&app, &[7]).unwrap(), [true], "{free} pages, by the next process");
    }
    assert!(
        (2..PAGES).contains(&refused),
        "some have too little room, some have enough: {refused}"
    );
}
