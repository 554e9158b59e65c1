//! What the sinks of the change feed share, whatever they write to.
//!
//! - [`event`], [`gap`] and [`trial`] make CloudEvents of records; [`includes`] says which records a
//!   sink wants.
//! - [`begins`] notes where a sink begins when it is defined: with what changes from then on.
//! - [`Progress`] remembers in the catalog what was acknowledged, so that a sink goes on there after
//!   a restart, and keeps the feed from removing what it has not read.
//! - [`Secrets`] finds what definitions name and do not hold.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod cloud_event;
mod defined;
mod error;
mod progress;
mod secrets;
mod wanted;

pub use cloud_event::{Outgoing, event, gap, trial};
pub use defined::{Defined, begins, defined, ends};
pub use error::{Error, Result};
pub use progress::{Begun, Lost, Progress, release};
pub use secrets::{Secrets, secrets_folder};
pub use wanted::includes;
