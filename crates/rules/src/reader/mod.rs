//! Values as they come in, and how they are read: numbers, times, JSON, and the cells of a column.

mod cell;
mod id;
pub mod json_scan;
mod number;
mod time;

pub use cell::{
    Cell, ColumnReader, FaultKind, Parsed, TextLists, ValueFault, quoted, read_instant,
};
pub use id::{IdFault, read_id};
pub use time::{EpochUnit, TimeReader};
