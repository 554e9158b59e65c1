use crate::{TimestampMs, ValueType};
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The longest text of one value, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The most units of the last digit that a decimal tag holds, above or below zero: 28 digits in
/// all.
pub const MAX_DECIMAL_UNITS: i128 = 10_i128.pow(28) - 1;

/// A value of a tag, an attribute or a property. "No value" is `Option::None`, never a value of its
/// own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fixed-point number.
    Decimal(Decimal),
    /// A text of Unicode characters.
    Text(Arc<str>),
    /// Several texts, in order, each once. Never empty: an empty set is no value.
    Set(BTreeSet<Arc<str>>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01T00:00 UTC.
    Time(TimestampMs),
}

impl Value {
    /// Whether this value is of `ty` (a decimal of fewer digits counts as one of more).
    pub fn is_of(&self, ty: ValueType) -> bool {
        match (self, ty) {
            (Self::Bool(_), ValueType::Bool)
            | (Self::Int(_), ValueType::Int)
            | (Self::Text(_), ValueType::Text)
            | (Self::Set(_), ValueType::Set)
            | (Self::Date(_), ValueType::Date)
            | (Self::Time(_), ValueType::Time) => true,
            (Self::Decimal(d), ValueType::Decimal { scale }) => d.scale() <= u32::from(scale),
            _ => false,
        }
    }

    /// A text value.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    /// Dates as `2011-12-09`, instants as `2011-12-09T12:50:00Z` (milliseconds only where there are
    /// any), sets as a JSON array.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Decimal(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
            Self::Set(v) => f.debug_list().entries(v.iter()).finish(),
            Self::Date(days) => match date_of(*days) {
                Some(date) => date.fmt(f),
                None => write!(f, "day {days}"),
            },
            Self::Time(ms) => match jiff::Timestamp::from_millisecond(*ms) {
                Ok(instant) => instant.fmt(f),
                Err(_) => write!(f, "{ms} ms"),
            },
        }
    }
}

fn date_of(days: i32) -> Option<jiff::civil::Date> {
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().try_days(i64::from(days)).ok()?)
        .ok()
}
