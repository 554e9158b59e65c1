//! An attribute's text as a tag's value.

use crate::{Calendar, Outcome, SkipReason};
use taghouse_model::ValueType;
use taghouse_rules::reader::{Cell, ColumnReader, FaultKind, TextLists};

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
