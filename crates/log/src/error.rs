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
    /// An earlier version wrote it, in another form.
    #[error(
        "the log in {} has the form of an earlier version, which this one does not read: open the data folder with the version that wrote it, or begin a new data folder and send the calls again",
        .0.display()
    )]
    OldForm(PathBuf),
    /// The disk failed; it is tried again by itself until it works.
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
            Self::Corrupt(_) | Self::Lost { .. } | Self::OldForm(_) => ErrorKind::Corrupt,
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
}

/// What a failure of the disk becomes, with the path.
pub(crate) fn unavailable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Unavailable(format!("{}: {error}", path.display()))
}
