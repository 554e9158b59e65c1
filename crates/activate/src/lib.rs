//! Sends the members of crowds to other systems: today as a file. Webhooks, Kafka, Redis and
//! PostgreSQL belong here too.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod error;
mod file;

pub use error::{Error, Result};
pub use file::{FileFormat, MemberFile};
