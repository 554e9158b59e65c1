//! A user's values as the row that a crowd's rule is asked of.

use taghouse_model::{Value, ValueType};
use taghouse_rules::Row;

/// Values by place, of these types.
pub(crate) struct WatchedRow<'a> {
    pub(crate) values: &'a [Option<Value>],
    pub(crate) types: &'a [ValueType],
}

impl Row for WatchedRow<'_> {
    fn is_set(&self, at: usize) -> bool {
        self.values[at].is_some()
    }

    fn number(&self, at: usize) -> Option<i128> {
        number(self.values[at].as_ref()?, self.types[at])
    }

    fn text(&self, at: usize) -> Option<&str> {
        match &self.values[at] {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn value(&self, at: usize) -> Option<Value> {
        self.values[at].clone()
    }
}

/// The value as a number of its type's units; see [`Row::number`].
pub(crate) fn number(value: &Value, value_type: ValueType) -> Option<i128> {
    match (value, value_type) {
        (Value::Bool(value), ValueType::Bool) => Some(i128::from(*value)),
        (Value::Int(value), ValueType::Int) | (Value::Time(value), ValueType::Time) => {
            Some(i128::from(*value))
        }
        (Value::Date(value), ValueType::Date) => Some(i128::from(*value)),
        (Value::Decimal(value), ValueType::Decimal { scale }) => {
            let value = value.normalize();
            let more = u32::from(scale).checked_sub(value.scale())?;
            value.mantissa().checked_mul(10_i128.checked_pow(more)?)
        }
        _ => None,
    }
}
