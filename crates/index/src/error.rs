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
    #[error("the index object {object} cannot be read or written ({detail}): look at the store's disk and rights, then retry")]
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
    /// A condition that does not fit what the index holds, such as after a change of the tag's type.
    #[error("tag {tag} holds {value_type} values in the index, and {problem}: run produce if its type was changed")]
    Mismatch {
        /// The tag.
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
        /// The tag.
        tag: String,
        /// Why.
        problem: String,
    },
    /// A defect of ours.
    #[error("the index failed: {0}")]
    Internal(String),
}

/// A result of this room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Store { .. } => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
            Self::UnknownTag(_) | Self::UnknownCrowd(_) => ErrorKind::NotFound,
            Self::Mismatch { .. } | Self::Value { .. } | Self::Publication { .. } => ErrorKind::Invalid,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn corrupt(object: &str, detail: impl Into<String>) -> Self {
        Self::Corrupt { object: object.to_owned(), detail: detail.into() }
    }

    /// Names the object of which `bitmap` complains.
    pub(crate) fn of_bitmap(object: &str, error: taghouse_bitmap::Error) -> Self {
        match error {
            taghouse_bitmap::Error::Corrupt { object: None, detail } => Self::corrupt(object, detail),
            other => other.into(),
        }
    }
}

impl From<taghouse_bitmap::Error> for Error {
    fn from(error: taghouse_bitmap::Error) -> Self {
        match error {
            taghouse_bitmap::Error::Corrupt { object: Some(object), detail } => Self::corrupt(&object, detail),
            taghouse_bitmap::Error::Unavailable { object, detail } => Self::Store { object: object.to_string(), detail },
            other => Self::Internal(other.to_string()),
        }
    }
}
