//! What a data folder does: it applies definitions, ingests files, lands calls, produces tags and
//! crowds, renumbers users, and records who did it. The crates below each know one part of it;
//! requests and answers are the business of `api`.
//!
//! ```
//! use taghouse_engine::clock_text;
//!
//! let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
//! let ms = clock_text::parse("2026-07-01T00:00", &zone)?;
//! assert_eq!(clock_text::local(ms, &zone), "2026-07-01T00:00:00+02:00");
//! assert_eq!(clock_text::instant(ms), "2026-06-30T22:00:00Z");
//! # Ok::<(), taghouse_engine::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod activation;
mod apply;
mod apps;
pub mod clock_text;
mod compaction;
mod crowd_computation;
mod crowd_import;
mod crowd_link;
mod crowd_refresh;
mod crowd_task;
mod definitions;
mod deletion;
mod engine;
mod error;
mod fit;
mod identities;
mod ingestion;
mod landing;
mod membership;
mod membership_rows;
mod memory;
mod parity;
mod person;
mod person_rows;
mod position;
mod production;
mod readiness;
mod reading;
mod receipts;
mod reports;
mod rollouts;
mod rounds;
mod sinks;
mod state_sizes;
mod streaming;
mod suppression;
mod topics;
mod trail;
mod upkeep;
mod webhooks;

pub use activation::{Activations, FailedRows};
pub use apply::{ApplyPlan, Applying, PlannedAction, PlannedChange};
pub use crowd_import::{CrowdImport, ImportFrom};
pub use engine::Engine;
pub use error::{Error, Result};
pub use ingestion::{Ingestion, source_of_files};
pub use memory::{LandingTotals, Memory};
pub use parity::{LastParity, PARITY_SAMPLE};
pub use person::{Piece, Pieces};
pub use position::{AtLeast, DEFAULT_WAIT, MAX_WAIT};
pub use production::Production;
pub use readiness::NotReady;
pub use reports::id_counts;
pub use rounds::{Pace, Round, Rounds};
pub use state_sizes::{StateSize, StateSizes};
pub use trail::{Act, AuditLimits, DONE, named};
