use taghouse_model::ErrorKind;

/// What can go wrong in the stream. The event log still has everything: the states are computed
/// again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stored states that cannot be read.
    #[error("the stream's stored states are damaged: {0}; they are computed again from the lake")]
    Damaged(String),
    /// The users were renumbered while states were computed.
    #[error("the users were renumbered meanwhile; the states are computed again")]
    Renumbered,
    /// Another computation of the states took the place of this one.
    #[error("the states are computed from the lake again, for what they follow has changed")]
    Superseded,
    /// A state's object cannot be written or read.
    #[error("object {object}: {detail}")]
    Store {
        /// Its path.
        object: String,
        /// What the store says.
        detail: String,
    },
    /// A background task ended before it was done.
    #[error("internal error: background task failed: {0}")]
    Task(String),
    /// Live tags did not get values that could be compared.
    #[error("{detail}")]
    Unsettled {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// What is wrong, and how to fix it.
        detail: String,
    },
    /// Of the production.
    #[error(transparent)]
    Produce(#[from] taghouse_produce::Error),
    /// Of the fold.
    #[error(transparent)]
    Fold(#[from] taghouse_fold::Error),
    /// Of the event log.
    #[error(transparent)]
    Log(#[from] taghouse_log::Error),
    /// Of the lake.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// Of the identities.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// Of the ingestion.
    #[error(transparent)]
    Ingest(#[from] taghouse_ingest::Error),
    /// Of the index.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// Of the users.
    #[error(transparent)]
    Users(#[from] taghouse_users::Error),
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

impl Error {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged(detail.into())
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Renumbered | Self::Superseded => ErrorKind::Conflict,
            Self::Unsettled { kind, .. } => *kind,
            Self::Damaged(_) => ErrorKind::Corrupt,
            Self::Task(_) => ErrorKind::Internal,
            Self::Store { .. } => ErrorKind::Unavailable,
            Self::Produce(error) => error.kind(),
            Self::Fold(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Identities(error) => error.kind(),
            Self::Ingest(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Users(error) => error.kind(),
            Self::Feed(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
