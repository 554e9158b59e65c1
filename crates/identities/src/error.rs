use taghouse_model::ErrorKind;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with identities.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of the lake.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// Of a batch that does not fit its table.
    #[error("rows of the table identities: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// The table is not one of ours.
    #[error(
        "the table {table} has no column {column} of its type: it was written by something else"
    )]
    NoColumn {
        /// Name of the table.
        table: &'static str,
        /// Name of the column.
        column: &'static str,
    },
}

impl Error {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Rows(_) | Self::NoColumn { .. } => ErrorKind::Internal,
        }
    }
}
