use std::path::{Path, PathBuf};
use taghouse_model::ErrorKind;

/// Why there is no backup, or none was put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place cannot be used.
    #[error("{} {problem}", path.display())]
    Place {
        /// Path of the folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Another backup is being written.
    #[error("another backup is being written: wait until it has ended")]
    Busy,
    /// Writers of an app could not be stopped for a moment.
    #[error("app {0} is being compacted, which blocks backups: retry when it has ended")]
    Held(taghouse_model::AppId),
    /// What is in the folder is not a backup, or not all of one.
    #[error("{} is not a backup: {problem}", path.display())]
    NoBackup {
        /// Path of the folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A file of a backup is not the one that was written.
    #[error("the backup is damaged: {} {problem}; restore another one", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// How it differs.
        problem: String,
    },
    /// The disk failed.
    #[error("{}: {problem}; check that the disk has room and is writable, then retry", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
    /// Of the dictionary.
    #[error(transparent)]
    Dictionary(#[from] taghouse_dictionary::Error),
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Of the index.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// Of the lake.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// Of the log of calls.
    #[error(transparent)]
    Log(#[from] taghouse_log::Error),
    /// A defect of ours.
    #[error("the backup failed: {0}")]
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
            Self::Place { .. } | Self::NoBackup { .. } => ErrorKind::Invalid,
            Self::Busy | Self::Held(_) => ErrorKind::Conflict,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Disk { .. } => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
            Self::Dictionary(error) => error.kind(),
            Self::Feed(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Internal(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn disk(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Disk { path: path.to_owned(), problem: error.to_string() }
    }

    pub(crate) fn place(path: &Path, problem: &str) -> Self {
        Self::Place { path: path.to_owned(), problem: problem.to_owned() }
    }
}
