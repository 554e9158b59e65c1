//! From ids to ordinals, many at a time.
//!
//! A look-up waits for memory four times: the directory, the bucket, the word of the id's place,
//! the id. So a group of them goes step by step together: each step first touches what all of the
//! group need, without a decision in between, and the waiting overlaps.

use crate::Result;
use crate::packed::{Keys, equal};
use crate::run::SortedRun;
use crate::state::State;
use crate::tail::NONE;
use std::hint::black_box;
use std::ops::Range;
use taghouse_model::Ordinal;

/// Look-ups that wait together.
const GROUP: usize = 64;
/// Places in memory that they wait for together.
const TOUCHES: usize = 2 * GROUP;
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
    /// Where that ordinal's id stands: the ids file, the number in it, the bytes.
    file: usize,
    index: u32,
    place: Range<usize>,
}

/// What goes step by step together.
struct Group<'a> {
    /// Numbers of the keys that are not found yet.
    pending: Vec<u32>,
    /// Those of them that are in the run looked at.
    probes: Vec<Probe>,
    touch: Touch<'a>,
}

/// Memory that will be read soon. All of it is read in one loop that does nothing else, so that the
/// processor waits for many at a time.
struct Touch<'a> {
    places: [&'a [u8]; TOUCHES],
    count: usize,
}

impl State {
    /// The ordinals of `ids`, [`NONE`] for those that have none.
    pub(crate) fn lookup(&self, ids: &[&str]) -> Result<Vec<Ordinal>> {
        // Before all else: one cut for the whole call.
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

    /// Takes from the group the keys that are in this run.
    fn lookup_in<'a>(
        &'a self,
        run: &'a SortedRun,
        keys: &Keys,
        group: &mut Group<'a>,
        found: &mut [Ordinal],
    ) -> Result<()> {
        let Group { pending, probes, touch } = group;
        for key in pending.iter() {
            touch.add(run.bucket_bytes(keys.hash(*key as usize))?);
        }
        touch.all();
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
        probes.retain_mut(|probe| self.next_candidate(run, keys.hash(probe.key as usize), probe));
        for probe in probes.iter_mut() {
            if probe.ordinal < run.first || probe.ordinal >= run.end {
                return Err(run.damaged("it has an ordinal that it does not cover"));
            }
            (probe.file, probe.index) = self.sealed_at(probe.ordinal);
            touch.add(self.ids()[probe.file].word_bytes(probe.index)?);
        }
        touch.all();
        for probe in probes.iter_mut() {
            let file = &self.ids()[probe.file];
            probe.place = file.place(probe.index)?;
            touch.ends(&file.bytes()[probe.place.clone()]);
        }
        touch.all();
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

    /// Goes to the bucket's next entry with this hash that is not a deleted user's.
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

    /// Compares ids, with the next entries of the same hash too where the first is another's.
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
    /// Up to [`TOUCHES`] between two readings; none where there are no bytes.
    #[inline]
    fn add(&mut self, place: &'a [u8]) {
        if !place.is_empty() {
            self.places[self.count] = place;
            self.count += 1;
        }
    }

    /// The ends of an id, which may be on two lines of memory.
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
