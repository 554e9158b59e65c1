use crate::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_RECORD_BYTES};
use std::path::{Path, PathBuf};
use taghouse_model::{AppId, ErrorKind};

/// What the log answers instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record over the limit; nothing was appended.
    #[error(
        "record number {index} of the append has {bytes} bytes, more than {MAX_RECORD_BYTES}: make it smaller"
    )]
    RecordTooLong {
        /// Which of the records given, from 0.
        index: usize,
        /// The length in bytes.
        bytes: usize,
    },
    /// Too much at once; nothing was appended.
    #[error(
        "the append has {records} records of {bytes} bytes, more than {MAX_APPEND_RECORDS} or {MAX_APPEND_BYTES} bytes: split it"
    )]
    AppendTooLarge {
        /// How many records were given.
        records: usize,
        /// Their bytes in all.
        bytes: usize,
    },
    /// A trim of what was never written.
    #[error("cannot trim the log of app {app} through {through}: it ends at {end}")]
    PastEnd {
        /// App whose log it is.
        app: AppId,
        /// The position asked for.
        through: u64,
        /// The last position given.
        end: u64,
    },
    /// Another process has it open.
    #[error("the log at {} is open in another process: stop that process, or use its API", .0.display())]
    Locked(PathBuf),
    /// The disk or the store failed; it is tried again by itself until it works.
    #[error(
        "the log is not available ({0}): check that the disk has room and is writable, then retry"
    )]
    Unavailable(String),
    /// The folder was deleted or replaced under us.
    #[error(
        "the log is gone ({0}), and what is acknowledged could not be found again: put the folder back and start again"
    )]
    Gone(String),
    /// It ends before what was acknowledged.
    #[error(
        "the log in {} has lost the last {missing} of the groups that were acknowledged: a file of it was damaged or an old one put back; restore the folder from a backup, or, to go on without them, remove {}",
        folder.display(),
        mark.display()
    )]
    Lost {
        /// Where the log is.
        folder: PathBuf,
        /// How many groups of appends and trims.
        missing: u64,
        /// The file that says how many there were.
        mark: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the log is corrupt ({0}): restore its folder from a backup, or move it away and send again what the lake lacks"
    )]
    Corrupt(String),
    /// Asked for what this kind of log does in ways of its own.
    #[error("this log cannot be copied: back it up with its own tools")]
    NoCopies,
    /// A defect of ours.
    #[error("the log failed: {0}")]
    Internal(String),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::RecordTooLong { .. }
            | Self::AppendTooLarge { .. }
            | Self::PastEnd { .. }
            | Self::NoCopies => ErrorKind::Invalid,
            Self::Locked(_) | Self::Unavailable(_) | Self::Gone(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) | Self::Lost { .. } => ErrorKind::Corrupt,
            Self::Internal(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }

    /// The same for another caller.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Unavailable(text) => Self::Unavailable(text.clone()),
            Self::Gone(text) => Self::Gone(text.clone()),
            Self::Corrupt(text) => Self::Corrupt(text.clone()),
            other => Self::Internal(other.to_string()),
        }
    }

    /// Names the folder of which the store complains.
    pub(crate) fn within(self, folder: &Path) -> Self {
        let named = |text: String| format!("{}: {text}", folder.display());
        match self {
            Self::Unavailable(text) => Self::Unavailable(named(text)),
            Self::Corrupt(text) => Self::Corrupt(named(text)),
            other => other,
        }
    }
}

impl From<fjall::Error> for Error {
    fn from(error: fjall::Error) -> Self {
        match &error {
            fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => {
                Self::Unavailable(e.to_string())
            }
            fjall::Error::Poisoned => {
                Self::Unavailable("an earlier write or sync failed".to_owned())
            }
            fjall::Error::Locked => Self::Unavailable("another process holds it".to_owned()),
            fjall::Error::KeyspaceDeleted => Self::Internal(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}
