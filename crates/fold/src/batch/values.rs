use crate::{ColumnBuilder, Outcome, SkipReason};
use arrow::array::ArrayRef;
use std::collections::BTreeMap;
use taghouse_model::ValueType;

/// How many values were left out, by reason.
pub type Skipped = BTreeMap<SkipReason, u64>;

/// The values of a tag, one a user in the order of users, null where there is none.
#[derive(Debug, Clone)]
pub struct TagValues {
    /// As the lake's tables have them.
    pub array: ArrayRef,
    /// Values that the tag cannot hold, and events' values that no number holds.
    pub skipped: Skipped,
}

pub(crate) struct ValuesBuilder {
    column: ColumnBuilder,
    skipped: Skipped,
}

impl ValuesBuilder {
    pub(crate) fn new(ty: ValueType) -> Self {
        Self { column: ColumnBuilder::new(ty), skipped: Skipped::new() }
    }

    pub(crate) fn push(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Value(value) => return self.column.push(Some(&value)),
            Outcome::Nothing => {}
            Outcome::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
        }
        self.column.push(None);
    }

    /// Counts what was left out on the way to the values.
    pub(crate) fn skip(&mut self, reason: SkipReason, count: u64) {
        if count > 0 {
            *self.skipped.entry(reason).or_default() += count;
        }
    }

    pub(crate) fn finish(self) -> TagValues {
        TagValues { array: self.column.finish(), skipped: self.skipped }
    }
}
