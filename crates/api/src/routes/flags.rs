//! Crowds as feature flags: the OpenFeature Remote Evaluation Protocol (OFREP), version 0.3. A flag
//! is a crowd, and on for the users who are in it.
//!
//! Source: <https://github.com/open-feature/protocol>, `service/openapi.yaml`.

use crate::access::{Action, Caller};
use crate::extract::is_json;
use crate::flag_failure::{FlagError, FlagProblem};
use crate::flags::{Ticket, etag, evaluated, every};
use crate::guard::Want;
use crate::position::{AT_LEAST_HEADER, at_least_of};
use crate::routes::flag_events::EVENTS_PATH;
use crate::routes::judge::held;
use crate::{Problem, Server};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind, Name, check_user_id};
use taghouse_rules::did_you_mean;
use taghouse_wire::{
    EventStreamBody, EventStreamEndpoint, FlagBody, FlagList, FlagListMetadata, FlagRequest,
};

/// The header that names the app, for keys of all apps.
pub(crate) const APP_HEADER: &str = "Taghouse-App";

/// The flag in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FlagPath {
    /// The crowd's name.
    key: String,
}

/// What headers may say.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "only described")]
pub(crate) struct FlagHeaders {
    /// The app, where the key is of all apps and there are several.
    #[param(rename = "Taghouse-App", pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: Option<String>,
    /// The answer must hold what was acknowledged with this position of the log, which writes return
    /// as `Taghouse-Position`. Of live crowds only.
    #[param(rename = "Taghouse-At-Least")]
    at_least: Option<u64>,
}

/// The same where all flags are asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "only described")]
pub(crate) struct AllFlagsHeaders {
    /// The app, where the key is of all apps and there are several.
    #[param(rename = "Taghouse-App", pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: Option<String>,
    /// The ETag of an answer that the caller has.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What providers send along that were told of a change.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described: flags are evaluated as they are now, whoever asks")]
pub(crate) struct RefetchQuery {
    /// The `etag` of the event.
    #[param(rename = "flagConfigEtag")]
    flag_config_etag: Option<String>,
    /// The `lastModified` of an event. Events of this server have none.
    #[param(rename = "flagConfigLastModified")]
    flag_config_last_modified: Option<String>,
}

/// Where to be told that the flags of a user changed.
fn event_streams(
    server: &Server,
    caller: &Caller,
    app: &AppId,
    user: &str,
) -> Vec<EventStreamBody> {
    let ticket = server.keys.ticket(caller, app, user);
    let body = |ticket: Ticket| EventStreamBody {
        kind: "sse".into(),
        endpoint: EventStreamEndpoint {
            request_uri: format!("/ofrep/v1{EVENTS_PATH}?{}", ticket.query()),
        },
    };
    ticket.map(body).into_iter().collect()
}

/// The body of a call, which says that it is JSON.
pub(crate) struct Context(Bytes);

impl<S: Send + Sync> FromRequest<S> for Context {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::not_json());
        }
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

/// Evaluates a crowd as a flag for a user (OFREP). The key may also be sent as `X-API-Key`.
#[utoipa::path(post, path = "/evaluate/flags/{key}", operation_id = "evaluate_flag", tag = "flags",
    params(FlagPath, FlagHeaders), request_body = FlagRequest,
    responses((status = 200, description = "The flag.", body = FlagBody), FlagProblem))]
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<FlagPath>, PathRejection>,
    headers: HeaderMap,
    body: Context,
) -> Result<Response, FlagError> {
    let Path(FlagPath { key }) = path.map_err(|rejection| FlagError::of(rejection.into(), None))?;
    let of_flag = |problem: Problem| FlagError::of(problem, Some(&key));
    let app = app_of(&engine, &caller, &headers).await.map_err(of_flag)?;
    let user = user_of(&body.0, Some(&key))?;
    let definitions = engine.definitions(&app).await.map_err(|error| of_flag(error.into()))?;
    caller.guard(&definitions).crowd(&key, Want::Judge).map_err(of_flag)?;
    let Some(crowd) = definitions.crowds.get(key.as_str()) else {
        let hint = did_you_mean(&key, definitions.crowds.keys().map(Name::as_str));
        return Err(FlagError::not_found(
            &key,
            format!("there is no crowd `{key}` in app {app}{hint}"),
        ));
    };
    let at_least = at_least_of(&headers).map_err(of_flag)?;
    let crowds = std::slice::from_ref(&key);
    let position = held(&engine, &definitions, at_least, crowds, &[]).await.map_err(of_flag)?;
    let mut flag = evaluated(&engine, &definitions, crowd, &user).await.map_err(of_flag)?;
    flag.metadata.position = position;
    engine.sum_read(&caller.id, &app, "judge", 1, [key.as_str()].into_iter());
    Ok(axum::Json(flag).into_response())
}

/// Evaluates all crowds of the app as flags for a user (OFREP). The key may also be sent as
/// `X-API-Key`. Of an app with more than 1,000 crowds each flag is asked for alone.
#[utoipa::path(post, path = "/evaluate/flags", operation_id = "evaluate_flags", tag = "flags",
    params(AllFlagsHeaders, RefetchQuery), request_body = FlagRequest,
    responses((status = 200, description = "The flags.", body = FlagList, headers(("ETag" = String, description = "Changes with a flag's value or version."))),
        (status = 304, description = "The flags are as the caller has them."), FlagProblem))]
pub(crate) async fn all(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Context,
) -> Result<Response, FlagError> {
    let of_all = |problem: Problem| FlagError::of(problem, None);
    if headers.contains_key(&AT_LEAST_HEADER) {
        let detail = "Taghouse-At-Least is for one flag, of a live crowd: evaluate that flag alone";
        return Err(of_all(Problem::new(ErrorKind::Invalid, detail)));
    }
    let app = app_of(&server.engine, &caller, &headers).await.map_err(of_all)?;
    let user = user_of(&body.0, None)?;
    let flags = every(&server.engine, &caller, &app, &user).await.map_err(of_all)?;
    let tag = etag(&flags);
    let tag_header = HeaderValue::from_str(&tag)
        .map_err(|error| of_all(Problem::new(ErrorKind::Internal, format!("the ETag: {error}"))))?;
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| names(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag_header)]).into_response());
    }
    let event_streams = event_streams(&server, &caller, &app, &user);
    let list =
        FlagList { flags, metadata: FlagListMetadata { app: app.to_string() }, event_streams };
    Ok(([(header::ETAG, tag_header)], axum::Json(list)).into_response())
}

/// The key's app; with a key of all apps the one that the header names, or the only one.
pub(super) async fn app_of(
    engine: &Engine,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<AppId, Problem> {
    caller.has_role(Action::Judge)?;
    let named = headers.get(APP_HEADER).map(|named| String::from_utf8_lossy(named.as_bytes()));
    let app = match (named, &caller.app) {
        (Some(named), _) => AppId::new(&named)?,
        (None, Some(own)) => own.clone(),
        (None, None) => engine.only_app().await?.ok_or_else(|| {
            let detail = format!(
                "this key is of all apps: name one in the header {APP_HEADER}, or use a key of one app"
            );
            Problem::new(ErrorKind::Invalid, detail)
        })?,
    };
    caller.may_in_part(Action::Judge, &app)?;
    Ok(app)
}

/// The user of the context.
fn user_of(body: &[u8], key: Option<&str>) -> Result<String, FlagError> {
    let refused = |code, detail: String| Err(FlagError::refused(code, key, detail));
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => return refused("PARSE_ERROR", format!("the body is not JSON: {error}")),
    };
    let user = match body.get("context") {
        None if body.is_object() => None,
        Some(Value::Object(context)) => context.get("targetingKey"),
        _ => {
            let detail = "the body must be an object with an object `context`".to_owned();
            return refused("INVALID_CONTEXT", detail);
        }
    };
    let missing = "the context has no targetingKey: send the user id as one".to_owned();
    match user {
        None | Some(Value::Null) => refused("TARGETING_KEY_MISSING", missing),
        Some(Value::String(user)) if user.is_empty() => refused("TARGETING_KEY_MISSING", missing),
        Some(Value::String(user)) => match check_user_id(user) {
            Ok(user) => Ok(user.to_owned()),
            Err(error) => refused("INVALID_CONTEXT", format!("targetingKey: {error}")),
        },
        Some(_) => {
            refused("INVALID_CONTEXT", "targetingKey must be a text: the user id".to_owned())
        }
    }
}

/// Whether an `If-None-Match` names the tag. A weak tag is as good: what a proxy has compressed.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    let of = |known: &str| {
        let known = known.trim();
        // Some providers send the tag without its quotes.
        known == "*"
            || known.trim_start_matches("W/") == tag
            || (!known.is_empty() && known == tag.trim_matches('"'))
    };
    known.split(',').any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_every_form() {
        let cases = [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", \"ab\"", true),
            ("*", true),
            ("ab", true),
            ("\"a\"", false),
            ("", false),
        ];
        for (known, expected) in cases {
            assert_eq!(names(&HeaderValue::from_static(known), "\"ab\""), expected, "{known}");
        }
    }

    #[test]
    fn the_user_is_the_targeting_key() {
        assert_eq!(user_of(br#"{"context": {"targetingKey": "u1", "x": 1}}"#, None).unwrap(), "u1");
        let cases = [
            ("", "PARSE_ERROR"),
            ("{", "PARSE_ERROR"),
            ("[]", "INVALID_CONTEXT"),
            ("{}", "TARGETING_KEY_MISSING"),
            (r#"{"context": []}"#, "INVALID_CONTEXT"),
            (r#"{"context": {}}"#, "TARGETING_KEY_MISSING"),
            (r#"{"context": {"targetingKey": null}}"#, "TARGETING_KEY_MISSING"),
            (r#"{"context": {"targetingKey": ""}}"#, "TARGETING_KEY_MISSING"),
            (r#"{"context": {"targetingKey": 7}}"#, "INVALID_CONTEXT"),
        ];
        for (body, code) in cases {
            let error = user_of(body.as_bytes(), Some("a")).unwrap_err();
            assert_eq!(error.code(), Some(code), "{body}");
        }
    }
}
