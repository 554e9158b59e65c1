//! Keeps runs few: small ones are merged by a seal, large ones by a background thread, so that no
//! call waits for them.

use crate::generation::Generation;
use crate::manifest::RunEntry;
use crate::run::{SortedRun, Source, merge_unless};
use crate::space::Space;
use crate::state::State;
use crate::{Error, Result};
use parking_lot::Mutex;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle};
use taghouse_model::Ordinal;

/// A run is merged with the newer ones once it has fewer than this many times their entries. So
/// run sizes grow geometrically: there are O(log n) runs, and an entry is rewritten O(log n) times.
const MERGE_FACTOR: usize = 4;
/// A seal itself merges at most the entries of this many tails.
const SEAL_MERGES: usize = 8;

/// The thread that merges an app's runs.
#[derive(Default)]
pub(crate) struct Merging {
    thread: Mutex<Option<JoinHandle<()>>>,
    stop: AtomicBool,
    /// It is merging runs below this ordinal: a seal leaves those alone.
    below: AtomicU32,
}

impl Merging {
    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().take();
        // A panic there has been told by its hook; what it was merging is as before.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Space {
    /// How many of the oldest runs stay when a seal brings a run of `new` entries. With the
    /// writer's lock.
    pub(crate) fn runs_kept_by_seal(&self, runs: &[Arc<SortedRun>], new: usize) -> usize {
        let below = self.merging.below.load(Ordering::Acquire);
        let most = SEAL_MERGES * self.options.seal_ids as usize;
        let kept = kept_runs(runs, new, most);
        kept.max(runs.iter().take_while(|run| run.first < below).count())
    }

    /// Begins to merge what is left to merge, if that is not being done already.
    pub(crate) fn start_merging(self: &Arc<Self>, runs: &[Arc<SortedRun>]) {
        if due(runs).is_none() {
            return;
        }
        let mut thread = self.merging.thread.lock();
        if thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let space = Arc::clone(self);
            // What fails here or there is tried again with the next seal; damage is told by
            // lookups.
            let run = move || while matches!(space.merge_once(), Ok(true)) {};
            *thread = Builder::new().name("dictionary-merge".to_owned()).spawn(run).ok();
        }
    }

    /// Merges the newest runs that are due; whether there may be more.
    fn merge_once(&self) -> Result<bool> {
        if self.merging.stop.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut writer = self.write()?;
        let generation = self.current();
        let state = generation.state();
        let Some(kept) = due(&state.runs) else { return Ok(false) };
        let (sources, name) = (&state.runs[kept..], writer.manifest.current.name("run"));
        let ends = (sources[0].first, sources.last().map_or(0, |run| run.end));
        self.merging.below.store(ends.1, Ordering::Release);
        drop(writer);
        let merged = self.merge_beside(&generation, &state, kept, &name, ends);
        self.merging.below.store(0, Ordering::Release);
        merged
    }

    fn merge_beside(
        &self,
        generation: &Arc<Generation>,
        state: &State,
        kept: usize,
        name: &str,
        ends: (Ordinal, Ordinal),
    ) -> Result<bool> {
        let (path, sources) = (generation.folder.join(name), &state.runs[kept..]);
        let streams: Vec<Source<'_>> = sources.iter().map(|run| Source::SortedRun(run)).collect();
        if !merge_unless(path.clone(), &streams, &state.deleted, ends.0, ends.1, || {
            self.merging.stop.load(Ordering::Acquire)
        })? {
            return Ok(false);
        }
        let run = Arc::new(SortedRun::open(path.clone(), ends.0, ends.1)?);
        let mut writer = self.write()?;
        let now = generation.state();
        let there = now.runs.get(kept..kept + sources.len());
        let same = there.is_some_and(|there| {
            there.iter().zip(sources).all(|(there, source)| Arc::ptr_eq(there, source))
        });
        if !same || !Arc::ptr_eq(generation, &self.current()) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            return Ok(true);
        }
        let (mut runs, mut files) = (now.runs.clone(), writer.manifest.current.clone());
        runs.splice(kept..kept + sources.len(), [run]);
        files.runs.splice(
            kept..kept + sources.len(),
            [RunEntry { file: name.to_owned(), first: ends.0, end: ends.1 }],
        );
        let merged =
            State::new(now.ids().to_vec(), runs, now.deleted.clone(), Arc::clone(&now.tail));
        writer.guarded(|writer| self.replace_files(writer, generation, files, merged))?;
        Ok(true)
    }
}

/// From which run on all are to be merged into one.
fn due(runs: &[Arc<SortedRun>]) -> Option<usize> {
    let (newest, older) = runs.split_last()?;
    let kept = kept_runs(older, newest.entries(), usize::MAX);
    (kept < older.len()).then_some(kept)
}

/// How many of the oldest runs stay when one of `new` entries comes and no more than `most` entries
/// are to be merged.
fn kept_runs(runs: &[Arc<SortedRun>], new: usize, most: usize) -> usize {
    let (mut kept, mut newer) = (runs.len(), new);
    while kept > 0
        && runs[kept - 1].entries() < MERGE_FACTOR.saturating_mul(newer)
        && newer + runs[kept - 1].entries() <= most
    {
        kept -= 1;
        newer += runs[kept].entries();
    }
    kept
}
