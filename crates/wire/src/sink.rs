//! How sinks are written, and what became of what webhooks were sent.

use crate::reading::whole;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a sink is written.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SinkReport {
    /// Name of the sink.
    pub sink: String,
    /// `kafka` or `webhook`.
    pub format: Cow<'static, str>,
    /// Name of the topic; `null`: it has none.
    #[schema(required)]
    pub topic: Option<String>,
    /// `connecting`; `reading`: it follows the change feed; `waiting`: what the receiver did not take
    /// is sent again; `stopped`: the definition or the program must change; `idle`: no server writes
    /// it.
    pub state: Cow<'static, str>,
    /// Events that were acknowledged since the server began.
    pub sent: u64,
    /// The id in the change feed up to which nothing needs to be sent any more; 0 while no server
    /// writes it.
    pub position: u64,
    /// Records of the change feed behind it; `null`: not known.
    #[schema(required)]
    pub lag_records: Option<u64>,
    /// How many seconds ago came about what waits longest to be sent; 0 if nothing waits; `null`: not
    /// known.
    #[schema(required)]
    pub lag_seconds: Option<f64>,
    /// What keeps it from writing now; `null`: nothing.
    #[schema(required)]
    pub problem: Option<String>,
    /// What went wrong last since the server began, be it over.
    #[schema(required)]
    pub last_error: Option<String>,
    /// When that was, ISO 8601, UTC.
    #[schema(required)]
    pub last_error_at: Option<String>,
    /// More of a webhook; `null`: it is none.
    #[schema(required)]
    pub webhook: Option<WebhookReport>,
}

/// How a webhook stands.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookReport {
    /// Where changes are posted, as the definition says: with the names of secrets.
    pub url: String,
    /// Requests that failed and were, or are to be, repeated since the server began.
    pub retried: u64,
    /// Events that went to the dead letters since the server began.
    pub dead_lettered: u64,
    /// Dead letters that there are; `null`: their files cannot be read now.
    #[schema(required)]
    pub dead_letters: Option<u64>,
    /// Dead letters that were removed since the server began, because they were too old or too many.
    pub removed: u64,
    /// Records that the change feed did not keep until they were sent, since the server began.
    pub lost: u64,
}

/// The last deliveries of a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryPage {
    /// Newest first.
    pub deliveries: Vec<DeliveryBody>,
}

/// One attempt to deliver a batch.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryBody {
    /// When the answer came, or did not, ISO 8601, UTC.
    pub at: String,
    /// What the header `webhook-id` said: the same for each attempt; empty: nothing was sent.
    pub webhook_id: String,
    /// How many events the request carried.
    pub events: u64,
    /// Id of the first of them.
    pub first_id: String,
    /// Id of the last of them.
    pub last_id: String,
    /// Which attempt of this batch it was, from 1.
    pub attempt: u32,
    /// Status of the answer; `null`: there was none.
    #[schema(required)]
    pub status: Option<u16>,
    /// How many ms the answer took.
    pub latency_ms: u64,
    /// `delivered`; `retried`: it is sent again later; `split`: it is sent in halves;
    /// `dead_lettered`; `failed`: it was a test; `lost`: the change feed did not keep these changes
    /// until they were sent.
    pub outcome: Cow<'static, str>,
    /// What went wrong, with the beginning of what the receiver said; `null`: nothing.
    #[schema(required)]
    pub error: Option<String>,
}

/// Some of a webhook's dead letters.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterPage {
    /// Oldest first.
    pub dead_letters: Vec<DeadLetterBody>,
    /// How many there are.
    pub total: u64,
}

/// An event that could not be delivered.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterBody {
    /// When it was given up, ISO 8601, UTC.
    pub at: String,
    /// Why.
    pub reason: String,
    /// Status of the last answer; `null`: there was none.
    #[schema(required)]
    pub status: Option<u16>,
    /// How often it was tried to send it.
    pub attempts: u32,
    /// The CloudEvent.
    #[schema(value_type = Object)]
    pub event: serde_json::Value,
}

/// Which dead letters are to be sent again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendRequest {
    /// How many of the oldest, 1 to 1,000; default 100.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// What came of sending dead letters again.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ResendReport {
    /// Events that the receiver has taken: they are no dead letters any more.
    pub sent: u64,
    /// Events that the receiver does not take: they stay.
    pub refused: u64,
    /// Dead letters that there are now.
    pub remaining: u64,
    /// Why it was not tried with the rest; `null`: it was.
    #[schema(required)]
    pub error: Option<String>,
}

/// What came of a test event.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SinkTestReport {
    /// Whether the receiver has taken it.
    pub delivered: bool,
    /// What the header `webhook-id` said.
    pub webhook_id: String,
    /// Status of the answer; `null`: there was none.
    #[schema(required)]
    pub status: Option<u16>,
    /// How many ms the answer took.
    pub latency_ms: u64,
    /// What went wrong; `null`: nothing.
    #[schema(required)]
    pub error: Option<String>,
    /// The beginning of what the receiver said.
    pub said: String,
}
