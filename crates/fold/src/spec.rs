//! From an event's value to a cell, and from what a partial aggregate comes to, to the tag's value.

use crate::cell::Cell;
use crate::infer::type_of;
use crate::partial::Finished;
use crate::units;
use crate::{Calendar, Error, Outcome, Result, SkipReason};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction, MAX_SET_VALUES};

/// What an aggregate computes, beside its window and filter.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) function: AggregateFunction,
    /// The type of the events' values; of a count of events `Bool`.
    pub(crate) value_type: ValueType,
    /// Digits after the point in cells.
    pub(crate) scale: u8,
    tag_type: ValueType,
    calendar: Calendar,
}

impl Spec {
    pub(crate) fn new(
        aggregate: &Aggregate,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
    ) -> Result<Self> {
        let function = aggregate.function;
        let value_type = match &aggregate.value {
            None if function == AggregateFunction::Count => ValueType::Bool,
            None => return Err(Error::Definition(format!("{function:?} needs a value: name a property or an expression"))),
            Some(value) => type_of(value, types)
                .ok_or_else(|| Error::Definition(format!("{function:?} asks for a property that no source gives: {:?}", value.names())))?,
        };
        let fits = match function {
            AggregateFunction::Sum | AggregateFunction::Avg => matches!(value_type, ValueType::Int | ValueType::Decimal { .. }),
            AggregateFunction::Min | AggregateFunction::Max => value_type != ValueType::Set,
            _ => true,
        };
        if !fits {
            return Err(Error::Definition(format!("{function:?} cannot be computed over values of type {value_type}")));
        }
        let scale = if let ValueType::Decimal { scale } = value_type { scale } else { 0 };
        Ok(Self { function, value_type, scale, tag_type, calendar: calendar.clone() })
    }

    /// Whether each member of a set counts as a value of its own.
    pub(crate) fn opens_sets(&self) -> bool {
        matches!(self.function, AggregateFunction::Set | AggregateFunction::CountDistinct | AggregateFunction::MostFrequent)
    }

    /// The cells of an event's value: one, or those of a set's members, or none if it is over the limits.
    pub(crate) fn each_cell(&self, value: &Value, mut see: impl FnMut(Cell)) {
        match value {
            Value::Text(text) => see(Cell::Text(text.clone())),
            Value::Set(members) if self.opens_sets() => members.iter().for_each(|m| see(Cell::Text(m.clone()))),
            Value::Set(members) => see(Cell::Text(set_text(members).into())),
            number => {
                if let Some(units) = self.units(number) {
                    see(Cell::Number(units));
                }
            }
        }
    }

    /// A number, day, time or truth in the units of cells.
    pub(crate) fn units(&self, value: &Value) -> Option<i128> {
        units::within_limits(match value {
            Value::Bool(v) => i128::from(*v),
            Value::Int(v) => units::rescale(i128::from(*v), 0, self.scale)?,
            Value::Decimal(v) => units::of_decimal(*v, self.scale)?,
            Value::Date(v) => i128::from(*v),
            Value::Time(v) => i128::from(*v),
            Value::Text(_) | Value::Set(_) => return None,
        })
    }

    /// The tag's value; `read` gives the cell that a key stands for.
    pub(crate) fn outcome<K>(&self, finished: Finished<K>, read: impl Fn(&K) -> Cell) -> Outcome {
        match finished {
            Finished::Nothing => Outcome::Nothing,
            Finished::Count(n) => self.number(i128::from(n), 0),
            Finished::Sum(None, _) => Outcome::Skipped(SkipReason::OutOfRange),
            Finished::Sum(Some(units), count) if self.function == AggregateFunction::Avg => self.mean(units, count),
            Finished::Sum(Some(units), _) => self.number(units, self.scale),
            Finished::Key(key) => self.one(&read(&key)),
            Finished::Keys(keys) if self.function == AggregateFunction::CountDistinct => self.number(keys.len() as i128, 0),
            Finished::Keys(keys) => self.set(keys.iter().map(|key| self.text(&read(key)))),
        }
    }

    fn tag_scale(&self) -> u8 {
        if let ValueType::Decimal { scale } = self.tag_type { scale } else { 0 }
    }

    fn mean(&self, sum: i128, count: u64) -> Outcome {
        // Once, from the exact quotient: rounding twice would be wrong.
        let scale = self.tag_scale();
        let up = units::power(scale.saturating_sub(self.scale)).and_then(|p| sum.checked_mul(p));
        let down = units::power(self.scale.saturating_sub(scale)).and_then(|p| i128::from(count).checked_mul(p));
        match (up, down) {
            (Some(up), Some(down)) => self.number(units::divide(up, down), scale),
            _ => Outcome::Skipped(SkipReason::OutOfRange),
        }
    }

    /// A computed number as the tag's value.
    fn number(&self, number: i128, scale: u8) -> Outcome {
        let wanted = self.tag_scale();
        let Some(units) = units::rescale(number, scale, wanted).and_then(|units| i64::try_from(units).ok()) else {
            return Outcome::Skipped(SkipReason::OutOfRange);
        };
        match self.tag_type {
            ValueType::Int => Outcome::Value(Value::Int(units)),
            ValueType::Decimal { .. } => {
                units::to_decimal(i128::from(units), wanted).map_or(Outcome::Nothing, |d| Outcome::Value(Value::Decimal(d)))
            }
            _ => Outcome::Skipped(SkipReason::WrongType),
        }
    }

    /// An event's value as the tag's.
    fn one(&self, cell: &Cell) -> Outcome {
        let value = match (cell, self.value_type, self.tag_type) {
            (Cell::Number(v), ValueType::Int | ValueType::Decimal { .. }, ValueType::Int | ValueType::Decimal { .. }) => {
                return self.number(*v, self.scale);
            }
            (Cell::Number(v), ValueType::Time, ValueType::Date) => {
                i64::try_from(*v).ok().and_then(|ms| i32::try_from(self.calendar.day(ms)).ok()).map(Value::Date)
            }
            (Cell::Number(v), ValueType::Bool, ValueType::Bool) => Some(Value::Bool(*v != 0)),
            (Cell::Number(v), ValueType::Date, ValueType::Date) => i32::try_from(*v).ok().map(Value::Date),
            (Cell::Number(v), ValueType::Time, ValueType::Time) => i64::try_from(*v).ok().map(Value::Time),
            (Cell::Text(text), ValueType::Set, ValueType::Set) => {
                if self.opens_sets() {
                    return self.set([text.clone()].into_iter());
                }
                let members: Vec<String> = serde_json::from_str(text).unwrap_or_default();
                return self.set(members.iter().map(|m| m.as_str().into()));
            }
            (cell, _, ValueType::Text) => Some(Value::Text(self.text(cell))),
            (cell, _, ValueType::Set) => return self.set([self.text(cell)].into_iter()),
            _ => return Outcome::Skipped(SkipReason::WrongType),
        };
        match value {
            Some(Value::Text(text)) if text.len() > MAX_TEXT_BYTES => Outcome::Skipped(SkipReason::TextTooLong),
            Some(value) => Outcome::Value(value),
            None => Outcome::Skipped(SkipReason::OutOfRange),
        }
    }

    /// The smallest texts, as many as a set holds.
    fn set(&self, texts: impl Iterator<Item = Arc<str>>) -> Outcome {
        if self.tag_type != ValueType::Set {
            return Outcome::Skipped(SkipReason::WrongType);
        }
        let all: BTreeSet<Arc<str>> = texts.collect();
        if all.is_empty() {
            return Outcome::Nothing;
        }
        if all.iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Outcome::Skipped(SkipReason::TextTooLong);
        }
        Outcome::Value(Value::Set(all.into_iter().take(MAX_SET_VALUES).collect()))
    }

    /// A value as text: numbers without needless zeros, days and times as ISO 8601.
    fn text(&self, cell: &Cell) -> Arc<str> {
        let number = match cell {
            Cell::Text(text) => return text.clone(),
            Cell::Number(number) => *number,
        };
        let small = || i64::try_from(number).unwrap_or_default();
        let value = match self.value_type {
            ValueType::Bool => Value::Bool(number != 0),
            ValueType::Date => Value::Date(i32::try_from(number).unwrap_or_default()),
            ValueType::Time => Value::Time(small()),
            ValueType::Decimal { .. } => Value::Decimal(units::to_decimal(number, self.scale).unwrap_or_default().normalize()),
            _ => Value::Int(small()),
        };
        value.to_string().into()
    }
}

/// A set as one text: a JSON array.
pub(crate) fn set_text(members: &BTreeSet<Arc<str>>) -> String {
    serde_json::Value::from_iter(members.iter().map(|m| m.as_ref().to_owned())).to_string()
}
