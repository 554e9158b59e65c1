//! What handlers take from a request. axum's own extractors answer wrong input with plain text, and
//! read a list as an object; these answer with problem details that name the field, and take
//! objects only.

use crate::Problem;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use taghouse_model::ErrorKind;
use taghouse_wire::reading::Object;

/// A JSON body: in, an object; out, anything.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::not_json());
        }
        let bytes = Bytes::from_request(request, state).await?;
        let Object(value) = parse(&bytes)?;
        Ok(Self(value))
    }
}

/// Whether the header says JSON, `application/json` or a kind of it such as `application/ld+json`.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(given)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|kind| kind.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let wrong = |place: &str, error: &serde_json::Error| {
        let said = error.to_string();
        let message = if said.starts_with("recursion limit exceeded") {
            "nested too deep: JSON of more than 128 levels is not read; write an expression as text, or with fewer brackets".to_owned()
        } else {
            with_suggestion(&said)
        };
        let detail = if place == "." {
            format!("the body: {message}")
        } else {
            format!("the body, at {place}: {message}")
        };
        Problem::new(ErrorKind::Invalid, detail)
    };
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| wrong(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| wrong(".", &error))?;
    Ok(value)
}

/// Adds a suggestion to serde's "unknown field" and "unknown variant", which name the word and the
/// known ones.
fn with_suggestion(message: &str) -> String {
    let unknown = ["unknown field `", "unknown variant `"]
        .iter()
        .find_map(|start| message.split_once(start).map(|(_, rest)| rest));
    let Some((word, rest)) = unknown.and_then(|rest| rest.split_once('`')) else {
        return message.to_owned();
    };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    format!("{message}{}", taghouse_rules::did_you_mean(word, known))
}

/// The path's parts.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// The query's parts.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

macro_rules! from_rejection {
    ($($rejection:ty),+) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                let status = rejection.status();
                // What axum calls unprocessable is invalid like the rest.
                let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
                Self::of_status(status, rejection.body_text())
            }
        })+
    };
}

from_rejection!(PathRejection);

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::of_body(rejection.status(), &rejection, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Self::of_status(StatusCode::BAD_REQUEST, format!("the query: {}", with_suggestion(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use taghouse_wire::reading::{object, objects, whole};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Axis {
        tag: String,
        #[serde(default, deserialize_with = "whole")]
        limit: Option<u32>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Body {
        #[serde(deserialize_with = "object")]
        rows: Axis,
        #[serde(default, deserialize_with = "objects")]
        more: Vec<Axis>,
        #[serde(default, deserialize_with = "whole")]
        seed: Option<u64>,
    }

    #[test]
    fn objects_are_taken_and_nothing_else() {
        let cases = [
            (r#"{"rows": {"tag": "a"}}"#, None),
            (r#"{"rows": {"tag": "a", "limit": null}, "more": [{"tag": "b"}]}"#, None),
            (r#"[{"tag": "a"}, []]"#, Some("the body: invalid type: sequence, expected an object")),
            ("null", Some("the body: invalid type: null, expected an object")),
            (r#"{"rows": ["a", 1]}"#, Some("at rows: invalid type: sequence, expected an object")),
            (
                r#"{"rows": {"tag": "a"}, "more": [{"tag": "b"}, ["c", null]]}"#,
                Some("at more[1]: invalid type: sequence, expected an object"),
            ),
            (
                r#"{"rows": {"tag": "a", "limt": 1}}"#,
                Some("at rows.limt: unknown field `limt`, expected `tag` or `limit`"),
            ),
            (r#"{"rows": {"tag": "a", "limt": 1}}"#, Some("; did you mean `limit`?")),
            (r#"{"rows": {"tag": "a", "limit": 1000.0}}"#, None),
            (
                r#"{"rows": {"tag": "a", "limit": 1.5}}"#,
                Some("at rows.limit: invalid value: floating point `1.5`, expected a whole number"),
            ),
            (
                r#"{"rows": {"tag": "a", "limit": -1}}"#,
                Some("at rows.limit: invalid type: integer `-1`, expected a whole number"),
            ),
            (
                r#"{"rows": {"tag": "a", "limit": 4294967296}}"#,
                Some("at rows.limit: 4294967296 is too large"),
            ),
            (r#"{"rows": {"tag": "a"}, "seed": 9223372036854775807}"#, None),
            (
                r#"{"rows": {"tag": "a"}, "seed": 9223372036854775808}"#,
                Some("at seed: 9223372036854775808 is too large"),
            ),
            (
                r#"{"rows": {"tag": "a", "limit": "1"}}"#,
                Some("at rows.limit: invalid type: string \"1\", expected a whole number"),
            ),
            (r#"{"rows": {"tag": "a", "tag": "b"}}"#, Some("duplicate field `tag`")),
            (r#"{"rows": {"tag": "a"}} x"#, Some("the body: trailing characters")),
            (r#"{"rows": "#, Some("EOF")),
            ("", Some("EOF")),
        ];
        for (json, wrong) in cases {
            let said = parse::<Object<Body>>(json.as_bytes()).err().map(|problem| problem.detail);
            match wrong {
                None => assert_eq!(said, None, "{json}"),
                Some(words) => assert!(
                    said.as_deref().is_some_and(|said| said.contains(words)),
                    "{json}: {said:?}"
                ),
            }
        }
    }

    #[test]
    fn json_is_known_by_its_header() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("text/x+json", false),
            ("", false),
        ];
        for (given, expected) in cases {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, given.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{given}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
