//! Typed columns of Arrow batches, and expressions over them, row by row without
//! values in between.

mod builder;
mod expression;
mod reader;

pub use builder::ColumnBuilder;
pub use reader::ColumnReader;

pub(crate) use expression::Expression;
pub(crate) use reader::{Columns, Rows};
