//! A value of its column's type, as it is read from a cell.

use super::number::print_units;
use crate::Row;
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{TimestampMs, Value};

/// A value of its column's type, borrowed from the row where it can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed<'a> {
    /// There is no value.
    None,
    /// Of a bool.
    Bool(bool),
    /// Of an int.
    Int(i64),
    /// Of a decimal.
    Decimal {
        /// In units of 10^-scale.
        units: i128,
        /// Digits behind the point.
        scale: u8,
    },
    /// Of a text.
    Text(Cow<'a, str>),
    /// Of a set, never empty.
    Set(BTreeSet<Arc<str>>),
    /// Days since 1970.
    Day(i32),
    /// Milliseconds since 1970 UTC.
    Time(TimestampMs),
}

impl Parsed<'_> {
    /// As a value of the model.
    pub fn value(&self) -> Option<Value> {
        Some(match self {
            Self::None => return None,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Decimal { units, scale } => {
                Value::Decimal(Decimal::try_from_i128_with_scale(*units, u32::from(*scale)).ok()?)
            }
            Self::Text(text) => Value::text(text),
            Self::Set(members) => Value::Set(members.clone()),
            Self::Day(days) => Value::Date(*days),
            Self::Time(ms) => Value::Time(*ms),
        })
    }

    /// As the column `value` of the table `attributes` holds it: decimals with all digits of their
    /// scale, sets as a JSON array.
    pub fn attribute_text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::None => return None,
            Self::Text(text) => Cow::Borrowed(text.as_ref()),
            Self::Decimal { units, scale } => Cow::Owned(print_units(*units, *scale)),
            Self::Set(members) => Cow::Owned(
                serde_json::Value::from_iter(members.iter().map(|m| m.as_ref().to_owned()))
                    .to_string(),
            ),
            other => Cow::Owned(other.value()?.to_string()),
        })
    }
}

impl Row for [Parsed<'_>] {
    fn is_set(&self, at: usize) -> bool {
        self.get(at).is_some_and(|value| *value != Parsed::None)
    }

    fn number(&self, at: usize) -> Option<i128> {
        match self.get(at)? {
            Parsed::Bool(value) => Some(i128::from(*value)),
            Parsed::Int(value) | Parsed::Time(value) => Some(i128::from(*value)),
            Parsed::Day(days) => Some(i128::from(*days)),
            Parsed::Decimal { units, .. } => Some(*units),
            Parsed::None | Parsed::Text(_) | Parsed::Set(_) => None,
        }
    }

    fn text(&self, at: usize) -> Option<&str> {
        match self.get(at)? {
            Parsed::Text(text) => Some(text),
            _ => None,
        }
    }

    fn value(&self, at: usize) -> Option<Value> {
        self.get(at)?.value()
    }
}
