use taghouse_model::ErrorKind;

/// Definitions and columns that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The definition asks for what the fold cannot give.
    #[error("{0}")]
    Definition(String),
    /// A column has another type than the definition says.
    #[error(
        "column {column} is {found}, where {expected} is defined: apply the definitions under which the events were ingested, or rename the property"
    )]
    Column {
        /// Name of the column.
        column: String,
        /// The Arrow type found.
        found: String,
        /// The type defined.
        expected: String,
    },
    /// Not the columns that were asked for.
    #[error("a batch lacks the column {0}")]
    Missing(String),
    /// Bytes that are no state of the tag.
    #[error("the stored state of a tag cannot be read: it is damaged, or of another definition")]
    State,
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Definition(_) | Self::Column { .. } => ErrorKind::Invalid,
            Self::Missing(_) | Self::State => ErrorKind::Internal,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
