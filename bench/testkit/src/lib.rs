//! What tests, the soak and examples share: chance from a seed, random values of every type, and
//! a naive reference model of an index.
//!
//! Only development depends on it: crates name it under `[dev-dependencies]`, whatever their level.

mod dice;
mod reference_model;
mod values;

pub use dice::Dice;
pub use reference_model::{CROWDS, ReferenceModel, TagModel, ValuesByTag, ValuesByUser, members};
pub use values::{TYPES, literal, of_units, units, value, value_or_end};
