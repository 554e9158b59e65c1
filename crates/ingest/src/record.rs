//! What the log holds of a live call.

use serde::{Deserialize, Serialize};
use taghouse_model::TimestampMs;

/// One message of a live call, checked, as it stands in the log until it lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// By which a message that is sent again is known.
    pub message_id: String,
    /// When the call came in.
    pub received_at_ms: TimestampMs,
    /// Halves of surrogate pairs that were replaced by U+FFFD.
    #[serde(default)]
    pub replaced: u32,
    /// What it says.
    pub body: RecordBody,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordBody {
    /// Something a user did.
    Event {
        /// Who.
        user_id: String,
        /// When, by our clock where the call says when it was sent; else by the caller's.
        time_ms: TimestampMs,
        /// What.
        name: String,
        /// A JSON object as text, so that its numbers keep their digits.
        properties: String,
    },
    /// What a user is.
    Traits {
        /// Who.
        user_id: String,
        /// When it was said, by the same clock.
        time_ms: TimestampMs,
        /// A JSON object as text.
        traits: String,
    },
    /// A message of a batch that is wrong, while others of the batch are not.
    Rejected {
        /// A [`crate::Reason`] as text.
        reason: String,
        /// What is wrong.
        detail: String,
        /// The head of the message.
        raw: String,
    },
}

impl LogRecord {
    /// As the log holds it.
    ///
    /// # Errors
    /// None in practice: the record is plain text.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what [`LogRecord::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
