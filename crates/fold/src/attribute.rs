//! Attributes: the latest value by (time, message id), read as the tag's type.

use crate::cell::Natural;
use crate::partial::{Edge, Finished, Partial, Stamp};
use crate::{Calendar, Outcome, SkipReason};
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs, Value, ValueType};
use taghouse_rules::{Literal, coerce};

/// One row of the table of attributes.
#[derive(Debug, Clone, Copy)]
pub struct AttributeRow<'a> {
    /// Since when.
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
            Finished::Key(Some(text)) => parse_attribute(&text, self.tag_type, &self.calendar).value(),
            _ => None,
        }
    }
}

/// Reads an attribute's text: decimals are rounded half away from zero to the type's scale, instants of no offset are the app's zone's, an
/// instant for a day is its local day, a set is a JSON array of texts or one text.
pub fn parse_attribute(text: &str, ty: ValueType, calendar: &Calendar) -> Outcome {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Outcome::Nothing;
    }
    match ty {
        ValueType::Text if text.len() > MAX_TEXT_BYTES => Outcome::Skipped(SkipReason::TextTooLong),
        ValueType::Text => Outcome::Value(Value::text(text)),
        ValueType::Set => set(text),
        ValueType::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => Outcome::Value(Value::Bool(true)),
            "false" | "0" => Outcome::Value(Value::Bool(false)),
            _ => Outcome::Skipped(SkipReason::WrongType),
        },
        ValueType::Int => whole(trimmed),
        ValueType::Decimal { .. } => match number(trimmed) {
            Err(reason) => Outcome::Skipped(reason),
            Ok(value) => Outcome::of(Value::Decimal(value), ty),
        },
        ValueType::Date => match coerce(&Literal::Text(trimmed.to_owned()), ty, calendar.zone()) {
            Ok(day) => Outcome::Value(day),
            Err(_) => match instant(trimmed, calendar).and_then(|ms| i32::try_from(calendar.day(ms)).ok()) {
                Some(day) => Outcome::Value(Value::Date(day)),
                None => Outcome::Skipped(SkipReason::WrongType),
            },
        },
        ValueType::Time => instant(trimmed, calendar).map_or(Outcome::Skipped(SkipReason::WrongType), |ms| Outcome::Value(Value::Time(ms))),
    }
}

fn instant(text: &str, calendar: &Calendar) -> Option<TimestampMs> {
    match coerce(&Literal::Text(text.to_owned()), ValueType::Time, calendar.zone()) {
        Ok(Value::Time(ms)) => Some(ms),
        // More digits than milliseconds.
        _ => text.parse::<Timestamp>().ok().map(|instant| instant.as_millisecond()),
    }
}

fn whole(text: &str) -> Outcome {
    if let Ok(value) = text.parse::<i64>() {
        return Outcome::Value(Value::Int(value));
    }
    match number(text) {
        Ok(value) if value.fract().is_zero() => {
            i64::try_from(value).map_or(Outcome::Skipped(SkipReason::OutOfRange), |v| Outcome::Value(Value::Int(v)))
        }
        Ok(_) => Outcome::Skipped(SkipReason::WrongType),
        Err(reason) => Outcome::Skipped(reason),
    }
}

fn number(text: &str) -> Result<Decimal, SkipReason> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.bytes().filter(|b| *b == b'.').count() <= 1;
    match Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)) {
        Ok(value) => Ok(value),
        Err(_) if plain && digits.bytes().any(|b| b.is_ascii_digit()) => Err(SkipReason::OutOfRange),
        Err(_) => Err(SkipReason::WrongType),
    }
}

fn set(text: &str) -> Outcome {
    let members: BTreeSet<Arc<str>> = match serde_json::from_str::<Vec<Arc<str>>>(text) {
        Ok(members) => members.into_iter().collect(),
        Err(_) => [Arc::from(text)].into(),
    };
    Outcome::of(Value::Set(members), ValueType::Set)
}
