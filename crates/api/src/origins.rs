//! Which web pages may send live calls. A page contains a write key that anybody can read. Other
//! pages cannot use it in the name of their visitors, because browsers send the origin along.

use crate::Problem;
use crate::position::POSITION_HEADER;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::ErrorKind;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// For how long a browser may remember that a page may send calls.
const REMEMBERED: Duration = Duration::from_secs(7200);

/// The origins of web pages that may send live calls. [`Default`] is every one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebOrigins(Option<Arc<[Pattern]>>);

/// `https://shop.example.com`, or `https://*.example.com` for every name below.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// The part before the star, or everything if there is no star.
    start: String,
    /// What comes after the star: the dot and the name.
    end: Option<String>,
}

impl FromStr for WebOrigins {
    type Err = String;

    /// Reads `*`, `none`, or origins by comma.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self(None)),
            "none" => Ok(Self(Some(Arc::default()))),
            list => Ok(Self(Some(
                list.split(',')
                    .map(|origin| Pattern::read(origin.trim()))
                    .collect::<Result<_, _>>()?,
            ))),
        }
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a valid origin: write it like https://shop.example.com or https://*.example.com, without a path; * allows all, none allows none"
            )
        };
        let lower = text.to_ascii_lowercase();
        let (scheme, host) = lower.split_once("://").ok_or_else(wrong)?;
        let is_host =
            |host: &str| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']);
        let pattern = match host.strip_prefix('*') {
            Some(below) if below.len() > 1 && below.starts_with('.') && is_host(below) => {
                Self { start: format!("{scheme}://"), end: Some(below.to_owned()) }
            }
            None if is_host(host) => Self { start: lower.clone(), end: None },
            _ => return Err(wrong()),
        };
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if is_scheme { Ok(pattern) } else { Err(wrong()) }
    }

    fn matches(&self, origin: &str) -> bool {
        match &self.end {
            None => origin == self.start,
            Some(end) => origin
                .strip_prefix(&self.start)
                .and_then(|host| host.strip_suffix(end))
                .is_some_and(|name| !name.is_empty()),
        }
    }
}

impl WebOrigins {
    fn allow(&self, origin: &HeaderValue) -> bool {
        let Some(patterns) = &self.0 else { return true };
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else { return false };
        patterns.iter().any(|pattern| pattern.matches(&origin))
    }

    /// Answers preflights, and lets pages of these origins read the answers.
    pub(crate) fn layer(&self) -> CorsLayer {
        let of = self.clone();
        let origins = if of.0.is_none() {
            AllowOrigin::any()
        } else {
            AllowOrigin::predicate(move |origin, _| of.allow(origin))
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::RETRY_AFTER, header::ETAG, POSITION_HEADER])
            .max_age(REMEMBERED)
    }
}

/// Refuses calls from pages of other origins. Without this a browser would still send them, and
/// only hide the answer from the page.
pub(crate) async fn refuse_other_origins(
    State(origins): State<WebOrigins>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match request.headers().get(header::ORIGIN) {
        Some(origin) if !origins.allow(origin) => {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            let detail = format!(
                "pages of {origin} may not send calls here: add it to the server's --web-origins"
            );
            Err(Problem::new(ErrorKind::Denied, detail))
        }
        _ => Ok(next.run(request).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_allowed_as_written() {
        let cases = [
            ("*", "https://any.example", true),
            ("*", "null", true),
            ("none", "https://any.example", false),
            ("https://shop.example.com", "https://shop.example.com", true),
            ("https://Shop.example.com", "https://shop.EXAMPLE.com", true),
            ("https://shop.example.com", "http://shop.example.com", false),
            ("https://shop.example.com", "https://shop.example.com:8443", false),
            ("https://shop.example.com", "https://shop.example.com.evil.example", false),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com:8443", "https://a.example.com:8443", true),
            ("https://a.example , http://localhost:3000", "http://localhost:3000", true),
            ("https://a.example,http://localhost:3000", "null", false),
            ("capacitor://localhost", "capacitor://localhost", true),
        ];
        for (origins, origin, expected) in cases {
            let read: WebOrigins = origins.parse().unwrap();
            assert_eq!(read.allow(&origin.parse().unwrap()), expected, "{origins} {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "shop.example.com",
            "https://",
            "https://a.example/",
            "https://a.example/x",
            "https://*",
            "https://*example.com",
            "https://a.*.com",
            "a b://c",
            "https://a.example,*",
            "https://*.",
        ] {
            let error = text.parse::<WebOrigins>().unwrap_err();
            assert!(error.contains("is not a valid origin"), "{text}: {error}");
        }
    }
}
