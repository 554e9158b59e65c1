//! The two languages: definitions (YAML) and expressions (text and JSON). Parse, check, print, evaluate one row.

mod definition;
mod predicate;
mod scalar;

pub use definition::*;
pub use predicate::{CompareOp, Literal, Predicate};
pub use scalar::{ArithmeticOp, Function, Scalar};
