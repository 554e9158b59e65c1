use crate::units;
use std::collections::BTreeSet;
use std::fmt;
use taghouse_model::{MAX_TEXT_BYTES, Value, ValueType};
use taghouse_rules::{MAX_SET_VALUES, fit};

/// What a fold gives for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No value.
    Nothing,
    /// A value of the tag's type.
    Value(Value),
    /// A value that the tag cannot hold, so the user gets none.
    Skipped(SkipReason),
}

/// Why a value was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// A number over 64 bits of the tag's units.
    OutOfRange,
    /// A text over 1024 bytes.
    TextTooLong,
    /// A text that is none of the tag's type, or a value of another type.
    WrongType,
    /// A user whom the lake does not know.
    UnknownUser,
}

impl Outcome {
    /// A value from anywhere as a tag's: decimals are rounded half away from zero to the type's scale, a set keeps its smallest members, as
    /// many as one holds; what the tag cannot hold is skipped.
    pub fn of(value: Value, tag_type: ValueType) -> Self {
        match (fit(value, tag_type), tag_type) {
            (None, _) => Self::Skipped(SkipReason::WrongType),
            (Some(Value::Text(text)), _) if text.len() > MAX_TEXT_BYTES => Self::Skipped(SkipReason::TextTooLong),
            (Some(Value::Set(members)), _) if members.iter().any(|m| m.len() > MAX_TEXT_BYTES) => Self::Skipped(SkipReason::TextTooLong),
            (Some(Value::Set(members)), _) if members.is_empty() => Self::Nothing,
            (Some(Value::Set(members)), _) => Self::Value(Value::Set(members.into_iter().take(MAX_SET_VALUES).collect::<BTreeSet<_>>())),
            (Some(Value::Decimal(v)), ValueType::Decimal { scale }) => {
                let units = units::of_decimal(v, scale).filter(|units| i64::try_from(*units).is_ok());
                let value = units.and_then(|units| units::to_decimal(units, scale));
                value.map_or(Self::Skipped(SkipReason::OutOfRange), |v| Self::Value(Value::Decimal(v)))
            }
            (Some(value), _) => Self::Value(value),
        }
    }

    /// The value, if there is one.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Skipped(_) => None,
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "number out of range",
            Self::TextTooLong => "text too long",
            Self::WrongType => "not of the tag's type",
            Self::UnknownUser => "unknown user",
        })
    }
}
