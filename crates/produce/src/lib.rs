//! Tags from the lake: definitions and an as-of time in, tag tables and the index out.
//!
//! The lake is read once for all tags (`pass`), the users get their ordinals (`roster`), `sql`,
//! cohort and expression tags follow (`columns`). Then the values become rows and segments
//! (`encode`, `segments`), the tables of all tags are written in one commit (`tables`) and the
//! index is published (`publish`). Everything made here is derived: the same lake, definitions and
//! as-of time make it again.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod by_hand;
mod changed;
mod chosen;
mod columns;
mod crowd_query;
mod encode;
mod error;
mod held_change;
mod pass;
mod pinned;
mod producer;
mod publish;
mod roster;
mod sample;
mod scan;
mod scratch;
mod segments;
mod selection;
mod sql_tag;
mod tables;
mod users;

pub use chosen::{Chosen, Share};
pub use crowd_query::{CrowdQuery, QueriedIds};
pub use error::{Error, Result};
pub use held_change::{HeldChange, HeldChanges, held_changes};
pub use pinned::Pinned;
pub use producer::{Land, Produced, ProducedTag, Producer};
pub use sample::{Sample, Sampled, sample};
pub use scratch::ScratchFolder;
pub use taghouse_fold::SkipReason;
