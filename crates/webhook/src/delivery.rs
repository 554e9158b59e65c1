use serde::{Deserialize, Serialize};
use taghouse_model::TimestampMs;

/// A line of the delivery log: one attempt to send a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When the answer came, or did not.
    pub at_ms: TimestampMs,
    /// What `webhook-id` said; empty: nothing was sent.
    pub webhook_id: String,
    /// How many events the request carried; of [`Outcome::Lost`], how many were lost.
    pub events: u64,
    /// Id of the first of them.
    pub first_id: String,
    /// Id of the last of them.
    pub last_id: String,
    /// Which attempt of this batch it was, from 1.
    pub attempt: u32,
    /// Of the answer; `None`: there was none.
    pub status: Option<u16>,
    /// How long the answer took.
    pub latency_ms: u64,
    /// What became of the batch.
    pub outcome: Outcome,
    /// What went wrong, with the beginning of what the receiver said; `None`: nothing.
    pub error: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It is sent again later.
    Retried,
    /// The receiver does not take it: it is sent in halves.
    Split,
    /// It is among the dead letters, or stays there.
    DeadLettered,
    /// It was a test, and failed.
    Failed,
    /// The feed did not keep the changes until they were sent.
    Lost,
}

impl Outcome {
    /// As listings show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Split => "split",
            Self::DeadLettered => "dead_lettered",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}
