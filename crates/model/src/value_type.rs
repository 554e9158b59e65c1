use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a tag's value, an attribute or an event's property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// True or false.
    Bool,
    /// One text out of many; `enum` for tags, `text` for properties.
    Text,
    /// Several texts at once.
    Set,
    /// A whole number of 64 bits.
    Int,
    /// A fixed-point number with `scale` digits after the point (0 to 12).
    Decimal {
        /// Digits after the point.
        scale: u8,
    },
    /// A calendar day: days since 1970-01-01.
    Date,
    /// An instant: milliseconds since 1970-01-01T00:00 UTC. The tag type `date` with `precision:
    /// millisecond`.
    Time,
}

impl ValueType {
    /// Whether values have an order and are stored as bit slices.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Decimal { .. } | Self::Date | Self::Time)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Text => f.write_str("enum"),
            Self::Set => f.write_str("set"),
            Self::Int => f.write_str("int"),
            Self::Decimal { scale } => write!(f, "decimal({scale})"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("date(millisecond)"),
        }
    }
}
