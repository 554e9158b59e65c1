//! Message ids seen, by their 128-bit hashes.

use hashbrown::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// The ids are hashes already.
#[derive(Default)]
pub(crate) struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// The message ids of one run over files. Those of a file that turns out to be damaged are taken
/// back.
#[derive(Default)]
pub(crate) struct RunIds {
    seen: HashSet<u128, BuildHasherDefault<PassThrough>>,
    of_file: Vec<u128>,
}

impl RunIds {
    /// Marks the rows whose id is new; `None`: all are.
    pub(crate) fn claim(&mut self, hashes: &[u128]) -> Option<Vec<bool>> {
        let before = self.of_file.len();
        let fresh: Vec<bool> = hashes.iter().map(|hash| self.seen.insert(*hash)).collect();
        self.of_file
            .extend(hashes.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(hash, _)| *hash));
        (self.of_file.len() - before < hashes.len()).then_some(fresh)
    }

    /// Whether a row of the run has the id.
    pub(crate) fn contains(&self, hash: u128) -> bool {
        self.seen.contains(&hash)
    }

    /// The file's rows are in.
    pub(crate) fn keep_file(&mut self) {
        self.of_file.clear();
    }

    /// The file's rows are out: their ids are as good as never seen.
    pub(crate) fn forget_file(&mut self) {
        for hash in self.of_file.drain(..) {
            self.seen.remove(&hash);
        }
    }
}
