//! Which ids belong to one user: an anonymous id that became known, an email, a device.
//!
//! The table `identities` of the lake says it, link by link; here is the mapping that follows from
//! it. It has no chains: an id leads to its user in one step. Rows keep the id under which they
//! came, and whoever reads them asks for the user.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod app;
mod decide;
mod error;
mod identities;
mod known;
mod mapping;
mod table;

pub use app::AppIdentities;
pub use decide::{Claim, Verdict};
pub use error::{Error, Result};
pub use identities::Identities;
pub use mapping::{LinkedId, Mapping};
pub use table::{LinkEvent, events_of, mapping_of, rows_of};
