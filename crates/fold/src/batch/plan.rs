use crate::{Calendar, FoldPlan, Result};
use std::ops::Deref;
use taghouse_model::{TimestampMs, ValueType};
use taghouse_rules::EventTag;

/// A [`FoldPlan`] as of one time. Shared by all workers of a pass.
#[derive(Debug)]
pub struct BatchPlan {
    fold: FoldPlan,
    /// The first instant of each group's window.
    pub(super) starts_ms: Vec<TimestampMs>,
    pub(super) as_of_ms: TimestampMs,
}

impl BatchPlan {
    /// A plan for these tags with their types, as of a time. `types` gives those of
    /// properties.
    ///
    /// # Errors
    /// [`crate::Error::Definition`] if a function does not go with its value's type.
    pub fn new(
        tags: &[(EventTag<'_>, ValueType)],
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
        as_of_ms: TimestampMs,
    ) -> Result<Self> {
        let fold = FoldPlan::new(tags, types, calendar)?;
        let starts_ms = fold.groups.iter().map(|group| group.span.start_ms(as_of_ms)).collect();
        Ok(Self { fold, starts_ms, as_of_ms })
    }

    /// No event before this instant counts for any tag; the as-of time if there are no tags.
    pub fn earliest_ms(&self) -> TimestampMs {
        self.starts_ms.iter().copied().min().unwrap_or(self.as_of_ms).min(self.as_of_ms)
    }

    /// The as-of time: no event from it on counts.
    pub fn as_of_ms(&self) -> TimestampMs {
        self.as_of_ms
    }
}

impl Deref for BatchPlan {
    type Target = FoldPlan;

    fn deref(&self) -> &FoldPlan {
        &self.fold
    }
}
