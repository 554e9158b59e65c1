//! Tags over the order of a user's events: what their sessions, or their marks in order, come to as
//! of an instant.
//!
//! Their states are sets of events ([`crate::partial::Trace`]) or of spans
//! ([`crate::partial::Sessions`]), which merge in any order; the order is made when they are
//! evaluated. So an event that comes late is as good as one in time, and there is nothing to hold
//! back until a watermark has passed.

mod machine;
mod sequence;
mod session;

pub(crate) use machine::Machine;
pub(crate) use sequence::Sequence;
pub(crate) use session::Session;

use crate::partial::Mark;
use crate::{Calendar, Outcome, SkipReason, units};
use taghouse_model::{TimestampMs, Value, ValueType};

/// What a state comes to as of an instant, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The tag's value.
    pub outcome: Outcome,
    /// The first as-of time at which it is another though no event comes and no tile leaves the
    /// window; `None`: there is none.
    pub next_ms: Option<TimestampMs>,
}

impl Look {
    /// A value that time alone does not change.
    pub fn steady(outcome: Outcome) -> Self {
        Self { outcome, next_ms: None }
    }
}

/// A whole number as the tag's value.
fn whole(number: i64) -> Outcome {
    Outcome::Value(Value::Int(number))
}

/// An instant as the tag's value: a day of the app's zone, or itself.
fn instant(time_ms: TimestampMs, tag_type: ValueType, calendar: &Calendar) -> Outcome {
    if tag_type == ValueType::Time {
        return Outcome::Value(Value::Time(time_ms));
    }
    match i32::try_from(calendar.day(time_ms)) {
        Ok(day) => Outcome::Value(Value::Date(day)),
        Err(_) => Outcome::Skipped(SkipReason::OutOfRange),
    }
}

/// A quotient as the tag's value, rounded once, half away from zero.
fn ratio(top: i128, bottom: i128, tag_type: ValueType) -> Outcome {
    let scale = if let ValueType::Decimal { scale } = tag_type { scale } else { 0 };
    units::power(scale)
        .and_then(|power| top.checked_mul(power))
        .and_then(|top| units::to_decimal(units::divide(top, bottom), scale))
        .map_or(Outcome::Skipped(SkipReason::OutOfRange), |value| {
            Outcome::Value(Value::Decimal(value))
        })
}

/// The marks of each event, in the order of events.
fn by_event(marks: &[Mark]) -> impl Iterator<Item = &[Mark]> {
    marks.chunk_by(|a, b| (a.time_ms, a.id) == (b.time_ms, b.id))
}
