//! What the log holds of a live call, or of what else comes live.

use crate::topic_record::TopicRecord;
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
    /// The user is somebody who is not known: named by an `anonymousId` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// Other ids of which the message says that they are the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_ids: Vec<OtherId>,
    /// What it says.
    pub body: RecordBody,
}

/// An id of which a message says that it is its user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherId {
    /// The id.
    pub id: String,
    /// Name of its type. None: that of a known user, if it is one's, else an anonymous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_type: Option<String>,
    /// The message says that two users are one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merges: bool,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordBody {
    /// Something a user did.
    Event {
        /// Id of the user.
        user_id: String,
        /// When, by our clock where the call says when it was sent; else by the caller's.
        time_ms: TimestampMs,
        /// What is named, such as an event.
        name: String,
        /// A JSON object as text, so that its numbers keep their digits.
        properties: String,
    },
    /// What a user is.
    Traits {
        /// Id of the user.
        user_id: String,
        /// When it was said, by the same clock.
        time_ms: TimestampMs,
        /// A JSON object as text.
        traits: String,
    },
    /// A user's value of a tag, changed by hand when it was received.
    Changed {
        /// Id of the user whose value is changed.
        user_id: String,
        /// Of which tag.
        tag: String,
        /// The operator, or what is done to the value.
        op: HandOp,
        /// The value, as an attribute's text is read; none where it is taken away.
        value: Option<String>,
    },
    /// A user who is deleted, or expired, at the time at which it was received.
    Gone {
        /// Id of the user.
        user_id: String,
        /// Whether a rule let them go, not a call that named them.
        expired: bool,
    },
    /// A record of a topic, mapped by its source when it is admitted.
    Topic(TopicRecord),
    /// An id that somebody linked to a user by hand.
    Linked {
        /// The id.
        id: String,
        /// Name of its type.
        id_type: String,
        /// Id of the user.
        user_id: String,
    },
    /// An id that somebody made its own user's again.
    Unlinked {
        /// The id.
        id: String,
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

/// What a change by hand does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandOp {
    /// It takes the place of the one before.
    Set,
    /// There is none any more.
    Unset,
    /// One more member of a set.
    Add,
    /// One member less.
    Remove,
}

impl HandOp {
    /// As the table of changes has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Unset => "unset",
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

impl LogRecord {
    /// Whether it is a message of a call.
    pub(crate) fn is_message(&self) -> bool {
        matches!(
            self.body,
            RecordBody::Event { .. } | RecordBody::Traits { .. } | RecordBody::Rejected { .. }
        )
    }

    /// What has no id is not a message, or is known by its place in a topic.
    pub(crate) fn has_id(&self) -> bool {
        match self.body {
            RecordBody::Topic(_) => !self.message_id.is_empty(),
            _ => self.is_message(),
        }
    }

    /// What is done by hand at `now_ms`.
    pub fn by_hand(now_ms: TimestampMs, body: RecordBody) -> Self {
        Self {
            message_id: String::new(),
            received_at_ms: now_ms,
            replaced: 0,
            anonymous: false,
            other_ids: Vec::new(),
            body,
        }
    }

    /// A change by hand, made at `now_ms`.
    pub fn changed(
        now_ms: TimestampMs,
        user_id: String,
        tag: String,
        op: HandOp,
        value: Option<String>,
    ) -> Self {
        Self::by_hand(now_ms, RecordBody::Changed { user_id, tag, op, value })
    }

    /// A user who goes at `now_ms`.
    pub fn deletion(now_ms: TimestampMs, user_id: String, expired: bool) -> Self {
        Self::by_hand(now_ms, RecordBody::Gone { user_id, expired })
    }

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
    /// The bytes are not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
