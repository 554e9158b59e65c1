//! From an event's value to a cell, and from what a partial aggregate comes to, to the tag's value.

use crate::cell::Cell;
use crate::infer::{digits_of, type_of};
use crate::partial::{CellKind, Finished, PartialForm};
use crate::quotient::Quotient;
use crate::units;
use crate::{Calendar, Error, MAX_EVENT_SCALE, Outcome, Result, SkipReason};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{MAX_DECIMAL_UNITS, MAX_TEXT_BYTES, Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction, Computed, MAX_SET_VALUES, Rational};

/// What an aggregate computes, beside its window and filter.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) function: AggregateFunction,
    /// The type of the events' values; of a count of events `Bool`.
    pub(crate) value_type: ValueType,
    /// Digits after the point in cells.
    pub(crate) scale: u8,
    /// Of different values beyond so many the number is estimated.
    pub(crate) exact_up_to: Option<usize>,
    /// Cells are fractions, for the events' numbers may have more digits than units hold.
    pub(crate) quotients: bool,
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
            None => {
                return Err(Error::Definition(format!(
                    "{function:?} needs a value: name a property or an expression"
                )));
            }
            Some(value) => type_of(value, types).ok_or_else(|| {
                Error::Definition(format!(
                    "{function:?} asks for a property that no source gives: {:?}",
                    value.names()
                ))
            })?,
        };
        let fits = match function {
            AggregateFunction::Sum | AggregateFunction::Avg => {
                matches!(value_type, ValueType::Int | ValueType::Decimal { .. })
            }
            AggregateFunction::Min | AggregateFunction::Max => value_type != ValueType::Set,
            _ => true,
        };
        if !fits {
            return Err(Error::Definition(format!(
                "{function:?} cannot be computed over values of type {value_type}"
            )));
        }
        let number = matches!(value_type, ValueType::Int | ValueType::Decimal { .. });
        let digits = aggregate
            .value
            .as_ref()
            .filter(|_| number)
            .map_or(Some(0), |value| digits_of(value, types));
        let scale = digits
            .and_then(|digits| u8::try_from(digits).ok())
            .filter(|digits| *digits <= MAX_EVENT_SCALE);
        let (scale, quotients) = (scale.unwrap_or(0), scale.is_none());
        let exact_up_to = aggregate.exact_up_to.map(|bound| bound as usize);
        Ok(Self {
            function,
            value_type,
            scale,
            exact_up_to,
            quotients,
            tag_type,
            calendar: calendar.clone(),
        })
    }

    /// What its cells are.
    pub(crate) fn form_cells(&self) -> CellKind {
        match self.value_type {
            ValueType::Text | ValueType::Set => CellKind::Text,
            _ if self.quotients => CellKind::Quotient,
            _ => CellKind::Number,
        }
    }

    /// How partial aggregates of the tag are stored.
    pub(crate) fn form(&self) -> PartialForm {
        let cells = self.form_cells();
        match self.exact_up_to {
            Some(bound) => PartialForm::Distinct { cells, bound },
            None => PartialForm::Aggregate { function: self.function, cells },
        }
    }

    /// Whether each member of a set counts as a value of its own.
    pub(crate) fn opens_sets(&self) -> bool {
        matches!(
            self.function,
            AggregateFunction::Set
                | AggregateFunction::CountDistinct
                | AggregateFunction::MostFrequent
        )
    }

    /// The cells of an event's value: one, or those of a set's members, or none if it is over the
    /// limits.
    pub(crate) fn each_cell(&self, value: &Computed, mut see: impl FnMut(Cell)) {
        match value {
            Computed::Nothing | Computed::Beyond(_) => {}
            Computed::Value(Value::Text(text)) => see(Cell::Text(text.clone())),
            Computed::Value(Value::Set(members)) if self.opens_sets() => {
                members.iter().for_each(|m| see(Cell::Text(m.clone())))
            }
            Computed::Value(Value::Set(members)) => see(Cell::Text(set_text(members).into())),
            Computed::Number(number) if self.quotients => {
                Quotient::of(number).into_iter().for_each(|quotient| see(Cell::Quotient(quotient)))
            }
            number => self.units(number).into_iter().for_each(|units| see(Cell::Number(units))),
        }
    }

    /// A number, day, time or truth in the units of cells; `None` beyond them.
    pub(crate) fn units(&self, value: &Computed) -> Option<i128> {
        units::within_limits(match value {
            Computed::Number(number) => number.units(self.scale)?,
            Computed::Value(Value::Bool(v)) => i128::from(*v),
            Computed::Value(Value::Date(v)) => i128::from(*v),
            Computed::Value(Value::Time(v)) => i128::from(*v),
            _ => return None,
        })
    }

    /// The tag's value; `read` gives the cell that a key stands for.
    pub(crate) fn outcome<K>(&self, finished: Finished<K>, read: impl Fn(&K) -> Cell) -> Outcome {
        match finished {
            Finished::Nothing => Outcome::Nothing,
            Finished::Count(n) => self.number(i128::from(n), 0),
            Finished::Sum(None, _) => Outcome::Skipped(SkipReason::OutOfRange),
            Finished::Sum(Some(units), count) if self.function == AggregateFunction::Avg => {
                self.mean(units, count)
            }
            Finished::Sum(Some(units), _) => self.number(units, self.scale),
            Finished::Quotients(None, _) => Outcome::Skipped(SkipReason::OutOfRange),
            Finished::Quotients(Some(sums), count) => self.of_quotients(&sums, count),
            Finished::Key(key) => self.one(&read(&key)),
            Finished::Keys(keys) if self.function == AggregateFunction::CountDistinct => {
                self.number(keys.len() as i128, 0)
            }
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
        let down = units::power(self.scale.saturating_sub(scale))
            .and_then(|p| i128::from(count).checked_mul(p));
        match (up, down) {
            (Some(up), Some(down)) => self.number(units::divide(up, down), scale),
            _ => Outcome::Skipped(SkipReason::OutOfRange),
        }
    }

    /// A computed number as the tag's value.
    fn number(&self, number: i128, scale: u8) -> Outcome {
        let wanted = self.tag_scale();
        units::rescale(number, scale, wanted)
            .map_or(Outcome::Skipped(SkipReason::OutOfRange), |units| self.units_of_tag(units))
    }

    /// The sum of fractions, or the mean of `count` of them, as the tag's value.
    fn of_quotients(&self, sums: &[Quotient], count: u64) -> Outcome {
        let divisor = if self.function == AggregateFunction::Avg { count } else { 1 };
        let units = Rational::units_of_sum(
            sums.iter().map(|sum| (sum.top, sum.bottom)),
            divisor,
            self.tag_scale(),
        );
        units.map_or(Outcome::Skipped(SkipReason::OutOfRange), |units| self.units_of_tag(units))
    }

    /// Whole units of the tag's last digit as its value.
    fn units_of_tag(&self, units: i128) -> Outcome {
        let value = match self.tag_type {
            ValueType::Int => i64::try_from(units).ok().map(Value::Int),
            ValueType::Decimal { scale } if units.abs() <= MAX_DECIMAL_UNITS => {
                units::to_decimal(units, scale).map(Value::Decimal)
            }
            ValueType::Decimal { .. } => None,
            _ => return Outcome::Skipped(SkipReason::WrongType),
        };
        value.map_or(Outcome::Skipped(SkipReason::OutOfRange), Outcome::Value)
    }

    /// An event's value as the tag's.
    fn one(&self, cell: &Cell) -> Outcome {
        let value = match (cell, self.value_type, self.tag_type) {
            (
                Cell::Number(v),
                ValueType::Int | ValueType::Decimal { .. },
                ValueType::Int | ValueType::Decimal { .. },
            ) => {
                return self.number(*v, self.scale);
            }
            (Cell::Quotient(quotient), _, ValueType::Int | ValueType::Decimal { .. }) => {
                let units = quotient.rational().units(self.tag_scale());
                return units.map_or(Outcome::Skipped(SkipReason::OutOfRange), |units| {
                    self.units_of_tag(units)
                });
            }
            (Cell::Number(v), ValueType::Time, ValueType::Date) => i64::try_from(*v)
                .ok()
                .and_then(|ms| i32::try_from(self.calendar.day(ms)).ok())
                .map(Value::Date),
            (Cell::Number(v), ValueType::Bool, ValueType::Bool) => Some(Value::Bool(*v != 0)),
            (Cell::Number(v), ValueType::Date, ValueType::Date) => {
                i32::try_from(*v).ok().map(Value::Date)
            }
            (Cell::Number(v), ValueType::Time, ValueType::Time) => {
                i64::try_from(*v).ok().map(Value::Time)
            }
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
            Some(Value::Text(text)) if text.len() > MAX_TEXT_BYTES => {
                Outcome::Skipped(SkipReason::TextTooLong)
            }
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
            Cell::Quotient(quotient) => return quotient.rational().text(MAX_EVENT_SCALE).into(),
            Cell::Number(number) => *number,
        };
        let small = || i64::try_from(number).unwrap_or_default();
        let value = match self.value_type {
            ValueType::Bool => Value::Bool(number != 0),
            ValueType::Date => Value::Date(i32::try_from(number).unwrap_or_default()),
            ValueType::Time => Value::Time(small()),
            ValueType::Decimal { .. } => {
                let power = units::power(self.scale).unwrap_or(1);
                return Rational::from_fraction(number, power).text(self.scale).into();
            }
            _ => Value::Int(small()),
        };
        value.to_string().into()
    }
}

/// A set as one text: a JSON array.
pub(crate) fn set_text(members: &BTreeSet<Arc<str>>) -> String {
    serde_json::Value::from_iter(members.iter().map(|m| m.as_ref().to_owned())).to_string()
}
