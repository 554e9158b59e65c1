//! Looks up the ordinals of ids, many at a time.
//!
//! A lookup waits for memory four times: for the directory, the bucket, the offset of the id, and
//! the id itself. So lookups proceed in groups, step by step: each step first touches the memory
//! that the whole group needs, without a branch in between, so that the cache misses overlap. This
//! is group prefetching: Chen, Ailamaki, Gibbons and Mowry, "Improving hash join performance
//! through prefetching" (ICDE 2004, <https://doi.org/10.1109/ICDE.2004.1319989>).
//!
//! The runs are those of a log-structured merge-tree (O'Neil, Cheng, Gawlick and O'Neil, 1996,
//! <https://doi.org/10.1007/s002360050048>), with hashes instead of keys. With r runs a lookup reads
//! O(r) buckets of some eight entries, and r is logarithmic in the number of users.

use crate::Result;
use crate::packed::{Keys, equal};
use crate::run::SortedRun;
use crate::state::State;
use crate::tail::NONE;
use std::hint::black_box;
use std::ops::Range;
use taghouse_model::Ordinal;

/// Lookups of a group.
const GROUP: usize = 64;
/// Memory locations that a group touches at a time.
const TOUCHES: usize = 2 * GROUP;
/// Ids packed at a time.
const PACK: usize = 2048;

/// The lookup of one id in a run.
struct Probe {
    /// Its number among the keys.
    key: u32,
    /// Entries of its bucket that are not examined yet: `at..end`.
    at: u32,
    end: u32,
    /// The ordinal of the last entry found with its hash.
    ordinal: Ordinal,
    /// Where the id of that ordinal is: the ids file, the index in it, and its bytes.
    file: usize,
    index: u32,
    place: Range<usize>,
}

/// Lookups that proceed together.
struct Group<'a> {
    /// Numbers of the keys that are not found yet.
    pending: Vec<u32>,
    /// Lookups that may be in the current run.
    probes: Vec<Probe>,
    touch: Touch<'a>,
}

/// Memory that will be read soon. It is read in one loop that does nothing else, so that the
/// processor overlaps the cache misses.
struct Touch<'a> {
    places: [&'a [u8]; TOUCHES],
    count: usize,
}

impl State {
    /// The ordinals of `ids`, [`NONE`] for those that have none.
    pub(crate) fn lookup(&self, ids: &[&str]) -> Result<Vec<Ordinal>> {
        // First, so that the whole call sees one state.
        let end = self.len();
        let mut found = vec![NONE; ids.len()];
        let mut keys = Keys::default();
        let mut group = Group {
            pending: Vec::with_capacity(GROUP.min(ids.len())),
            probes: Vec::with_capacity(GROUP.min(ids.len())),
            touch: Touch::default(),
        };
        for (ids, found) in ids.chunks(PACK).zip(found.chunks_mut(PACK)) {
            keys.pack(ids.iter().copied());
            for start in (0..keys.len()).step_by(GROUP) {
                group.pending.clear();
                group.pending.extend((start..keys.len().min(start + GROUP)).map(|key| key as u32));
                for run in &self.runs {
                    self.lookup_in(run, &keys, &mut group, found)?;
                }
                if !group.pending.is_empty() {
                    self.tail.lookup(&keys, &group.pending, end, found);
                }
            }
        }
        Ok(found)
    }

    /// Looks up the pending keys in one run. Those found leave the group.
    fn lookup_in<'a>(
        &'a self,
        run: &'a SortedRun,
        keys: &Keys,
        group: &mut Group<'a>,
        found: &mut [Ordinal],
    ) -> Result<()> {
        let Group { pending, probes, touch } = group;

        // 1. The directory: where each bucket begins and ends.
        for key in pending.iter() {
            touch.add(run.bucket_bytes(keys.hash(*key as usize))?);
        }
        touch.all();

        // 2. The buckets: both ends, for a bucket may span two cache lines.
        probes.clear();
        for key in pending.iter() {
            let (at, end) = run.bucket(keys.hash(*key as usize));
            run.verify((at, end))?;
            touch.add(run.entry_bytes(at));
            touch.add(run.entry_bytes(end.saturating_sub(1)));
            probes.push(Probe {
                key: *key,
                at,
                end,
                ordinal: NONE,
                file: 0,
                index: 0,
                place: 0..0,
            });
        }
        touch.all();

        // 3. Entries with the same hash, and the offsets of their ids.
        probes.retain_mut(|probe| self.next_candidate(run, keys.hash(probe.key as usize), probe));
        for probe in probes.iter_mut() {
            if probe.ordinal < run.first || probe.ordinal >= run.end {
                return Err(run.damaged("it has an ordinal that it does not cover"));
            }
            (probe.file, probe.index) = self.sealed_at(probe.ordinal);
            touch.add(self.ids()[probe.file].word_bytes(probe.index)?);
        }
        touch.all();

        // 4. The ids.
        for probe in probes.iter_mut() {
            let file = &self.ids()[probe.file];
            probe.place = file.place(probe.index)?;
            touch.ends(&file.bytes()[probe.place.clone()]);
        }
        touch.all();

        // 5. Compare, and remove the keys found from the group.
        let (before, mut hits) = (pending.len(), 0);
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

    /// Advances to the next entry of the bucket with this hash, skipping deleted users.
    #[inline]
    fn next_candidate(&self, run: &SortedRun, hash: u32, probe: &mut Probe) -> bool {
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

    /// Compares the id, and those of further entries with the same hash if it differs.
    fn confirm(&self, run: &SortedRun, keys: &Keys, probe: &mut Probe) -> Result<Option<Ordinal>> {
        let key = keys.get(probe.key as usize);
        if equal(&self.ids()[probe.file].bytes()[probe.place.clone()], key) {
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
        let mut touch = Touch::default();
        for group in ordinals.chunks(GROUP) {
            let sealed = || {
                group
                    .iter()
                    .filter(|ordinal| **ordinal < self.tail.first)
                    .map(|ordinal| self.sealed(*ordinal))
            };
            for (file, index) in sealed() {
                touch.add(file.word_bytes(index)?);
            }
            touch.all();
            for (file, index) in sealed() {
                touch.ends(file.packed(index)?);
            }
            touch.all();
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

impl Default for Touch<'_> {
    fn default() -> Self {
        Self { places: [&[]; TOUCHES], count: 0 }
    }
}

impl<'a> Touch<'a> {
    /// At most [`TOUCHES`] before the next [`Touch::all`]. Ignores empty slices.
    #[inline]
    fn add(&mut self, place: &'a [u8]) {
        if !place.is_empty() {
            self.places[self.count] = place;
            self.count += 1;
        }
    }

    /// Both ends of an id, which may span two cache lines.
    #[inline]
    fn ends(&mut self, id: &'a [u8]) {
        self.add(id);
        self.add(&id[id.len().saturating_sub(1)..]);
    }

    #[inline]
    fn all(&mut self) {
        black_box(self.places[..self.count].iter().fold(0, |read, place| read ^ place[0]));
        self.count = 0;
    }
}

/// For callers: `None` instead of [`NONE`].
pub(crate) fn options(found: Vec<Ordinal>) -> Vec<Option<Ordinal>> {
    found.into_iter().map(|ordinal| (ordinal != NONE).then_some(ordinal)).collect()
}
