//! Why the reading of a file ends early.

use crate::row_reader::RowReader;
use std::io;

/// Why the reading of a file stops before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The file cannot be read to its end: what is wrong with it. Other files go on.
    Damaged(String),
    /// The file does not fit its source: what is wrong, and the fix. Other files go on.
    Refused(String),
    /// The whole run stops.
    Run(crate::Error),
}

impl From<io::Error> for Halt {
    fn from(e: io::Error) -> Self {
        Self::Damaged(e.to_string())
    }
}

impl From<crate::Error> for Halt {
    fn from(e: crate::Error) -> Self {
        Self::Run(e)
    }
}

/// Called after each row: to hand on what is pending, and to stop.
pub(crate) type AfterRow<'a> = dyn FnMut(&mut RowReader) -> Result<(), Halt> + 'a;
