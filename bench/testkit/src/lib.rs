//! What tests, the soak and examples share: chance from a seed, random values of every type, and
//! the stupid twin of an index.
//!
//! Only development depends on it: crates name it under `[dev-dependencies]`, whatever their level.

mod dice;
mod twin;
mod values;

pub use dice::Dice;
pub use twin::{CROWDS, Column, Columns, TagTwin, Twin, members};
pub use values::{TYPES, literal, of_units, units, value, value_or_end};
