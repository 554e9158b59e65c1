//! What is wrong with a cell.

/// How much of a wrong text is quoted, in characters.
const QUOTED_CHARS: usize = 80;

/// Text as a message quotes it: short and on one line.
pub fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(QUOTED_CHARS).collect();
    format!("{head:?}{}", if chars.next().is_some() { "…" } else { "" })
}

/// Why a cell cannot be a value of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The cell does not have the column's type.
    BadType,
    /// A text over 1024 bytes, or a set of too many.
    TooLong,
    /// A number that does not fit the type.
    OutOfRange,
    /// The cell is empty and the column is required.
    Missing,
}

/// A cell that cannot be a value of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFault {
    /// The class of the fault.
    pub kind: FaultKind,
    /// What is wrong, to be read after the name of the column.
    pub problem: String,
}

impl ValueFault {
    pub(super) fn new(kind: FaultKind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }
}
