use std::path::PathBuf;
use taghouse_model::ErrorKind;

/// What can go wrong with a feed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A reader asks for records that are not kept any more, or never were.
    #[error(
        "the records after {after} are not in the change feed, which keeps {kept}: read the current values, then follow from \"latest\""
    )]
    Gone {
        /// The id after which records were asked for.
        after: u64,
        /// What is kept, in words.
        kept: String,
    },
    /// A file that is not what was written.
    #[error(
        "the change feed is damaged ({path}, at byte {offset}): read the current values, then follow from \"latest\"",
        path = path.display()
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The disk failed. What was appended is kept in memory, and written at the next attempt.
    #[error(
        "the change feed cannot be written or read ({path}: {source}): check that the disk has room and is writable",
        path = path.display()
    )]
    Disk {
        /// Path of the file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Disk { .. } => ErrorKind::Unavailable,
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}
