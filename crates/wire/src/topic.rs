//! How the topics of sources are read.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a source reads its topic.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopicReport {
    /// Name of the source.
    pub source: String,
    /// Name of the topic.
    pub topic: String,
    /// The consumer group; `null`: no server reads the topic, and the definition names none.
    #[schema(required)]
    pub group: Option<String>,
    /// `connecting`; `reading`; `waiting`: the log takes nothing, or too much waits to land;
    /// `stopped`: the definition or the program must change; `idle`: no server reads it.
    pub state: Cow<'static, str>,
    /// The partitions that the group gave this server.
    pub partitions: Vec<TopicPartition>,
    /// The records of these partitions that are not in the log yet; `null`: not known yet.
    #[schema(required)]
    pub lag_records: Option<u64>,
    /// What keeps it from reading now; `null`: nothing.
    #[schema(required)]
    pub problem: Option<String>,
    /// What went wrong last since the server began, be it over.
    #[schema(required)]
    pub last_error: Option<String>,
    /// When that was, ISO 8601, UTC.
    #[schema(required)]
    pub last_error_at: Option<String>,
    /// Records that landed, whatever became of them.
    pub records: u64,
    /// Those that gave events, attributes or a user.
    pub accepted: u64,
    /// Those in `rejected_events`.
    pub rejected: u64,
    /// Those that a filter left out, or that had no value.
    pub filtered: u64,
    /// Those that were taken before, by their offset or their message id.
    pub duplicates: u64,
}

/// A partition that is read.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopicPartition {
    /// The partition, from 0.
    pub partition: i32,
    /// The offset of the next record to be read.
    pub next_offset: i64,
    /// Records that are not in the log yet; `null`: not known yet.
    #[schema(required)]
    pub lag_records: Option<u64>,
}
