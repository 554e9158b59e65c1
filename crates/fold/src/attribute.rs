//! Attributes: the latest value by (time, message id), read as the tag's type.

use crate::cell::Natural;
use crate::partial::{Edge, Finished, Partial, Stamp};
use crate::{Calendar, Outcome, SkipReason};
use std::sync::Arc;
use taghouse_model::{TimestampMs, Value, ValueType};
use taghouse_rules::reader::{Cell, ColumnReader, FaultKind, TextLists};

/// One row of the table of attributes.
#[derive(Debug, Clone, Copy)]
pub struct AttributeRow<'a> {
    /// The time since which it holds, in milliseconds since 1970.
    pub time_ms: TimestampMs,
    /// Unique; orders rows of one time.
    pub message_id: &'a str,
    /// The text; none: the value was taken away.
    pub value: Option<&'a str>,
}

/// The latest row of one user's attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributeState(Edge<Option<Arc<str>>, true>);

/// An attribute tag as a fold, over the rows of its attribute.
#[derive(Debug, Clone)]
pub struct AttributeFold {
    tag_type: ValueType,
    calendar: Calendar,
}

impl AttributeFold {
    /// A tag of a type.
    pub fn new(tag_type: ValueType, calendar: &Calendar) -> Self {
        Self { tag_type, calendar: calendar.clone() }
    }

    /// Takes in one row.
    pub fn step(&self, state: &mut AttributeState, row: AttributeRow<'_>) {
        let stamp = Stamp { time_ms: row.time_ms, message_id: row.message_id };
        state.0.step(stamp, row.value.map(Arc::from), &Natural);
    }

    /// Takes in what another state of the same user has seen.
    pub fn merge(&self, state: &mut AttributeState, other: &AttributeState) {
        state.0.merge(&other.0, &Natural);
    }

    /// The value, after all rows before the as-of time.
    pub fn value(&self, state: &AttributeState) -> Option<Value> {
        match state.0.clone().finish(&Natural) {
            Finished::Key(Some(text)) => {
                parse_attribute(&text, self.tag_type, &self.calendar).value()
            }
            _ => None,
        }
    }
}

/// Reads an attribute's text, as files and calls are read: decimals are rounded half away from zero
/// to the type's scale, instants of no offset are the app's zone's, an instant for a day is its
/// local day, a set is a JSON array of texts or one text.
pub fn parse_attribute(text: &str, ty: ValueType, calendar: &Calendar) -> Outcome {
    AttributeReader::new(ty, calendar).read(text)
}

/// Reads the texts of one attribute.
pub(crate) struct AttributeReader(ColumnReader);

impl AttributeReader {
    pub(crate) fn new(ty: ValueType, calendar: &Calendar) -> Self {
        Self(ColumnReader::plain(ty, calendar.zone(), TextLists::Json).rounding())
    }

    pub(crate) fn read(&mut self, text: &str) -> Outcome {
        match self.0.read(&Cell::Text(text)) {
            Ok(parsed) => parsed.value().map_or(Outcome::Nothing, Outcome::Value),
            Err(fault) => Outcome::Skipped(match fault.kind {
                FaultKind::OutOfRange => SkipReason::OutOfRange,
                FaultKind::TooLong => SkipReason::TextTooLong,
                FaultKind::BadType | FaultKind::Missing => SkipReason::WrongType,
            }),
        }
    }
}
