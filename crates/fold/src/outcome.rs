use std::fmt;
use taghouse_model::Value;

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
