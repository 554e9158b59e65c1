//! Changes of a user's flags, told as OFREP has it: by server-sent events that say to evaluate again.
//!
//! Source: <https://github.com/open-feature/protocol>, `service/event-streams.yaml` and its ADR 8.

use super::flags::app_of;
use crate::access::{Action, Admitted, Caller, authenticate_flag, let_in_as};
use crate::extract::Query;
use crate::flags::{Ticket, Watch, etag, every};
use crate::shape::EventStream;
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::{AppId, ErrorKind, check_user_id};
use taghouse_wire::FlagEvent;
use taghouse_wire::shape::UserId;

/// Where the events are, below `/ofrep/v1`.
pub(crate) const EVENTS_PATH: &str = "/events";

/// How often a reader who is told nothing is told that the connection is alive. The flags are looked
/// at each time, whatever woke nobody.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long it takes until what the feed tells is in the snapshot that answers, with much to spare: a
/// snapshot is made every 100 ms. Changes of that time are one event.
const SETTLED: [Duration; 2] = [Duration::from_millis(120), Duration::from_millis(500)];

/// Whose flags are followed. What providers are given has all but `limit`.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The user id.
    #[param(value_type = UserId)]
    user: String,
    /// The app. With a key of one app, that one.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: Option<String>,
    /// The id of the key that signed this address.
    key: Option<String>,
    /// The signature, which takes the place of a key.
    signature: Option<String>,
    /// End after so many events.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// Lets in whoever has a ticket, or a key as for flags.
pub(crate) async fn authenticate_events(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    if headers.contains_key(header::AUTHORIZATION) || headers.contains_key("X-API-Key") {
        return authenticate_flag(State(server), request, next).await;
    }
    let (mut parts, body) = request.into_parts();
    let query: Query<EventsQuery> = Query::from_request_parts(&mut parts, &()).await?;
    let EventsQuery { user, app, key, signature, .. } = query.0;
    let (Some(app), Some(key), Some(signature)) = (app, key, signature) else {
        return Err(Problem::unauthenticated(
            "no key: take the address from `eventStreams` in the answer of /ofrep/v1/evaluate/flags as it is, or send a key",
        ));
    };
    let ticket = Ticket::read(&app, user, key, signature)?;
    let now_ms = server.engine.clock.now_ms();
    let caller = server.keys.holder(&ticket, now_ms).ok_or_else(|| {
        Problem::unauthenticated(
            "the signature of this address is not of a key that works: evaluate all flags again for another address",
        )
    })?;
    let left = server.keys.take(&caller.id, now_ms)?;
    let_in_as(&server, Admitted { caller, left }, Request::from_parts(parts, body), next).await
}

/// Tells when the flags of a user are not what they were (OFREP): the data of each event is a
/// FlagEvent, its id the `ETag` of the flags. The first event comes at once, unless `Last-Event-ID` says
/// that the reader has the flags as they are. Providers take the address from `eventStreams`, where
/// it is signed and needs no key.
#[utoipa::path(get, path = "/events", operation_id = "follow_flags", tag = "flags",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen.")),
    responses((status = 200, description = "Events; the data of each is a FlagEvent.", content((inline(EventStream) = "text/event-stream"))), Problem))]
pub(crate) async fn follow(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    if query.limit == Some(0) {
        return Err(Problem::new(ErrorKind::Invalid, "limit must be over 0"));
    }
    check_user_id(&query.user)?;
    let app = match &query.app {
        Some(app) => AppId::new(app)?,
        None => app_of(&server.engine, &caller, &headers).await?,
    };
    caller.may_in_part(Action::Judge, &app)?;
    // What no event can come of is said at once.
    every(&server.engine, &caller, &app, &query.user).await?;
    let own = server.engine.identities.user_of(&app, &query.user).await.into_owned();
    let watch = server.watches.watch(&server.engine, &app, &own);
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let told = seen.filter(|id| !id.is_empty()).map(str::to_owned);
    let secret = server.keys.secret_hash(&caller.id);
    let EventsQuery { user, limit, .. } = query;
    let events =
        Events { server, app, user, caller, secret, watch, told, left: limit, begun: false };
    let unbuffered = [("x-accel-buffering", "no"), ("cache-control", "no-store")];
    Ok((unbuffered, Sse::new(events.stream())).into_response())
}

/// The events of one user's flags.
struct Events {
    server: Arc<Server>,
    app: AppId,
    user: String,
    /// Whom the key let in, by what it may now.
    caller: Caller,
    /// The hash of the key's secret as it was then: with another one, the reader comes again.
    secret: Option<[u8; 32]>,
    watch: Watch,
    /// The id told last.
    told: Option<String>,
    /// So many events, and it is over; `None`: no end.
    left: Option<u64>,
    begun: bool,
}

impl Events {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut events| async move {
            let event = events.next().await?;
            Some((Ok(event), events))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.left == Some(0) {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Some(event) = self.changed().await
        {
            return Some(event);
        }
        loop {
            let woken = tokio::time::timeout(ALIVE_EVERY, self.watch.woken()).await;
            // Also while nothing changes: whoever lost the key hears nothing more.
            let now_ms = self.server.engine.clock.now_ms();
            let keys = &self.server.keys;
            self.caller = keys.caller_of_key(&self.caller.id, now_ms)?;
            if keys.secret_hash(&self.caller.id) != self.secret {
                return None;
            }
            match woken {
                Ok(false) => return None,
                Ok(true) => {
                    for settled in SETTLED {
                        tokio::time::sleep(settled).await;
                        if let Some(event) = self.changed().await {
                            return Some(event);
                        }
                    }
                }
                Err(_) => {
                    let alive = || Event::default().comment("alive");
                    return Some(self.changed().await.unwrap_or_else(alive));
                }
            }
        }
    }

    /// An event, if the flags are not what was told last. Where they cannot be evaluated, the next
    /// look may.
    async fn changed(&mut self) -> Option<Event> {
        let flags = every(&self.server.engine, &self.caller, &self.app, &self.user).await.ok()?;
        let etag = etag(&flags);
        let id = etag.trim_matches('"').to_owned();
        if self.told.as_ref() == Some(&id) {
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        let data = FlagEvent { kind: "refetchEvaluation".into(), etag };
        // Two texts: it cannot fail.
        let data = serde_json::to_string(&data).unwrap_or_default();
        let event = Event::default().event("message").id(&id).data(data);
        self.told = Some(id);
        Some(event)
    }
}
