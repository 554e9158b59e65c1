//! The last deliveries of a sink: in memory, and in two files that take turns. It is for people, so
//! what a crash takes of the last moment is not missed, and nothing is synced.

use crate::{Delivery, Error, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Deliveries that are shown.
const SHOWN: usize = 200;

/// A file that reaches this takes the place of the older one.
const FILE_BYTES: u64 = 1 << 20;

/// The deliveries of one sink.
#[derive(Clone)]
pub(crate) struct DeliveryLog {
    folder: PathBuf,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    last: VecDeque<Delivery>,
    /// How many of the last are in no file.
    unwritten: usize,
}

impl DeliveryLog {
    /// The log in a folder, with what it holds. Blocks.
    pub(crate) fn open(folder: PathBuf) -> Self {
        let mut last = VecDeque::new();
        for name in [OLD, NEW] {
            let content = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            last.extend(content.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        last.drain(..last.len().saturating_sub(SHOWN));
        Self { folder, noted: Arc::new(Mutex::new(Noted { last, unwritten: 0 })) }
    }

    /// Adds a delivery.
    pub(crate) fn note(&self, delivery: Delivery) {
        let mut noted = self.noted.lock();
        noted.last.push_back(delivery);
        noted.unwritten += 1;
        if noted.last.len() > SHOWN {
            noted.last.pop_front();
        }
        noted.unwritten = noted.unwritten.min(noted.last.len());
    }

    /// The last deliveries, newest first.
    pub(crate) fn last(&self, limit: usize) -> Vec<Delivery> {
        self.noted.lock().last.iter().rev().take(limit).cloned().collect()
    }

    /// Writes what is in no file. Blocks.
    ///
    /// # Errors
    /// `Disk`; what was not written is not tried again.
    pub(crate) fn write(&self) -> Result<()> {
        let lines: Vec<u8> = {
            let mut noted = self.noted.lock();
            let written = noted.last.len() - std::mem::take(&mut noted.unwritten);
            let mut lines = Vec::new();
            for delivery in noted.last.iter().skip(written) {
                lines.extend(serde_json::to_vec(delivery).unwrap_or_default());
                lines.push(b'\n');
            }
            lines
        };
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(NEW);
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&lines)?;
            if file.metadata()?.len() >= FILE_BYTES {
                std::fs::rename(&path, self.folder.join(OLD))?;
            }
            Ok(())
        };
        write().map_err(Error::disk(&path))
    }
}

const NEW: &str = "deliveries.jsonl";
const OLD: &str = "deliveries-before.jsonl";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn delivery(number: u64) -> Delivery {
        Delivery {
            at_ms: number as i64,
            webhook_id: "w".repeat(200),
            events: number,
            first_id: "a".to_owned(),
            last_id: "b".to_owned(),
            attempt: 1,
            status: Some(200),
            latency_ms: 1,
            outcome: Outcome::Delivered,
            error: None,
        }
    }

    #[test]
    fn the_last_deliveries_are_there_after_a_restart_and_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = DeliveryLog::open(folder.path().to_owned());
        for number in 0..20_000 {
            log.note(delivery(number));
            if number % 100 == 99 {
                log.write().unwrap();
            }
        }
        let numbers = |log: &DeliveryLog| -> Vec<u64> {
            log.last(SHOWN + 1).iter().map(|delivery| delivery.events).collect()
        };
        let expected: Vec<u64> = (19_800..20_000).rev().collect();
        assert_eq!(numbers(&log), expected);
        assert_eq!(numbers(&DeliveryLog::open(folder.path().to_owned())), expected);
        let files = std::fs::read_dir(folder.path()).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes < 3 * FILE_BYTES, "{bytes}");
    }
}
