//! Counts of the rows that were taken, left out and rejected.

use crate::reject::{Fault, Reason};
use std::collections::BTreeMap;

/// What became of the rows of a stretch of the input.
#[derive(Debug, Default, Clone)]
pub(crate) struct RowTally {
    pub(crate) rows: u64,
    pub(crate) filtered: u64,
    pub(crate) rejected: u64,
    /// Halves of surrogate pairs that were replaced, in rows that were taken.
    pub(crate) replaced: u64,
    /// By reason, with the words of the first such row.
    pub(crate) reasons: BTreeMap<Reason, (u64, String)>,
}

impl RowTally {
    pub(crate) fn refuse(&mut self, fault: &Fault) {
        self.rejected += 1;
        match self.reasons.get_mut(&fault.reason) {
            Some((count, _)) => *count += 1,
            None => {
                self.reasons.insert(fault.reason.clone(), (1, fault.detail.clone()));
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
        self.replaced += other.replaced;
        for (reason, (count, detail)) in &other.reasons {
            self.reasons.entry(reason.clone()).or_insert_with(|| (0, detail.clone())).0 += count;
        }
    }
}
