//! What Segment's libraries for browsers and phones ask first: where their calls go, and to what
//! else (to nothing).

use crate::extract::Path;
use crate::problem::KeylessCallProblem;
use crate::{Problem, Server};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header, uri::Authority};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use taghouse_model::ErrorKind;

/// A write key in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct WriteKey {
    /// A key of role `write`. It is public, as everything in a web page is.
    write_key: String,
}

/// For how long a browser may keep the answer, and only for itself: the next one may have come by
/// another name of this server.
const KEPT: &str = "private, max-age=300";

/// The settings of a source, as Segment's libraries for browsers and phones ask for them: calls go
/// to this server, by the name and scheme by which it was reached, no other destination is loaded,
/// and no metrics are sent. Behind a proxy the name and scheme are those of the
/// headers `X-Forwarded-Host` and `X-Forwarded-Proto`. Needs no other key.
#[utoipa::path(get, path = "/projects/{write_key}/settings", operation_id = "get_tracking_settings", tag = "tracking", security(()),
    params(WriteKey),
    responses((status = 200, description = "The settings.", body = Object), KeylessCallProblem))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    Path(WriteKey { write_key }): Path<WriteKey>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    if !server.keys.is_write_key(&write_key, server.engine.clock.now_ms()) {
        let detail = "there is no such write key; an admin makes one with `taghouse keys create --role write`";
        return Err(Problem::new(ErrorKind::NotFound, detail));
    }
    Ok(([(header::CACHE_CONTROL, KEPT)], Json(settings(&write_key, Reached::by(&uri, &headers)))))
}

/// By what name this server was reached.
struct Reached {
    host: String,
    protocol: &'static str,
}

impl Reached {
    fn by(uri: &Uri, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        // Of several proxies the one that the caller speaks with is named first.
        let first = |name: &str| text(name).and_then(|list| list.split(',').next()).map(str::trim);
        // What is not a name of a server is not passed on.
        let named = first("x-forwarded-host")
            .or_else(|| text("host"))
            .filter(|host| host.parse::<Authority>().is_ok());
        let host = named
            .or_else(|| uri.authority().map(Authority::as_str))
            .unwrap_or("localhost")
            .to_owned();
        let is_https = match first("x-forwarded-proto") {
            Some(protocol) => protocol.eq_ignore_ascii_case("https"),
            // A page that came by https may only call what is reached by https too, or on its own
            // machine.
            None => {
                text("origin").is_some_and(|origin| origin.starts_with("https://"))
                    && !is_this_machine(&host)
            }
        };
        Self { host, protocol: if is_https { "https" } else { "http" } }
    }
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn settings(write_key: &str, reached: Reached) -> Value {
    let Reached { host, protocol } = reached;
    json!({
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": format!("{host}/v1"),
                "protocol": protocol,
                "unbundledIntegrations": [],
                "addBundledMetadata": true,
                "maybeBundledConfigIds": {},
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            },
        },
        "plan": {"track": {"__default": {"enabled": true, "integrations": {}}}},
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn calls_go_where_the_caller_came_from() {
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[("host", "127.0.0.1:7700")], "http://127.0.0.1:7700"),
            (
                &[("host", "tags.example.com"), ("origin", "http://shop.example.com")],
                "http://tags.example.com",
            ),
            (
                &[("host", "tags.example.com"), ("origin", "https://shop.example.com")],
                "https://tags.example.com",
            ),
            (
                &[("host", "localhost:7700"), ("origin", "https://shop.example.com")],
                "http://localhost:7700",
            ),
            (
                &[("host", "[::1]:7700"), ("origin", "https://shop.example.com")],
                "http://[::1]:7700",
            ),
            (
                &[
                    ("host", "10.0.0.1"),
                    ("x-forwarded-host", "t.example.com, inner"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://t.example.com",
            ),
            (
                &[
                    ("host", "10.0.0.1"),
                    ("x-forwarded-proto", "http"),
                    ("origin", "https://shop.example.com"),
                ],
                "http://10.0.0.1",
            ),
            (&[("host", "a b")], "http://localhost"),
        ];
        for (given, expected) in cases {
            let headers = given
                .iter()
                .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()))
                .collect();
            let Reached { host, protocol } =
                Reached::by(&Uri::from_static("/v1/projects/k/settings"), &headers);
            assert_eq!(format!("{protocol}://{host}"), expected, "{given:?}");
        }
    }
}
