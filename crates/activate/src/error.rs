use taghouse_model::ErrorKind;

/// What can go wrong on the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested format does not exist.
    #[error("\"{0}\" is not an export format: use csv, jsonl, parquet, roaring or roaring64")]
    UnknownFormat(String),
    /// A writer refused rows that we made.
    #[error("encoding members as {format}: {source}")]
    Encode {
        /// csv, jsonl or parquet.
        format: &'static str,
        /// What the writer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownFormat(_) => ErrorKind::Invalid,
            Self::Encode { .. } => ErrorKind::Internal,
        }
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
