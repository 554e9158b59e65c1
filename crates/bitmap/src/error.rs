use std::sync::Arc;
use taghouse_model::ErrorKind;

/// Errors of stored bitmaps. The crates that store them add the name of the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are damaged.
    #[error("the stored bitmaps{} are damaged ({detail}): rebuild them from their source", .object.as_deref().map_or(String::new(), |o| format!(" of {o}")))]
    Corrupt {
        /// The object they are of, where it is known here.
        object: Option<Arc<str>>,
        /// What was found and where.
        detail: String,
    },
    /// A part of an object cannot be fetched.
    #[error(
        "{object} cannot be fetched ({detail}): check the object store and the cache's disk, then retry"
    )]
    Unavailable {
        /// Path of the object.
        object: Arc<str>,
        /// The cause, as a phrase.
        detail: String,
    },
    /// More than the form can hold.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is named, such as an event.
        what: String,
        /// The most there may be.
        limit: u64,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Invalid,
        }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt { object: None, detail: detail.into() }
    }

    /// The same, said of an object.
    pub(crate) fn of(self, name: &Arc<str>) -> Self {
        match self {
            Self::Corrupt { object: None, detail } => {
                Self::Corrupt { object: Some(name.clone()), detail }
            }
            other => other,
        }
    }
}
