//! Errors on the wire: RFC 9457 problem details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use taghouse_model::ErrorKind;

/// Every error answer of the API (RFC 9457), as `application/problem+json`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// What sort of error, as a stable word: `invalid`, `not_found`, `conflict`, `denied`, `unauthenticated`, `unavailable`, `corrupt`, `internal`, `too_large`,
    /// `method_not_allowed`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The HTTP status again.
    pub status: u16,
    /// The status in words.
    pub title: &'static str,
    /// What is wrong and how to mend it.
    pub detail: String,
    /// For refused definitions and expressions: each place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Place>,
}

/// One place in a refused definition.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Place {
    /// The file, as it was named in the request.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let (word, status, title) = match kind {
            ErrorKind::Invalid => ("invalid", 400, "Bad Request"),
            ErrorKind::NotFound => ("not_found", 404, "Not Found"),
            ErrorKind::Conflict => ("conflict", 409, "Conflict"),
            ErrorKind::Denied => ("denied", 403, "Forbidden"),
            ErrorKind::Unavailable => ("unavailable", 503, "Service Unavailable"),
            ErrorKind::Corrupt => ("corrupt", 500, "Internal Server Error"),
            ErrorKind::Internal => ("internal", 500, "Internal Server Error"),
        };
        Self { kind: word, status, title, detail: detail.into(), errors: Vec::new() }
    }

    /// The kind that it was made of.
    pub(crate) fn error_kind(&self) -> ErrorKind {
        match self.kind {
            "not_found" => ErrorKind::NotFound,
            "conflict" => ErrorKind::Conflict,
            "denied" | "unauthenticated" => ErrorKind::Denied,
            "unavailable" => ErrorKind::Unavailable,
            "corrupt" => ErrorKind::Corrupt,
            "internal" => ErrorKind::Internal,
            _ => ErrorKind::Invalid,
        }
    }

    /// No key, or one that is not known.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self { kind: "unauthenticated", status: 401, title: "Unauthorized", detail: detail.into(), errors: Vec::new() }
    }

    /// A path that exists, called otherwise.
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not take that method; /api/v1/openapi.json lists what it takes".to_owned();
        Self { kind: "method_not_allowed", status: 405, title: "Method Not Allowed", detail, errors: Vec::new() }
    }

    /// A body over its limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self { kind: "too_large", status: 413, title: "Content Too Large", detail: detail.into(), errors: Vec::new() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status >= 500 {
            tracing::error!(status = self.status, detail = self.detail, "request failed");
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic realm=\"taghouse\""));
        }
        response
    }
}

/// A room's error becomes a problem by its kind; the room's message is already written for people.
macro_rules! from_room {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::new(error.kind(), error.to_string())
            }
        })+
    };
}

from_room!(
    taghouse_activate::Error,
    taghouse_catalog::Error,
    taghouse_crowd::Error,
    taghouse_dictionary::Error,
    taghouse_index::Error,
    taghouse_ingest::Error,
    taghouse_lake::Error,
    taghouse_log::Error,
    taghouse_produce::Error,
    taghouse_schedule::Error,
    taghouse_users::Error,
);

impl From<taghouse_ingest::CallError> for Problem {
    fn from(error: taghouse_ingest::CallError) -> Self {
        if error.too_large { Self::too_large(error.message) } else { Self::new(ErrorKind::Invalid, error.message) }
    }
}

impl From<taghouse_model::Invalid> for Problem {
    fn from(error: taghouse_model::Invalid) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}
