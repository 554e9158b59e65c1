//! Numbers as bit slices hold them: whole units, of 64 bits or for decimals of 28 digits. An int is
//! its own unit, a decimal 10^-scale, a date a day, a time a millisecond.

use rust_decimal::Decimal;
use taghouse_model::{MAX_DECIMAL_UNITS, Value, ValueType};
use taghouse_rules::CompareOp;

/// A value in units of `ty`; `None` for a value of another type, of more digits, or beyond 28
/// digits.
pub(crate) fn units_of(value: &Value, ty: ValueType) -> Option<i128> {
    match (value, ty) {
        (Value::Int(v), ValueType::Int) | (Value::Time(v), ValueType::Time) => Some(i128::from(*v)),
        (Value::Date(v), ValueType::Date) => Some(i128::from(*v)),
        (Value::Decimal(_), ValueType::Decimal { .. }) => {
            let units = Units::of(value, ty)?;
            (units.exact && units.floor.abs() <= MAX_DECIMAL_UNITS).then_some(units.floor)
        }
        _ => None,
    }
}

/// The value of a number in units of `ty`: an int is its own unit, a decimal 10^-scale, a date a
/// day, a time a millisecond.
pub fn value_of_units(units: i128, ty: ValueType) -> Option<Value> {
    match ty {
        ValueType::Int => i64::try_from(units).ok().map(Value::Int),
        ValueType::Time => i64::try_from(units).ok().map(Value::Time),
        ValueType::Date => i32::try_from(units).ok().map(Value::Date),
        ValueType::Decimal { scale } => {
            Decimal::try_from_i128_with_scale(units, u32::from(scale)).ok().map(Value::Decimal)
        }
        ValueType::Bool | ValueType::Text | ValueType::Set => None,
    }
}

/// A value in units of its type, as [`crate::Column::Numbers`] takes them: a bool is 0 or 1.
/// `None` for texts and sets, a value of another type, and a decimal whose units take more than
/// 64 bits.
pub fn units_of_value(value: &Value, ty: ValueType) -> Option<i64> {
    match (value, ty) {
        (Value::Bool(value), ValueType::Bool) => Some(i64::from(*value)),
        _ => i64::try_from(units_of(value, ty)?).ok(),
    }
}

/// A literal in units of a tag's type, which may lie between two of them or beyond what a tag
/// holds.
pub(crate) struct Units {
    floor: i128,
    exact: bool,
}

impl Units {
    /// `None` when values of `ty` have no order with `literal`.
    pub(crate) fn of(literal: &Value, ty: ValueType) -> Option<Self> {
        let whole = |floor: i64| Some(Self { floor: i128::from(floor), exact: true });
        match (literal, ty) {
            (Value::Int(v), ValueType::Int) | (Value::Time(v), ValueType::Time) => whole(*v),
            (Value::Date(v), ValueType::Date) => whole(i64::from(*v)),
            (Value::Int(v), ValueType::Decimal { scale }) => {
                Some(Self::of_decimal(Decimal::from(*v), scale))
            }
            (Value::Decimal(v), ValueType::Int) => Some(Self::of_decimal(*v, 0)),
            (Value::Decimal(v), ValueType::Decimal { scale }) => Some(Self::of_decimal(*v, scale)),
            _ => None,
        }
    }

    fn of_decimal(decimal: Decimal, scale: u8) -> Self {
        let (mantissa, digits, scale) = (decimal.mantissa(), decimal.scale(), u32::from(scale));
        if digits <= scale {
            // What overflows here is far beyond what a tag holds, on its side of zero.
            let floor = mantissa.saturating_mul(10_i128.saturating_pow(scale - digits));
            return Self { floor, exact: true };
        }
        let unit = 10_i128.saturating_pow(digits - scale);
        Self { floor: mantissa.div_euclid(unit), exact: mantissa.rem_euclid(unit) == 0 }
    }

    /// The units that compare so, from and to, both included; none if from > to. `NotEqual` is the
    /// caller's: it has two ranges.
    pub(crate) fn range(&self, op: CompareOp) -> (i128, i128) {
        let ceiling = self.floor.saturating_add(i128::from(!self.exact));
        match op {
            CompareOp::Equal | CompareOp::NotEqual => (ceiling, self.floor),
            CompareOp::Less => (i128::MIN, ceiling.saturating_sub(1)),
            CompareOp::LessOrEqual => (i128::MIN, self.floor),
            CompareOp::Greater => (self.floor.saturating_add(1), i128::MAX),
            CompareOp::GreaterOrEqual => (ceiling, i128::MAX),
        }
    }
}

/// Ranges in order, those that touch as one, without empty ones.
pub(crate) fn joined(mut ranges: Vec<(i128, i128)>) -> Vec<(i128, i128)> {
    ranges.retain(|(low, high)| low <= high);
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touch = next.0 <= kept.1.saturating_add(1);
        if touch {
            kept.1 = kept.1.max(next.1);
        }
        touch
    });
    ranges
}
