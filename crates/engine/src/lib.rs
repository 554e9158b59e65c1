//! What a data folder does: definitions applied, files ingested, calls landed, tags and crowds
//! produced, users renumbered, and who did it written down. The crates below each know one part of
//! it; how it is asked for and answered is the business of `api`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod apply;
pub mod clock_text;
mod compaction;
mod definitions;
mod engine;
mod error;
mod fit;
mod ingestion;
mod landing;
mod memory;
mod production;
mod reports;
mod rounds;
mod streaming;
mod trail;
mod upkeep;

pub use apply::{Applying, Plan, PlannedAction, PlannedChange};
pub use engine::Engine;
pub use error::{Error, Result};
pub use ingestion::{Ingestion, source_of_files};
pub use memory::{LandingTotals, Memory};
pub use production::Production;
pub use rounds::{Pace, Round, Rounds};
pub use trail::{Act, AuditLimits, DONE, named};
