//! Values as they come in, and how they are read: numbers, times, JSON, and the cells of a column.

mod cell;
mod column;
mod fault;
mod id;
pub mod json_scan;
mod number;
mod parsed;
mod time;

pub use cell::{Cell, read_instant};
pub use column::{ColumnReader, TextLists};
pub use fault::{FaultKind, ValueFault, quoted};
pub use id::{IdFault, read_id};
pub use parsed::Parsed;
pub use time::{EpochUnit, TimeReader};
