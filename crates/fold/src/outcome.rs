use std::collections::BTreeSet;
use std::fmt;
use taghouse_model::{MAX_TEXT_BYTES, Value, ValueType};
use taghouse_rules::{MAX_SET_VALUES, Misfit, fit};

/// What a fold gives for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is no value.
    Nothing,
    /// A value of the tag's type.
    Value(Value),
    /// A value that the tag cannot hold, so the user gets none.
    Skipped(SkipReason),
}

/// Why a value was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// A number over 64 bits for an int, over 28 digits for a decimal.
    OutOfRange,
    /// A text over 1024 bytes.
    TextTooLong,
    /// A text that is none of the tag's type, or a value of another type.
    WrongType,
    /// A user whom the lake does not know.
    UnknownUser,
}

impl Outcome {
    /// A value from anywhere as a tag's: decimals are rounded half away from zero to the type's
    /// scale, a set keeps its smallest members, as many as one holds; what the tag cannot hold
    /// is skipped.
    pub fn of(value: Value, tag_type: ValueType) -> Self {
        Self::fitted(fit(value, tag_type).map(Some), tag_type)
    }

    /// The same of a value of the tag's type, or of one that could not be made so.
    pub(crate) fn fitted(value: Result<Option<Value>, Misfit>, tag_type: ValueType) -> Self {
        match value {
            Err(misfit) => Self::Skipped(misfit.into()),
            Ok(None) => Self::Nothing,
            Ok(Some(Value::Set(members))) if tag_type == ValueType::Set => {
                if members.iter().any(|m| m.len() > MAX_TEXT_BYTES) {
                    return Self::Skipped(SkipReason::TextTooLong);
                }
                let kept: BTreeSet<_> = members.into_iter().take(MAX_SET_VALUES).collect();
                if kept.is_empty() { Self::Nothing } else { Self::Value(Value::Set(kept)) }
            }
            Ok(Some(value)) => Self::Value(value),
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

impl From<Misfit> for SkipReason {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Number => Self::OutOfRange,
            Misfit::Text => Self::TextTooLong,
            Misfit::Type => Self::WrongType,
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "number out of range (an int has 64 bits, a decimal 28 digits)",
            Self::TextTooLong => "text too long",
            Self::WrongType => "not of the tag's type",
            Self::UnknownUser => "unknown user",
        })
    }
}
