use taghouse_model::{ErrorKind, ValueType};

/// What can go wrong in the index.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of the index is missing or not what was written.
    #[error("the index object {object} is damaged ({detail}): run produce again to rebuild it")]
    Corrupt {
        /// Its path in the object store.
        object: String,
        /// What was found.
        detail: String,
    },
    /// The object store does not answer.
    #[error(
        "the index object {object} cannot be read or written ({detail}): check the store's disk and permissions, then retry"
    )]
    Store {
        /// Its path in the object store.
        object: String,
        /// What the store said.
        detail: String,
    },
    /// The catalog refused or failed; `Conflict` when someone else has published meanwhile.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
    /// A condition on a tag that was never published.
    #[error("tag {0} is not in the index: run produce for it first")]
    UnknownTag(String),
    /// A condition on a crowd that was never computed.
    #[error("crowd {0} has no version yet: compute it first")]
    UnknownCrowd(String),
    /// A condition that does not fit what the index holds, such as after a change of the tag's
    /// type.
    #[error(
        "tag {tag} holds {value_type} values in the index, and {problem}: run produce if its type was changed"
    )]
    Mismatch {
        /// Name of the tag.
        tag: String,
        /// Its type in the index.
        value_type: ValueType,
        /// Why it cannot be asked so.
        problem: String,
    },
    /// A value that a segment cannot hold.
    #[error("a segment of type {value_type} cannot hold this: {problem}")]
    Value {
        /// The segment's type.
        value_type: ValueType,
        /// What and why.
        problem: String,
    },
    /// A publication that contradicts itself.
    #[error("tag {tag} cannot be published: {problem}")]
    Publication {
        /// Name of the tag.
        tag: String,
        /// What is wrong, as a phrase.
        problem: String,
    },
    /// A live change that its tag cannot hold.
    #[error("tag {tag} holds {value_type} values, and cannot be changed so: {problem}")]
    Change {
        /// Name of the tag.
        tag: String,
        /// Its type in the index.
        value_type: ValueType,
        /// What is wrong, as a phrase.
        problem: String,
    },
    /// More changes in one call than a frame of the log holds.
    #[error("{0} changes are too many for one call: cut them into several")]
    TooMany(usize),
    /// Ordinals of another generation, or of tags that changed their type meanwhile.
    #[error(
        "the ordinals are of generation {of}, the index is of {current}, or a tag changed its type meanwhile: look the users up again and retry"
    )]
    Generation {
        /// The generation that the ordinals are of.
        of: u64,
        /// The one that the log is of.
        current: u64,
    },
    /// A publication older than what it would replace.
    #[error(
        "tag {tag} was flushed with live changes up to position {flushed_through}, this publication holds those up to {holds} only: compute it as of a later position"
    )]
    Outdated {
        /// Name of the tag.
        tag: String,
        /// What the publication says that it holds.
        holds: u64,
        /// What the tag in the index holds.
        flushed_through: u64,
    },
    /// The index was opened without a folder for live changes.
    #[error("live changes are disabled: open the index with `with_live`")]
    NoLog,
    /// A file of the change log is missing or not what was written.
    #[error(
        "the change log's file {file} is damaged ({detail}): restore it from a backup, or move the app's folder of live changes away and run produce again"
    )]
    Log {
        /// Path of the file.
        file: String,
        /// What was found.
        detail: String,
    },
    /// The folder of the change log cannot be read or written.
    #[error(
        "the change log's file {file} cannot be read or written ({detail}): check that the disk has room and is writable, then retry"
    )]
    Disk {
        /// Path of the file.
        file: String,
        /// What the system said.
        detail: String,
    },
    /// The caller cancelled it.
    #[error("it was stopped before it finished: nothing was changed")]
    Stopped,
    /// A defect of ours.
    #[error("the index failed: {0}")]
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
            Self::Corrupt { .. } | Self::Log { .. } => ErrorKind::Corrupt,
            Self::Generation { .. } | Self::Outdated { .. } => ErrorKind::Conflict,
            Self::Store { .. } | Self::Disk { .. } | Self::Stopped => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
            Self::UnknownTag(_) | Self::UnknownCrowd(_) => ErrorKind::NotFound,
            Self::Mismatch { .. }
            | Self::Value { .. }
            | Self::Publication { .. }
            | Self::Change { .. }
            | Self::TooMany(_)
            | Self::NoLog => ErrorKind::Invalid,
            Self::Internal(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn corrupt(object: &str, detail: impl Into<String>) -> Self {
        Self::Corrupt { object: object.to_owned(), detail: detail.into() }
    }

    pub(crate) fn log(file: &std::path::Path, detail: impl Into<String>) -> Self {
        Self::Log { file: file.display().to_string(), detail: detail.into() }
    }

    pub(crate) fn disk(file: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Disk { file: file.display().to_string(), detail: error.to_string() }
    }

    /// Names the object of which `bitmap` complains.
    pub(crate) fn of_bitmap(object: &str, error: taghouse_bitmap::Error) -> Self {
        match error {
            taghouse_bitmap::Error::Corrupt { object: None, detail } => {
                Self::corrupt(object, detail)
            }
            other => other.into(),
        }
    }
}

impl From<taghouse_bitmap::Error> for Error {
    fn from(error: taghouse_bitmap::Error) -> Self {
        match error {
            taghouse_bitmap::Error::Corrupt { object: Some(object), detail } => {
                Self::corrupt(&object, detail)
            }
            taghouse_bitmap::Error::Unavailable { object, detail } => {
                Self::Store { object: object.to_string(), detail }
            }
            other => Self::Internal(other.to_string()),
        }
    }
}
