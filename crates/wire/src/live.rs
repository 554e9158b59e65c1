//! How far those who follow the log of live calls have come.

use crate::{LiveReport, ParityStanding, SinkReport, TopicReport};
use serde::{Deserialize, Serialize};

/// How an app's live tags stand, and the log that they follow.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveBody {
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "its fields stand beside the log's, and the description has no place for it"
    )]
    pub tags: LiveReport,
    /// The last position of the app's log of calls; 0 before the first call.
    pub log_end: u64,
    /// The position through which calls have landed in the lake; 0 before the first landing.
    pub landed_position: u64,
    /// Records of the log that have not landed.
    pub waiting_records: u64,
    /// Records of the log that are not in the values: `log_end` minus `position`. `null` while
    /// `position` is.
    #[schema(required)]
    pub lag_records: Option<u64>,
    /// How many seconds ago the oldest of them came in; 0 if there is none. `null` while `position`
    /// is.
    #[schema(required)]
    pub lag_seconds: Option<f64>,
    /// How the topics of the app's sources are read, in order of the sources' names.
    pub topics: Vec<TopicReport>,
    /// How the app's sinks are written, in order of their names.
    pub sinks: Vec<SinkReport>,
    /// Who reads the change feed.
    pub subscribers: SubscribersReport,
    /// What the last comparison of the live tags with the batch found; `null`: there was none
    /// lately.
    #[schema(required)]
    pub parity: Option<ParityStanding>,
}

/// The subscribers of an app's change feed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SubscribersReport {
    /// How many there are.
    pub count: u64,
    /// Records on disk that the slowest has not taken; 0 without subscribers.
    pub slowest_lag_records: u64,
    /// How many seconds ago the oldest of them was appended; 0 if there is none.
    pub slowest_lag_seconds: f64,
}
