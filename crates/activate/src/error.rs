use std::path::{Path, PathBuf};
use std::time::Duration;
use taghouse_model::ErrorKind;

/// What can go wrong on the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested format does not exist.
    #[error("\"{0}\" is not an export format: use csv, jsonl, parquet, roaring or roaring64")]
    UnknownFormat(String),
    /// A writer refused rows that we made.
    #[error("encoding members as {format}: {source}")]
    Encode {
        /// csv, jsonl or parquet.
        format: &'static str,
        /// What the writer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operator has chosen no folder for files of activations.
    #[error(
        "the server has no folder for files of activations: start it with --activation-dir DIR, or TAGHOUSE_ACTIVATION_DIR"
    )]
    NoFolder,
    /// A file cannot be written.
    #[error(
        "the file of the activation cannot be written ({path}: {source}): check that the folder is there, writable and has room",
        path = path.display()
    )]
    Disk {
        /// Path of the file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The destination does not work now.
    #[error("{place} does not work now: {detail}")]
    Unavailable {
        /// What is written to.
        place: &'static str,
        /// What it said.
        detail: String,
        /// How long it asks to be left alone.
        wait: Option<Duration>,
    },
    /// The destination does not take what is sent, and will not.
    #[error("{place} does not take the delivery: {detail}")]
    Refused {
        /// What is written to.
        place: &'static str,
        /// What it said.
        detail: String,
    },
    /// What was sent to the destination is not there any more: it is sent again from the start.
    #[error("{place} has lost what it was sent: {detail}")]
    Lost {
        /// What is written to.
        place: &'static str,
        /// What is missing.
        detail: String,
    },
    /// This program was built without what the destination needs.
    #[error("{0}")]
    NotBuilt(String),
    /// A secret that the definition names.
    #[error(transparent)]
    Secret(#[from] taghouse_sink::Error),
    /// Something was sent before the delivery began.
    #[error("internal error: a piece was sent before the delivery began")]
    NotBegun,
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownFormat(_) | Self::NoFolder | Self::Refused { .. } | Self::NotBuilt(_) => {
                ErrorKind::Invalid
            }
            // A secret may be put in its file, and a disk get room, while it is tried.
            Self::Disk { .. } | Self::Unavailable { .. } | Self::Secret(_) => {
                ErrorKind::Unavailable
            }
            Self::Lost { .. } => ErrorKind::Conflict,
            Self::Encode { .. } | Self::NotBegun | Self::Task(_) => ErrorKind::Internal,
        }
    }

    /// How long the destination asks to be left alone.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn encode<E: std::error::Error + Send + Sync + 'static>(
    format: &'static str,
) -> impl FnOnce(E) -> Error {
    move |source| Error::Encode { format, source: Box::new(source) }
}

pub(crate) fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}
