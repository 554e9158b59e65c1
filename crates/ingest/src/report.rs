//! What a run over files tells.

use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a run is done.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// Go on however large the share of rejected rows.
    pub allow_rejects: bool,
    /// Files that have landed before are read again: the rows that they brought go, and those that
    /// they bring now come, in one commit.
    pub replace: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IngestProgress {
    /// Files read, or passed over as unchanged.
    pub files_done: u64,
    /// How many files there were in all.
    pub files_total: u64,
    /// How many rows were read.
    pub rows: u64,
    /// Bytes of the files done, as they are on disk.
    pub bytes_done: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
}

/// What a run has done. `rows` = accepted + rejected + filtered + suppressed + duplicates, where accepted rows
/// gave an event, attributes or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct IngestReport {
    /// Files that landed.
    pub files_new: u64,
    /// Files that landed in the place of their earlier rows.
    pub files_replaced: u64,
    /// Files that had landed before, as they are.
    pub files_unchanged: u64,
    /// Files without a row, in name order. They are not known as ingested: under the same name
    /// they may come again with rows.
    pub empty: Vec<String>,
    /// Files that were refused, in name order: nothing of them landed. A caller should end with an
    /// error if there is one.
    pub failed: Vec<FailedFile>,
    /// Data rows of the files that landed.
    pub rows: u64,
    /// Events by name.
    pub accepted: BTreeMap<String, u64>,
    /// Rows of the table `attributes`.
    pub attributes: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Halves of surrogate pairs, which name no character, that were replaced by U+FFFD.
    pub replaced: u64,
    /// Rows that a filter left out.
    pub filtered: u64,
    /// Rows of ids whose data is refused: nothing of them is kept.
    pub suppressed: u64,
    /// Rows dropped because an earlier row of the run, or one that landed before on a day of the
    /// run's rows, has their message id.
    pub duplicates: u64,
    /// Lake commits: 1, or 0 if no file was new.
    pub batches: u64,
    /// By the clock given.
    pub elapsed_ms: u64,
}

/// A file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedFile {
    /// Name of the file, as the ledger has it.
    pub file: String,
    /// What is wrong, and the fix.
    pub message: String,
}

impl IngestReport {
    /// All rejected rows.
    pub fn rejected_rows(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// How many events there were in all.
    pub fn events(&self) -> u64 {
        self.accepted.values().sum()
    }
}

/// Whether `rejected` of `rows` is over the share.
pub(crate) fn is_over(share: Decimal, rejected: u64, rows: u64) -> bool {
    Decimal::from(rejected) > share * Decimal::from(rows)
}
