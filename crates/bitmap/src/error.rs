use taghouse_model::ErrorKind;

/// What can go wrong with stored bitmaps. The rooms that store them say which object it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what was written.
    #[error("the stored bitmaps are damaged ({detail}): rebuild them from their source")]
    Corrupt {
        /// What was found and where.
        detail: String,
    },
    /// More than the form can hold.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The most there may be.
        limit: u64,
    },
}

/// A result of this room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::Invalid,
        }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt { detail: detail.into() }
    }
}
