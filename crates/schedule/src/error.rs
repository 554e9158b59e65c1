use taghouse_model::ErrorKind;

/// What the scheduler answers instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tasks are not a DAG.
    #[error("{0}")]
    Invalid(String),
    /// The process is ending.
    #[error("no new runs: the scheduler is shutting down; try again when the server is up")]
    ShutDown,
    /// The run could not be recorded.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::ShutDown => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
        }
    }
}
