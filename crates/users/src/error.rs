use taghouse_model::{AppId, ErrorKind};

/// Errors of changes to users.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call asks for too much at once.
    #[error("{given} {what} in one call: the limit is {limit}")]
    Limit {
        /// What there was too much of, as a noun.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many may be.
        limit: usize,
    },
    /// A change of a tag that is not defined. The message suggests one of a like name.
    #[error("{0}")]
    UnknownTag(String),
    /// What is not a user id.
    #[error("{0}")]
    UserId(String),
    /// A change of a user who is not known.
    #[error(
        "there is no user \"{user}\" in app {app}{hint}: to make a new user, say so (--create, or `create: true` in a call)"
    )]
    NoSuchUser {
        /// The first of them.
        user: String,
        /// App in which the user was looked for.
        app: AppId,
        /// A suggestion of who may be meant.
        hint: String,
    },
    /// None of these ids was ever seen.
    #[error("there is no user \"{user}\" in app {app}: nobody was deleted")]
    UnknownUser {
        /// The first of them.
        user: String,
        /// App in which the user was looked for.
        app: AppId,
    },
    /// Nothing was published for the app.
    #[error("no tags produced yet for app {app}: there are no users to renumber")]
    NoTags {
        /// App that it belongs to.
        app: AppId,
    },
    /// The caller cancelled it.
    #[error("the compaction was stopped before it finished: nothing was changed")]
    Stopped,
    /// A bug: the work of a call ended without a result.
    #[error("internal error: background task failed: {0}")]
    BrokeOff(String),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
    /// Of the crowds, or the expression of an expiry.
    #[error(transparent)]
    Crowd(#[from] taghouse_crowd::Error),
    /// Of the index.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// Of the identities.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// Of the dictionary.
    #[error(transparent)]
    Dictionary(#[from] taghouse_dictionary::Error),
    /// Of the log.
    #[error(transparent)]
    Log(#[from] taghouse_log::Error),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit { .. } | Self::UserId(_) => ErrorKind::Invalid,
            Self::UnknownTag(_)
            | Self::NoSuchUser { .. }
            | Self::UnknownUser { .. }
            | Self::NoTags { .. } => ErrorKind::NotFound,
            Self::Stopped => ErrorKind::Unavailable,
            Self::BrokeOff(_) | Self::Task(_) => ErrorKind::Internal,
            Self::Crowd(e) => e.kind(),
            Self::Index(e) => e.kind(),
            Self::Identities(e) => e.kind(),
            Self::Dictionary(e) => e.kind(),
            Self::Log(e) => e.kind(),
            Self::Catalog(e) => e.kind(),
        }
    }
}
