use crate::{CheckError, SyntaxError};
use taghouse_model::ErrorKind;

/// What can be wrong with an expression.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The text is not an expression, or one that does not fit the types (then with the place).
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A name is unknown or a literal does not fit its type.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The JSON is not an expression.
    #[error("expression JSON at {path}: {message}")]
    Json {
        /// A JSON pointer; `/` for the root.
        path: String,
        /// What is wrong and what was expected.
        message: String,
    },
}

impl Error {
    /// Always `Invalid`: fix the expression and call again.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The result of this crate's fallible functions that do not name another error.
pub type Result<T> = std::result::Result<T, Error>;
