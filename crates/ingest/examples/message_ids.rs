//! What the memory of message ids costs: resident bytes, and time to look up and to note.
//!
//! `cargo run --release --example message_ids -- [IDS, by default 10,000,000] [FOLDER]`
//!
//! The ids are spread over 24 hours, in landings of 50,000, as those of a day with so many messages
//! are.

#![allow(clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
use taghouse_ingest::{MessageIds, NotedId};
use taghouse_model::{AppId, Clock};
use xxhash_rust::xxh3::xxh3_128;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const AT_ONCE: u64 = 50_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// Both clocks, moved by hand.
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// `VmRSS`, or `VmHWM` for the most so far.
fn resident_mb(which: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(which)?.strip_prefix(':'))
        .unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN)
        / 1024.0
}

fn hashes(from: u64, count: u64) -> Vec<u128> {
    (from..from + count).map(|n| xxh3_128(&n.to_le_bytes())).collect()
}

fn report(what: &str, count: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {count} in {seconds:.2} s, {:.2} µs each; resident {:.0} MB, at most {:.0} MB",
        seconds * 1e6 / count as f64,
        resident_mb("VmRSS"),
        resident_mb("VmHWM")
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let ids: u64 =
        arguments.next().map_or(Ok(10_000_000), |text| text.replace(['_', ','], "").parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let clock = Arc::new(HandClock(AtomicI64::new(0)));
    let app = AppId::new("shop")?;
    let memory = MessageIds::at(&folder, clock.clone());
    println!("resident {:.0} MB before", resident_mb("VmRSS"));
    let landings = ids / AT_ONCE;
    let started = Instant::now();
    for landing in 0..landings {
        clock
            .0
            .store(DAY_MS * i64::try_from(landing)? / i64::try_from(landings)?, Ordering::Relaxed);
        let first = landing * AT_ONCE;
        let noted: Vec<NotedId> = (first + 1..)
            .zip(hashes(first, AT_ONCE))
            .map(|(position, id)| NotedId { id, position })
            .collect();
        memory.note(&app, &noted, first + AT_ONCE)?;
    }
    report("noted", landings * AT_ONCE, started);
    for (what, from) in [
        ("looked up, new", u64::MAX / 2),
        ("looked up, of an hour ago", (ids / 24 * 23).min(ids - AT_ONCE)),
        ("looked up, of a day ago", 0),
    ] {
        let wanted = hashes(from, AT_ONCE);
        let started = Instant::now();
        let known = memory.known(&app, &wanted)?;
        let expected = from < ids;
        assert!(known.iter().all(|known| *known == expected), "{what}");
        report(what, AT_ONCE, started);
    }
    println!("{} hours", memory.hours()?);
    drop(memory);
    let started = Instant::now();
    let memory = MessageIds::at(&folder, clock);
    assert_eq!(memory.known(&app, &hashes(0, 1))?, [true]);
    report("opened again", 1, started);
    Ok(())
}
