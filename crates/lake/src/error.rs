use taghouse_model::ErrorKind;

/// What goes wrong in the lake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's table, column, value or query is wrong; the message says which and how to fix
    /// it.
    #[error("{0}")]
    Invalid(String),
    /// No such table, snapshot or partition.
    #[error("{0}")]
    NotFound(String),
    /// Another writer won ten times in a row, or a condition of the changes that came along no
    /// longer holds.
    #[error("{0}")]
    Conflict(String),
    /// An object that a table names is gone or is not what was written.
    #[error(
        "object {object} is gone or damaged ({detail}): restore it from a backup, or drop the table and ingest or produce again"
    )]
    Corrupt {
        /// Path of the object in the store.
        object: String,
        /// What was seen.
        detail: String,
    },
    /// The disk or the memory did not suffice: free some, or ask for less, and try again.
    #[error("{0}")]
    Unavailable(String),
    /// A defect of ours.
    #[error("{0}")]
    Internal(String),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Internal(_) | Self::Task(_) => ErrorKind::Internal,
            Self::Catalog(e) => e.kind(),
        }
    }

    pub(crate) fn corrupt(object: &str, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { object: object.to_owned(), detail: detail.to_string() }
    }
}

/// Errors of building Iceberg metadata in memory: the inputs are ours, so they are defects.
impl From<iceberg::Error> for Error {
    fn from(e: iceberg::Error) -> Self {
        Self::Internal(format!("iceberg: {e}"))
    }
}

/// Errors of Arrow kernels on batches that were checked before: defects.
impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self::Internal(format!("arrow: {e}"))
    }
}
