//! DataFusion's errors as ours.

use crate::Error;
use datafusion::error::DataFusionError;

/// The error without its prefixes and backtrace.
pub(super) fn plain(e: &DataFusionError) -> String {
    match e {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => plain(inner),
        DataFusionError::Shared(inner) => plain(inner),
        DataFusionError::Collection(all) => all.first().map(plain).unwrap_or_default(),
        DataFusionError::SchemaError(inner, _) => inner.to_string(),
        DataFusionError::ArrowError(inner, _) => inner.to_string(),
        DataFusionError::SQL(inner, _) => inner.to_string(),
        other => {
            let message = other.message();
            message.split("\n\nbacktrace").next().unwrap_or_default().trim().to_owned()
        }
    }
}

/// Whose fault it is: the storage's and ours keep their kind, the rest is the query's.
pub(super) fn failure(e: &DataFusionError) -> Error {
    match e.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => again(ours),
            None => Error::Internal(format!("the query failed: {inner}")),
        },
        DataFusionError::ResourcesExhausted(_) => Error::Invalid(
            "the query needs more memory than queries may use: read fewer columns, filter by time, or aggregate before joining and sorting"
                .to_owned(),
        ),
        DataFusionError::IoError(inner) => Error::Unavailable(format!("the query failed on the disk: {inner}")),
        root @ (DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_)) => {
            Error::Internal(format!("the query failed: {}", plain(root)))
        }
        _ => Error::Invalid(format!("the query cannot be answered: {}", plain(e))),
    }
}

/// Errors have sources that are not `Clone`, and DataFusion only lends them.
fn again(e: &Error) -> Error {
    match e {
        Error::Invalid(m) => Error::Invalid(m.clone()),
        Error::NotFound(m) => Error::NotFound(m.clone()),
        Error::Conflict(m) => Error::Conflict(m.clone()),
        Error::Corrupt { object, detail } => {
            Error::Corrupt { object: object.clone(), detail: detail.clone() }
        }
        Error::Unavailable(m) => Error::Unavailable(m.clone()),
        Error::Internal(m) => Error::Internal(m.clone()),
        Error::Task(e) => Error::Internal(e.to_string()),
        Error::Catalog(c) => Error::Unavailable(c.to_string()),
    }
}
