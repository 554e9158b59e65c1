//! Topics of Apache Kafka, in and out. In: records are read, appended to the log of live calls, and committed to
//! Kafka once they have landed.
//!
//! What has been taken of a partition lands with its rows (see [`taghouse_ingest::TopicProgress`]).
//! That, and not what Kafka remembers for the group, decides what is read next: so a record that is
//! delivered again counts once, and none is passed over.
//!
//! Out: an activation sends a crowd, user by user ([`target()`]); a sink follows the app's change feed, and remembers what the cluster has acknowledged.
//!
//! Without the feature `client` nothing is read, and a reader's status says so.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "the client uses the rest"))]
mod begin;
#[cfg(feature = "client")]
mod client;
mod error;
#[cfg(feature = "client")]
mod producer;
mod reader;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "the client uses the rest"))]
mod settings;
mod sink;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "the client uses the rest"))]
mod status;
mod target;

pub use error::{Error, Result};
pub use reader::{ReaderParts, TopicReader};
pub use sink::{SinkWriter, WriterParts};
pub use status::{PartitionStatus, Problem, ReaderState, ReaderStatus};
pub use target::target;
