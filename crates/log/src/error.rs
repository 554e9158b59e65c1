use crate::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_RECORD_BYTES};
use std::path::PathBuf;
use taghouse_model::{AppId, ErrorKind};

/// What the log answers instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record over the limit; nothing was appended.
    #[error("record number {index} of the append has {bytes} bytes, more than {MAX_RECORD_BYTES}: make it smaller")]
    RecordTooLong {
        /// Which of the records given, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// Too much at once; nothing was appended.
    #[error("the append has {records} records of {bytes} bytes, more than {MAX_APPEND_RECORDS} or {MAX_APPEND_BYTES} bytes: split it")]
    AppendTooLarge {
        /// How many records were given.
        records: usize,
        /// Their bytes in all.
        bytes: usize,
    },
    /// A trim of what was never written.
    #[error("cannot trim the log of app {app} through {through}: it ends at {end}")]
    PastEnd {
        /// Whose log.
        app: AppId,
        /// The position asked for.
        through: u64,
        /// The last position given.
        end: u64,
    },
    /// Another process has it open.
    #[error("the log at {} is open in another process: stop that one, or go through it", .0.display())]
    Locked(PathBuf),
    /// The disk or the store failed; nothing more is written until the log is opened again.
    #[error("the log is not available ({0}): look at the disk's space and rights, then start again")]
    Unavailable(String),
    /// Stored bytes are not what was written.
    #[error("the log is corrupt ({0}): restore its folder from a backup, or move it away and send again what the lake lacks")]
    Corrupt(String),
    /// A defect of ours.
    #[error("the log failed: {0}")]
    Internal(String),
}

/// A result of this room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::RecordTooLong { .. } | Self::AppendTooLarge { .. } | Self::PastEnd { .. } => ErrorKind::Invalid,
            Self::Locked(_) | Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<fjall::Error> for Error {
    fn from(error: fjall::Error) -> Self {
        match &error {
            fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => Self::Unavailable(e.to_string()),
            fjall::Error::Poisoned => Self::Unavailable("an earlier write or sync failed".to_owned()),
            fjall::Error::Locked => Self::Unavailable("another process holds it".to_owned()),
            fjall::Error::KeyspaceDeleted => Self::Internal(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}
