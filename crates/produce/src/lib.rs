//! Tags from the lake: definitions and an as-of time in, tag tables and the index out.
//!
//! The lake is read once for all tags (`pass`), the users get their ordinals (`roster`), `sql`,
//! cohort and expression tags follow, then the tables of all tags are written in one commit and the
//! index is published (`producer`). Everything made here is derived: the same lake, definitions and
//! as-of time make it again.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod by_hand;
mod changed;
mod error;
mod output;
mod pass;
mod producer;
mod roster;
mod scan;
mod selection;
mod sql_tag;
mod tables;
mod users;

pub use error::{Error, Result};
pub use producer::{Land, Produced, ProducedTag, Producer};
pub use taghouse_fold::SkipReason;
