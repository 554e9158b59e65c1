//! Shared by tests, the soak and examples: seeded randomness, random values of every type, and a
//! naive reference model of an index.
//!
//! ```
//! use taghouse_model::{Name, ValueType};
//! use taghouse_testkit::{Dice, ReferenceModel, TagModel, value};
//!
//! let mut dice = Dice::new(7);
//! let plan = Name::new("plan")?;
//! let mut model = ReferenceModel::default();
//! model.tags.insert(plan.clone(), TagModel::new(ValueType::Text, 5));
//! let values = (0..3).map(|user| (user, value(ValueType::Text, 5, &mut dice))).collect();
//! model.publish(&plan, values, None);
//! model.delete(1, &[2]);
//! assert_eq!(model.columns()[&plan].len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Only development depends on it: crates name it under `[dev-dependencies]`, whatever their level.

mod dice;
mod reference_model;
mod values;

pub use dice::Dice;
pub use reference_model::{CROWDS, ReferenceModel, TagModel, ValuesByTag, ValuesByUser, members};
pub use values::{TYPES, literal, of_units, units, value, value_or_end};
