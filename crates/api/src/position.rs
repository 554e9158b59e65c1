//! Positions of the log, as writes return them and judgments ask for them.

use crate::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use taghouse_engine::{AtLeast, DEFAULT_WAIT, MAX_WAIT};
use taghouse_model::ErrorKind;

/// In the answer to a write: the position of what it wrote.
pub(crate) const POSITION_HEADER: HeaderName = HeaderName::from_static("taghouse-position");

/// In a request for a flag: the position that the answer must hold.
pub(crate) const AT_LEAST_HEADER: HeaderName = HeaderName::from_static("taghouse-at-least");

/// An answer with the position of what was written.
pub(crate) struct Written<T> {
    pub(crate) answer: T,
    pub(crate) position: Option<u64>,
}

impl<T: IntoResponse> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if let Some(position) = self.position {
            response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(position));
        }
        response
    }
}

/// What an answer must hold, as a request says it.
pub(crate) fn at_least(
    position: Option<u64>,
    wait_ms: Option<u64>,
) -> Result<Option<AtLeast>, Problem> {
    let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
    let wait = wait_ms.map_or(DEFAULT_WAIT, Duration::from_millis);
    if wait > MAX_WAIT {
        let limit = MAX_WAIT.as_millis();
        return Err(invalid(format!("wait_ms is {}: the limit is {limit}", wait.as_millis())));
    }
    match position {
        None if wait_ms.is_some() => {
            Err(invalid("wait_ms is for at_least: name a position too".to_owned()))
        }
        position => Ok(position.map(|position| AtLeast { position, wait })),
    }
}

/// The same of a request for a flag.
pub(crate) fn at_least_of(headers: &HeaderMap) -> Result<Option<AtLeast>, Problem> {
    let Some(value) = headers.get(&AT_LEAST_HEADER) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || {
        let detail =
            "the header Taghouse-At-Least must be a position that a write returned: a whole number";
        Problem::new(ErrorKind::Invalid, detail)
    };
    at_least(Some(position.ok_or_else(wrong)?), None)
}
