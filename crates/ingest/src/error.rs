use std::path::PathBuf;
use taghouse_model::ErrorKind;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with a run of ingestion as a whole. What is wrong with a row is no error: the
/// row goes to `rejected_events`; what is wrong with one file stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The definitions have no such source.
    #[error("no source \"{name}\": the sources are {known}")]
    NoSource {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The source is not one that reads files, or lacks what it needs.
    #[error("{0}")]
    Invalid(String),
    /// A path given cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Path {
        /// Path of the file or folder.
        path: PathBuf,
        /// What is wrong, as a phrase.
        source: std::io::Error,
    },
    /// Too large a share of the rows was rejected; nothing was committed.
    #[error(
        "source \"{name}\" rejects {rejected} of {rows} rows, more than its max_reject_share of {limit} (mostly {reason}): nothing was \
         ingested; fix the files or the source, or allow rejects for this run"
    )]
    TooManyRejects {
        /// Name of the source.
        name: String,
        /// Rows rejected so far.
        rejected: u64,
        /// Rows read so far.
        rows: u64,
        /// The share allowed.
        limit: rust_decimal::Decimal,
        /// The commonest reason with the words of one such row.
        reason: String,
    },
    /// The log does not reach to where landing stopped: it is another log.
    #[error(
        "the log of app \"{app}\" ends at {end}, but calls up to {landed} have landed: the log's folder was emptied or replaced; restore it \
         from the same time as the catalog"
    )]
    LogBehind {
        /// Id of the app.
        app: String,
        /// The log's last position.
        end: u64,
        /// The position landed.
        landed: u64,
    },
    /// A record of the log is not one of ours.
    #[error(
        "record {position} of the log of app \"{app}\" cannot be read ({detail}): restore the log's folder from a backup"
    )]
    Record {
        /// Id of the app.
        app: String,
        /// The record's position.
        position: u64,
        /// What is wrong.
        detail: String,
    },
    /// The memory of message ids failed.
    #[error(
        "the memory of message ids in {} failed ({source}): look at the disk's space and rights; if the folder is damaged, stop the server and \
         delete it, and it is made again from the lake",
        folder.display()
    )]
    Ids {
        /// The file or folder of the store.
        folder: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The memory of message ids holds bytes that it never wrote.
    #[error(
        "the memory of message ids in {} is damaged ({detail}): stop the server and delete that folder, and it is made again from the lake",
        folder.display()
    )]
    IdsDamaged {
        /// Folder of the store.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The list of ids whose data is refused is not one of ours.
    #[error(
        "the suppressed ids of app \"{app}\" cannot be read (pointer \"{pointer}\"): restore the catalog from a backup"
    )]
    Suppressed {
        /// Id of the app.
        app: String,
        /// The name of the catalog's pointer.
        pointer: String,
    },
    /// While files were read, ids were suppressed, or taken again; nothing was committed.
    #[error(
        "ids of app \"{app}\" were suppressed, or taken again, while the files were read: nothing was ingested; ingest them again"
    )]
    SuppressedMeanwhile {
        /// Id of the app.
        app: String,
    },
    /// The run was cancelled; nothing was committed.
    #[error("the run was cancelled: nothing was ingested")]
    Cancelled,
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// The identities failed.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] taghouse_log::Error),
    /// A defect of ours.
    #[error("defect in ingestion: {0}")]
    Internal(String),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSource { .. } => ErrorKind::NotFound,
            Self::Path { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Invalid(_) | Self::Path { .. } | Self::TooManyRejects { .. } => {
                ErrorKind::Invalid
            }
            Self::LogBehind { .. }
            | Self::Record { .. }
            | Self::IdsDamaged { .. }
            | Self::Suppressed { .. } => ErrorKind::Corrupt,
            Self::SuppressedMeanwhile { .. } => ErrorKind::Conflict,
            Self::Ids { .. } | Self::Cancelled => ErrorKind::Unavailable,
            Self::Lake(e) => e.kind(),
            Self::Identities(e) => e.kind(),
            Self::Catalog(e) => e.kind(),
            Self::Log(e) => e.kind(),
            Self::Internal(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }
}

/// Batches are built in the schema that the lake gave, so a misfit is a defect.
impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self::Internal(format!("arrow: {e}"))
    }
}
