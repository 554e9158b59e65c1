//! From ids to ordinals, many at a time.
//!
//! A look-up waits for memory four times: the directory, the bucket, the word of the id's place, the id. So a group of them goes step by
//! step together: each step first touches what all of the group need, without a decision in between, and the waiting overlaps.

use crate::Result;
use crate::packed::Keys;
use crate::run::Run;
use crate::state::State;
use crate::tail::NONE;
use std::hint::black_box;
use std::ops::Range;
use taghouse_model::Ordinal;

/// Look-ups that wait together.
pub(crate) const GROUP: usize = 64;
/// Ids packed at a time.
const PACK: usize = 2048;

/// One id on its way through a run.
struct Probe {
    /// Its number among the keys.
    key: u32,
    /// Entries of its bucket not looked at yet.
    at: u32,
    end: u32,
    /// Of the entry last found with its hash.
    ordinal: Ordinal,
    /// Where that ordinal's id stands in its file.
    place: Range<usize>,
}

impl State {
    /// The ordinals of `ids`, [`NONE`] for those that have none.
    pub(crate) fn lookup(&self, ids: &[&str]) -> Result<Vec<Ordinal>> {
        // Before all else: one cut for the whole call.
        let end = self.len();
        let mut found = vec![NONE; ids.len()];
        let (mut keys, mut pending, mut probes) = (Keys::default(), Vec::with_capacity(GROUP), Vec::with_capacity(GROUP));
        for (ids, found) in ids.chunks(PACK).zip(found.chunks_mut(PACK)) {
            keys.pack(ids.iter().copied());
            for start in (0..keys.len()).step_by(GROUP) {
                pending.clear();
                pending.extend((start..keys.len().min(start + GROUP)).map(|key| key as u32));
                for run in &self.runs {
                    self.lookup_in(run, &keys, &mut pending, &mut probes, found)?;
                }
                if !pending.is_empty() {
                    self.tail.lookup(&keys, &pending, end, found);
                }
            }
        }
        Ok(found)
    }

    /// Takes from `pending` the keys that are in this run.
    fn lookup_in(&self, run: &Run, keys: &Keys, pending: &mut Vec<u32>, probes: &mut Vec<Probe>, found: &mut [Ordinal]) -> Result<()> {
        probes.clear();
        for key in pending.iter() {
            let (at, end) = run.bucket(keys.hash(*key as usize))?;
            probes.push(Probe { key: *key, at, end, ordinal: NONE, place: 0..0 });
        }
        let mut touched = 0;
        for probe in probes.iter() {
            run.verify((probe.at, probe.end))?;
            touched ^= run.entry(probe.at) ^ run.entry(probe.end.saturating_sub(1));
        }
        black_box(touched);
        probes.retain_mut(|probe| self.next_candidate(run, keys.hash(probe.key as usize), probe));
        let mut touched = 0;
        for probe in probes.iter() {
            if probe.ordinal < run.first || probe.ordinal >= run.end {
                return Err(run.damaged("it has an ordinal that it does not cover"));
            }
            let (file, index) = self.sealed(probe.ordinal);
            touched ^= file.touch_word(index);
        }
        black_box(touched);
        let mut touched = 0;
        for probe in probes.iter_mut() {
            let (file, index) = self.sealed(probe.ordinal);
            probe.place = file.place(index)?;
            touched ^= file.bytes()[probe.place.start] ^ file.bytes()[probe.place.end - 1];
        }
        black_box(touched);
        let before = pending.len();
        let mut hits = 0;
        for probe in probes.iter_mut() {
            if let Some(ordinal) = self.confirm(run, keys, probe)? {
                found[probe.key as usize] = ordinal;
                hits += 1;
            }
        }
        if hits == before {
            pending.clear();
        } else if hits > 0 {
            pending.retain(|key| found[*key as usize] == NONE);
        }
        Ok(())
    }

    /// Goes to the bucket's next entry with this hash that is not a deleted user's.
    #[inline]
    fn next_candidate(&self, run: &Run, hash: u32, probe: &mut Probe) -> bool {
        while probe.at < probe.end {
            let entry = run.entry(probe.at);
            probe.at += 1;
            if entry >> 32 == u64::from(hash) && !self.deleted.contains(entry as Ordinal) {
                probe.ordinal = entry as Ordinal;
                return true;
            }
        }
        false
    }

    /// Compares ids, with the next entries of the same hash too where the first is another's.
    fn confirm(&self, run: &Run, keys: &Keys, probe: &mut Probe) -> Result<Option<Ordinal>> {
        let key = keys.get(probe.key as usize);
        if &self.sealed(probe.ordinal).0.bytes()[probe.place.clone()] == key {
            return Ok(Some(probe.ordinal));
        }
        while self.next_candidate(run, keys.hash(probe.key as usize), probe) {
            if probe.ordinal >= self.tail.first {
                return Err(run.damaged("it has an ordinal that it does not cover"));
            }
            let (file, index) = self.sealed(probe.ordinal);
            if file.packed(index)? == key {
                return Ok(Some(probe.ordinal));
            }
        }
        Ok(None)
    }

    /// The ids of `ordinals`; `None` for one that is not given or of a deleted user.
    pub(crate) fn resolve(&self, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        let end = self.len();
        let mut texts = Vec::with_capacity(ordinals.len());
        for group in ordinals.chunks(GROUP) {
            let is_sealed = |ordinal: &&Ordinal| **ordinal < self.tail.first;
            let mut touched = 0;
            for ordinal in group.iter().filter(is_sealed) {
                let (file, index) = self.sealed(*ordinal);
                touched ^= file.touch_word(index);
            }
            black_box(touched);
            let mut touched = 0;
            for ordinal in group.iter().filter(is_sealed) {
                let (file, index) = self.sealed(*ordinal);
                let place = file.place(index)?;
                touched ^= file.bytes()[place.start] ^ file.bytes()[place.end - 1];
            }
            black_box(touched);
            for ordinal in group {
                texts.push(if *ordinal < end { self.text(*ordinal)? } else { None });
            }
        }
        Ok(texts)
    }

    /// The id of an ordinal that is given; `None` if it is of a deleted user.
    fn text(&self, ordinal: Ordinal) -> Result<Option<String>> {
        if self.deleted.contains(ordinal) {
            Ok(None)
        } else if ordinal >= self.tail.first {
            Ok(self.tail.text(ordinal))
        } else {
            let (file, index) = self.sealed(ordinal);
            file.text(index).map(Some)
        }
    }
}

/// For callers: `None` instead of [`NONE`].
pub(crate) fn options(found: Vec<Ordinal>) -> Vec<Option<Ordinal>> {
    found.into_iter().map(|ordinal| (ordinal != NONE).then_some(ordinal)).collect()
}
