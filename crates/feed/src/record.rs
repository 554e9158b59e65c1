//! What a record says, and its bytes.

use crate::value_bytes::{Bytes, put_text, put_value, value};
use std::sync::Arc;
use taghouse_model::{Name, TimestampMs, Value};

/// A change, with its place in the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Ascending without gaps, from 1; never given twice.
    pub id: u64,
    /// The instant that it is as of.
    pub at_ms: TimestampMs,
    /// The log position up to which calls were seen then.
    pub position: u64,
    /// What is so from then on.
    pub change: Change,
}

/// What is so from a record on.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A user's value of a tag.
    Tag {
        /// Id of the user.
        user: Arc<str>,
        /// Which tag.
        tag: Name,
        /// `None`: the user has none any more.
        value: Option<Value>,
    },
    /// All users' values of a tag were computed again: any of them may be another than before.
    TagPublished {
        /// Which tag.
        tag: Name,
    },
    /// A user is a member of a crowd.
    Entered {
        /// Id of the user.
        user: Arc<str>,
        /// Which crowd.
        crowd: Name,
        /// The version of the crowd's definition.
        version: u64,
    },
    /// A user is not a member of a crowd any more.
    Exited {
        /// Id of the user.
        user: Arc<str>,
        /// Which crowd.
        crowd: Name,
        /// The version of the crowd's definition.
        version: u64,
    },
    /// Any user may have entered or left a crowd: its members are to be read again.
    CrowdPublished {
        /// Which crowd.
        crowd: Name,
        /// The version of the crowd's definition.
        version: u64,
    },
    /// A user was deleted or expired, with all values; crowds have the user no more.
    UserDeleted {
        /// Id of the user.
        user: Arc<str>,
    },
}

mod kind {
    pub(super) const TAG: u8 = 1;
    pub(super) const TAG_PUBLISHED: u8 = 2;
    pub(super) const ENTERED: u8 = 3;
    pub(super) const EXITED: u8 = 4;
    pub(super) const CROWD_PUBLISHED: u8 = 5;
    pub(super) const USER_DELETED: u8 = 6;
}

impl Change {
    /// A byte for the kind; then what it has of user, name, version and value, in this order. Texts
    /// have their length before them, two bytes.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Tag { user, tag, value } => {
                bytes.push(kind::TAG);
                put_text(bytes, user);
                put_text(bytes, tag.as_str());
                put_value(bytes, value.as_ref());
            }
            Self::TagPublished { tag } => {
                bytes.push(kind::TAG_PUBLISHED);
                put_text(bytes, tag.as_str());
            }
            Self::Entered { user, crowd, version } | Self::Exited { user, crowd, version } => {
                let entered = matches!(self, Self::Entered { .. });
                bytes.push(if entered { kind::ENTERED } else { kind::EXITED });
                put_text(bytes, user);
                put_text(bytes, crowd.as_str());
                bytes.extend_from_slice(&version.to_le_bytes());
            }
            Self::CrowdPublished { crowd, version } => {
                bytes.push(kind::CROWD_PUBLISHED);
                put_text(bytes, crowd.as_str());
                bytes.extend_from_slice(&version.to_le_bytes());
            }
            Self::UserDeleted { user } => {
                bytes.push(kind::USER_DELETED);
                put_text(bytes, user);
            }
        }
    }

    /// `None`: the bytes are not what [`Change::put`] writes.
    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(match bytes.byte()? {
            kind::TAG => {
                Self::Tag { user: bytes.text()?, tag: bytes.name()?, value: value(bytes)? }
            }
            kind::TAG_PUBLISHED => Self::TagPublished { tag: bytes.name()? },
            kind::ENTERED => Self::Entered {
                user: bytes.text()?,
                crowd: bytes.name()?,
                version: bytes.number()?,
            },
            kind::EXITED => {
                Self::Exited { user: bytes.text()?, crowd: bytes.name()?, version: bytes.number()? }
            }
            kind::CROWD_PUBLISHED => {
                Self::CrowdPublished { crowd: bytes.name()?, version: bytes.number()? }
            }
            kind::USER_DELETED => Self::UserDeleted { user: bytes.text()? },
            _ => return None,
        })
    }
}
