//! What a reader of one generation sees at one moment.

use crate::Result;
use crate::deleted::Deleted;
use crate::ids_file::IdsFile;
use crate::run::SortedRun;
use crate::tail::Tail;
use std::sync::Arc;
use taghouse_model::Ordinal;

/// Ids files from ordinal 0 on, the tail behind them, and how ids are found. Immutable but for the
/// tail, which only grows.
pub(crate) struct State {
    ids: Vec<Arc<IdsFile>>,
    /// Of the ids files, side by side.
    firsts: Vec<Ordinal>,
    /// Oldest first; together they cover the ids files.
    pub(crate) runs: Vec<Arc<SortedRun>>,
    pub(crate) deleted: Deleted,
    pub(crate) tail: Arc<Tail>,
}

impl State {
    pub(crate) fn new(
        ids: Vec<Arc<IdsFile>>,
        runs: Vec<Arc<SortedRun>>,
        deleted: Deleted,
        tail: Arc<Tail>,
    ) -> Self {
        let firsts = ids.iter().map(|file| file.first).collect();
        Self { ids, firsts, runs, deleted, tail }
    }

    pub(crate) fn ids(&self) -> &[Arc<IdsFile>] {
        &self.ids
    }

    /// How many ordinals are given.
    pub(crate) fn len(&self) -> u32 {
        self.tail.end()
    }

    /// The ids file of an ordinal below the tail's, and its number in there.
    #[inline]
    pub(crate) fn sealed(&self, ordinal: Ordinal) -> (&IdsFile, u32) {
        let (at, index) = self.sealed_at(ordinal);
        (&self.ids[at], index)
    }

    /// As `sealed`, with the file's place among the ids files.
    #[inline]
    pub(crate) fn sealed_at(&self, ordinal: Ordinal) -> (usize, u32) {
        let at = self.firsts.partition_point(|first| *first <= ordinal) - 1;
        (at, ordinal - self.firsts[at])
    }

    /// Calls with the packed id of an ordinal that is given.
    pub(crate) fn with_packed<T>(
        &self,
        ordinal: Ordinal,
        visit: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        if ordinal >= self.tail.first {
            return Ok(self.tail.with_packed(ordinal, visit));
        }
        let (file, index) = self.sealed(ordinal);
        file.packed(index).map(|packed| Some(visit(packed)))
    }

    /// The same with other deleted users.
    pub(crate) fn with_deleted(&self, deleted: Deleted) -> Self {
        Self::new(self.ids.clone(), self.runs.clone(), deleted, Arc::clone(&self.tail))
    }
}
