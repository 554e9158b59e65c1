use taghouse_model::{ErrorKind, Name};

/// What can go wrong in a production. Nothing is published then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tags are defined, but nothing has been ingested.
    #[error(
        "the app \"{0}\" has no events and no attributes yet: ingest files or send events first"
    )]
    NothingIngested(taghouse_model::AppId),
    /// The query of an `sql` tag failed.
    #[error("sql tag {tag}: {source}")]
    Sql {
        /// Name of the tag.
        tag: Name,
        /// What the lake said.
        source: taghouse_lake::Error,
    },
    /// The query of an `sql` tag gave something else than asked for.
    #[error("sql tag {tag}: {detail}")]
    SqlResult {
        /// Name of the tag.
        tag: Name,
        /// What is wrong and how to fix it.
        detail: String,
    },
    /// The query of a crowd failed.
    #[error("crowd {crowd}: {source}")]
    CrowdSql {
        /// Name of the crowd.
        crowd: Name,
        /// What the lake said.
        source: taghouse_lake::Error,
    },
    /// The query of a crowd gave something else than asked for.
    #[error("crowd {crowd}: {detail}")]
    CrowdSqlResult {
        /// Name of the crowd.
        crowd: Name,
        /// What is wrong and how to fix it.
        detail: String,
    },
    /// The fold crate refused a definition or a column.
    #[error(transparent)]
    Fold(#[from] taghouse_fold::Error),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// The identities failed.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// The dictionary failed.
    #[error(transparent)]
    Dictionary(#[from] taghouse_dictionary::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// Some tags were asked for, and none of those published are of the dictionary's numbering.
    #[error(
        "the users of app {0} are renumbered, for the dictionary is not the one its index was made with: produce all tags once"
    )]
    Renumbered(taghouse_model::AppId),
    /// More text than one column holds.
    #[error(
        "{what} come to {bytes} bytes of text, over 2,147,483,647: shorten the values, or split the app"
    )]
    TooMuchText {
        /// What there was too much of, as a noun.
        what: String,
        /// The size in bytes.
        bytes: usize,
    },
    /// Columns of one tag table did not fit together.
    #[error("building the rows of {table}: {detail}")]
    Rows {
        /// Name of the table.
        table: String,
        /// What Arrow said.
        detail: String,
    },
    /// Whoever asked for it gave it up; nobody is told.
    #[error("the production was cancelled")]
    Stopped,
    /// What waits in the log could not be brought into the lake.
    #[error("what was changed by hand could not be landed: {0}")]
    Landing(String),
    /// Work beside the production panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
    /// A worker ended early.
    #[error("a worker of the production ended early: {0}")]
    Worker(String),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NothingIngested(_)
            | Self::SqlResult { .. }
            | Self::CrowdSqlResult { .. }
            | Self::Renumbered(_)
            | Self::TooMuchText { .. } => ErrorKind::Invalid,
            Self::Sql { source, .. } | Self::CrowdSql { source, .. } => source.kind(),
            Self::Fold(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Identities(error) => error.kind(),
            Self::Dictionary(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Stopped | Self::Landing(_) => ErrorKind::Unavailable,
            Self::Rows { .. } | Self::Task(_) | Self::Worker(_) => ErrorKind::Internal,
        }
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
