//! Errors on the wire: RFC 9457 problem details.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use taghouse_model::ErrorKind;
use taghouse_rules::DefinitionError;
use taghouse_wire::FlagFailure;
use utoipa::openapi::{self, ContentBuilder, HeaderBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// The media type of problem details.
const PROBLEM_JSON: &str = "application/problem+json";

/// Every error answer of the API (RFC 9457), as `application/problem+json`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// The kind of error, as a stable word.
    #[serde(rename = "type")]
    #[schema(schema_with = words)]
    pub kind: &'static str,
    /// The HTTP status again.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// The status in words.
    pub title: &'static str,
    /// What is wrong and how to fix it.
    pub detail: String,
    /// For refused definitions and expressions: each place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Place>,
    /// The header `Retry-After`, where it is not the usual second.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) retry_after_seconds: Option<u64>,
}

/// Marks an error answer that is written in the form of another protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SaidOtherwise;

/// A kind of error.
struct Sort {
    word: &'static str,
    status: u16,
    title: &'static str,
    /// When it comes, for the description.
    when: &'static str,
}

const fn sort(word: &'static str, status: u16, title: &'static str, when: &'static str) -> Sort {
    Sort { word, status, title, when }
}

/// All kinds of errors. The first one of a status stands for answers with that status that were not
/// made here, such as by a layer below the routes.
const SORTS: [Sort; 15] = [
    sort(
        "invalid",
        400,
        "Bad Request",
        "The request is not as described, or does not fit the app's definitions.",
    ),
    sort(
        "unauthenticated",
        401,
        "Unauthorized",
        "No key, or one that is not known, has expired or was revoked.",
    ),
    sort(
        "denied",
        403,
        "Forbidden",
        "The key's role or grants do not allow it, a label of the data forbids it, the key is of another app, or the call comes from a page of an origin that may not send calls.",
    ),
    sort(
        "not_found",
        404,
        "Not Found",
        "There is no such app, tag, crowd, run, key, upload or path.",
    ),
    sort("method_not_allowed", 405, "Method Not Allowed", "The path does not take the method."),
    sort("timeout", 408, "Request Timeout", "The request did not come in time."),
    sort(
        "conflict",
        409,
        "Conflict",
        "Somebody else changed the same thing, or what it needs is busy: try again.",
    ),
    sort(
        "gone",
        410,
        "Gone",
        "The change feed does not keep the records that were asked for any more: read the current values, then follow from the latest.",
    ),
    sort("too_large", 413, "Content Too Large", "The body is larger than the call takes."),
    sort(
        "unsupported_media_type",
        415,
        "Unsupported Media Type",
        "The body is of another content type or encoding than the call takes.",
    ),
    sort(
        "too_many_requests",
        429,
        "Too Many Requests",
        "More calls a second, more at once, or more kept, than the key may have.",
    ),
    sort(
        "internal",
        500,
        "Internal Server Error",
        "A fault of the server; the detail and the server's log say more.",
    ),
    sort(
        "corrupt",
        500,
        "Internal Server Error",
        "Stored data is damaged; the detail names the file.",
    ),
    sort(
        "out_of_space",
        507,
        "Insufficient Storage",
        "Files that wait to be ingested hold as much as they may, or the disk is full.",
    ),
    sort(
        "unavailable",
        503,
        "Service Unavailable",
        "What the call needs does not answer now: try again later.",
    ),
];

/// Keyless routes answer with fewer statuses.
const KEYLESS: [u16; 6] = [405, 408, 413, 429, 500, 503];

fn words() -> openapi::schema::Object {
    openapi::schema::ObjectBuilder::new()
        .schema_type(openapi::schema::Type::String)
        .description(Some("What sort of error, as a stable word."))
        .enum_values(Some(SORTS.iter().map(|sort| sort.word)))
        .build()
}

/// `404` → `NotFound`, the name of its description.
fn component(sort: &Sort) -> String {
    sort.title.replace(' ', "")
}

/// The errors that any route with a key may answer with, each by reference to its description in
/// [`descriptions`].
impl utoipa::IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        SORTS
            .iter()
            .map(|sort| (sort.status.to_string(), Ref::from_response_name(component(sort)).into()))
            .collect()
    }
}

/// Those of the tracking API refuse an invalid body, a page of another origin and a missing key.
const KEYLESS_CALL: [u16; 10] = [400, 403, 404, 405, 408, 413, 415, 429, 500, 503];

/// The errors of routes that need no key.
pub(crate) struct KeylessProblem;

/// The errors of routes of the tracking API that need no key.
pub(crate) struct KeylessCallProblem;

fn responses_of(statuses: &[u16]) -> BTreeMap<String, RefOr<openapi::Response>> {
    let mut responses = <Problem as utoipa::IntoResponses>::responses();
    responses.retain(|status, _| statuses.iter().any(|kept| kept.to_string() == *status));
    responses
}

impl utoipa::IntoResponses for KeylessProblem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        responses_of(&KEYLESS)
    }
}

impl utoipa::IntoResponses for KeylessCallProblem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        responses_of(&KEYLESS_CALL)
    }
}

/// The schemas that [`descriptions`] name.
pub(crate) fn schemas() -> Vec<(String, RefOr<openapi::Schema>)> {
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    schemas.push((FlagFailure::name().into_owned(), FlagFailure::schema()));
    schemas
}

/// The description of each error status, for `components.responses`.
pub(crate) fn descriptions() -> BTreeMap<String, RefOr<openapi::Response>> {
    let mut described = BTreeMap::from([crate::flag_failure::description()]);
    for sort in &SORTS {
        let whens: Vec<&str> = SORTS
            .iter()
            .filter(|other| other.status == sort.status)
            .map(|other| other.when)
            .collect();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response =
            ResponseBuilder::new().description(whens.join(" ")).content(PROBLEM_JSON, content);
        let header = |about: &str| {
            HeaderBuilder::new()
                .schema(Some(openapi::schema::Object::with_type(openapi::schema::Type::String)))
                .description(Some(about))
                .build()
        };
        match sort.status {
            401 => response = response.header("WWW-Authenticate", header("How to send a key.")),
            429 | 503 => {
                response =
                    response.header("Retry-After", header("Seconds until it is worth another try."))
            }
            405 => response = response.header("Allow", header("The methods that the path takes.")),
            _ => {}
        }
        described.insert(component(sort), response.build().into());
    }
    described
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let word = match kind {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Denied => "denied",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Internal => "internal",
        };
        Self::of_sort(|sort| sort.word == word, detail)
    }

    fn of_sort(wanted: impl Fn(&Sort) -> bool, detail: impl Into<String>) -> Self {
        let internal = sort("internal", 500, "Internal Server Error", "");
        let sort = SORTS.iter().find(|sort| wanted(sort)).unwrap_or(&internal);
        Self {
            kind: sort.word,
            status: sort.status,
            title: sort.title,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// The problem of a status that something under the routes answered with.
    pub(crate) fn of_status(status: StatusCode, detail: impl Into<String>) -> Self {
        let class = if status.is_client_error() { 400 } else { 500 };
        let known = SORTS.iter().any(|sort| sort.status == status.as_u16());
        Self::of_sort(|sort| sort.status == if known { status.as_u16() } else { class }, detail)
    }

    /// No key, or one that is not known.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::of_status(StatusCode::UNAUTHORIZED, detail)
    }

    /// A body that does not say that it is JSON.
    pub(crate) fn not_json() -> Self {
        let detail = "the body must be JSON: send the header `Content-Type: application/json`";
        Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// A path that exists, called otherwise.
    pub fn method_not_allowed() -> Self {
        Self::of_status(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method; /api/v1/openapi.json lists what it takes",
        )
    }

    /// The problem of a body that could not be read. A body that timed out has a status of its own.
    pub(crate) fn of_body(
        status: StatusCode,
        error: &(dyn std::error::Error + 'static),
        detail: impl Into<String>,
    ) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error
                .downcast_ref::<std::io::Error>()
                .filter(|error| error.kind() == std::io::ErrorKind::TimedOut)
            {
                return Self::of_status(StatusCode::REQUEST_TIMEOUT, error.to_string());
            }
            cause = error.source();
        }
        Self::of_status(status, detail)
    }

    /// A body over its limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::of_status(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }
}

/// Turns an error answer into a problem if it is not one yet, such as the answer of a layer below
/// the routes. Its other headers are kept.
pub(crate) async fn only_problems(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let said =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON)
            || response.extensions().get::<SaidOtherwise>().is_some();
    if !is_error || said {
        return response;
    }
    let detail = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "the body's encoding is not known here: send it plain, or a tracking call with gzip"
                .to_owned()
        }
        _ => SORTS
            .iter()
            .find(|sort| sort.status == status.as_u16())
            .map_or_else(|| status.to_string(), |sort| sort.when.to_owned()),
    };
    let (mut parts, _) = response.into_parts();
    let (problem, body) = Problem::of_status(status, detail).into_response().into_parts();
    parts.status = problem.status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, Body::new(body))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status >= 500 {
            tracing::error!(status = self.status, detail = self.detail, "request failed");
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let more = match self.status {
            401 => Some((header::WWW_AUTHENTICATE, "Bearer, Basic realm=\"taghouse\"")),
            408 => Some((header::CONNECTION, "close")),
            // What is short now, such as room on the disk, may be there in a moment.
            429 | 503 => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A crate's error becomes a problem by its kind; the crate's message is already written for
/// people.
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
    taghouse_index::Error,
    taghouse_ingest::Error,
    taghouse_lake::Error,
    taghouse_log::Error,
    taghouse_users::Error,
);

/// With the places of definitions that are refused.
impl From<taghouse_engine::Error> for Problem {
    fn from(error: taghouse_engine::Error) -> Self {
        let mut problem = Self::new(error.kind(), error.to_string());
        if let taghouse_engine::Error::Refused(places) = error {
            let place = |at: DefinitionError| Place {
                path: at.path,
                line: at.line,
                column: at.column,
                message: at.message,
            };
            problem.errors = places.into_iter().map(place).collect();
        }
        problem
    }
}

impl From<taghouse_ingest::CallError> for Problem {
    fn from(error: taghouse_ingest::CallError) -> Self {
        if error.too_large {
            Self::too_large(error.message)
        } else {
            Self::new(ErrorKind::Invalid, error.message)
        }
    }
}

impl From<taghouse_model::Invalid> for Problem {
    fn from(error: taghouse_model::Invalid) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}
