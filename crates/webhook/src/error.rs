use std::path::PathBuf;
use taghouse_model::{AppId, ErrorKind, Name};

/// What can go wrong with webhooks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates that the operator named cannot be used.
    #[error("the certificates for webhooks ({path}): {detail}", path = path.display())]
    Certificates {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The client cannot be made.
    #[error("the client of webhooks cannot be made: {0}")]
    Client(String),
    /// The URL, once its secrets are put in, is not one.
    #[error("the setting `url` is not a URL that begins with https:// or http://: {0}")]
    Url(String),
    /// A header, once its secrets are put in, is not one.
    #[error("the header `{0}` has a value with characters other than printable ASCII")]
    Header(String),
    /// The secret is not one of Standard Webhooks.
    #[error(
        "the secret is not whsec_ followed by base64 of 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`"
    )]
    Secret,
    /// A file at an address that may be there later.
    #[error("the file of the link could not be fetched: {0}")]
    Unreached(String),
    /// A file at an address that will not come.
    #[error("the file of the link cannot be fetched: {0}")]
    NotFetched(String),
    /// A file of dead letters or of the delivery log.
    #[error(
        "the webhooks' files cannot be written or read ({path}: {source}): check that the disk has room and is writable",
        path = path.display()
    )]
    Disk {
        /// Path of the file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else is sending the dead letters again.
    #[error(
        "the dead letters of the sink `{sink}` of {app} are being sent by another call: wait until it has ended"
    )]
    Busy {
        /// Whose sink it is.
        app: AppId,
        /// The sink.
        sink: Name,
    },
    /// Of what sinks share, and of secrets.
    #[error(transparent)]
    Sink(#[from] taghouse_sink::Error),
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
}

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Certificates { .. }
            | Self::Url(_)
            | Self::Header(_)
            | Self::Secret
            | Self::NotFetched(_) => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Conflict,
            Self::Disk { .. } | Self::Unreached(_) | Self::Sink(_) | Self::Feed(_) => {
                ErrorKind::Unavailable
            }
            Self::Client(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }
}
