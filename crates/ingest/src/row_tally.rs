//! Counts of the rows that were taken, left out and rejected.

use crate::reject::{Fault, Reason};
use std::collections::BTreeMap;

/// The rows that were rejected for one reason.
#[derive(Debug, Clone)]
pub(crate) struct RejectedRows {
    pub(crate) count: u64,
    /// What is wrong with the first of them.
    pub(crate) detail: String,
}

/// What happened to the rows of a part of the input.
#[derive(Debug, Default, Clone)]
pub(crate) struct RowTally {
    pub(crate) rows: u64,
    pub(crate) filtered: u64,
    pub(crate) rejected: u64,
    /// Of ids whose data is refused.
    pub(crate) suppressed: u64,
    /// Halves of surrogate pairs that were replaced, in rows that were taken.
    pub(crate) replaced: u64,
    /// The rejected rows by reason.
    pub(crate) reasons: BTreeMap<Reason, RejectedRows>,
}

impl RowTally {
    pub(crate) fn refuse(&mut self, fault: &Fault) {
        self.rejected += 1;
        match self.reasons.get_mut(&fault.reason) {
            Some(rows) => rows.count += 1,
            None => {
                let rows = RejectedRows { count: 1, detail: fault.detail.clone() };
                self.reasons.insert(fault.reason.clone(), rows);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
        self.suppressed += other.suppressed;
        self.replaced += other.replaced;
        for (reason, rows) in &other.reasons {
            self.reasons
                .entry(reason.clone())
                .and_modify(|own| own.count += rows.count)
                .or_insert_with(|| rows.clone());
        }
    }
}
