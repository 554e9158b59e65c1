//! Limits on the concurrent calls of each key. Calls beyond a limit are refused at once, so that
//! one key cannot make the others wait.

use crate::access::Caller;
use crate::{Limits, Problem, Server};
use arc_swap::ArcSwap;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_model::AppId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Says that numbers of users in an answer are rounded down to multiples of this.
const MIN_AUDIENCE: HeaderName = HeaderName::from_static("taghouse-min-audience");

/// A class of calls, by their cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Reads bitmaps of many users.
    Question,
    /// Looks up single users.
    Judgment,
    /// Writes to a log.
    Call,
    /// Follows the change feed.
    Subscription,
    /// Follows the flags of a user.
    FlagEvents,
}

impl Lane {
    const ALL: [Self; 5] =
        [Self::Question, Self::Judgment, Self::Call, Self::Subscription, Self::FlagEvents];

    /// The lane of a route; `None`: the route has limits of its own (exports, uploads, runs), or is
    /// cheap.
    fn of(method: &Method, path: &str) -> Option<Self> {
        let Some(of_app) = path.strip_prefix("/api/v1/apps/{app}/") else {
            return match path {
                "/v1/{kind}" => Some(Self::Call),
                "/ofrep/v1/evaluate/flags" | "/ofrep/v1/evaluate/flags/{key}" => {
                    Some(Self::Judgment)
                }
                "/ofrep/v1/events" => Some(Self::FlagEvents),
                _ => None,
            };
        };
        match of_app {
            "tags"
            | "tags/{tag}"
            | "count"
            | "sample"
            | "count/estimate"
            | "count/stream"
            | "list"
            | "top"
            | "group"
            | "histogram"
            | "overlap"
            | "compare"
            | "lookalike"
            | "crowds"
            | "crowds/{crowd}"
            | "crowds/{crowd}/versions"
            | "crowds/{crowd}/difference"
            | "crowds/{crowd}/effect"
            | "crowds/{crowd}/versions/{version}/rows"
            | "sources"
            | "files"
            | "identities"
            | "receipts"
            | "receipts/{id}"
            | "users/{user}/export"
            | "sinks/{sink}/deliveries"
            | "activations"
            | "activations/{activation}/deliveries"
            | "activations/{activation}/deliveries/{delivery}/failed"
            | "sinks/{sink}/dead-letters"
            | "rejected" => Some(Self::Question),
            "judge" | "judge/why" | "profile" | "users/{user}/crowds" => Some(Self::Judgment),
            "suppressions" if method == Method::GET => Some(Self::Question),
            "changes" if method == Method::GET => Some(Self::Subscription),
            "changes"
            | "users/{user}"
            | "users/delete"
            | "identities/link"
            | "identities/unlink"
            | "suppressions"
            | "suppressions/lift"
            | "sinks/{sink}/test"
            | "sinks/{sink}/dead-letters/retry" => Some(Self::Call),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Judgment => "judgment",
            Self::Call => "call",
            Self::Subscription => "subscription",
            Self::FlagEvents => "flag_events",
        }
    }

    fn limit(self, limits: &Limits) -> usize {
        match self {
            Self::Question => limits.questions_per_key,
            Self::Judgment => limits.judgments_per_key,
            Self::Call => limits.calls_per_key,
            Self::Subscription => limits.subscribers_per_key,
            Self::FlagEvents => limits.flag_events_per_key,
        }
    }

    /// What is limited, as a word.
    fn counted(self) -> &'static str {
        match self {
            Self::Question => "questions",
            Self::Judgment => "judgments",
            Self::Call => "calls",
            Self::Subscription => "subscriptions",
            Self::FlagEvents => "flag_events",
        }
    }

    /// What is limited, in words.
    fn what(self) -> &'static str {
        match self {
            Self::Question => "questions under way",
            Self::Judgment => "judgments under way",
            Self::Call => "calls that write under way",
            Self::Subscription => "readers of the change feed",
            Self::FlagEvents => "readers of the events of flags",
        }
    }

    /// What sets the limit.
    fn flag(self) -> &'static str {
        match self {
            Self::Question => "--questions-per-key",
            Self::Judgment => "--judgments-per-key",
            Self::Call => "--calls-per-key",
            Self::Subscription => "--subscribers-per-key",
            Self::FlagEvents => "--flag-events-per-key",
        }
    }

    fn refusal(self, caller: &str, limits: &Limits) -> Problem {
        let (limit, what, flag) = (self.limit(limits), self.what(), self.flag());
        let detail = format!(
            "the key {caller} has {limit} {what}, as many as one key may have: wait until one has ended, or start the server with another {flag}"
        );
        Problem::of_status(StatusCode::TOO_MANY_REQUESTS, detail)
    }
}

/// How many calls of a class are under way.
pub(crate) struct OpenCalls {
    pub(crate) kind: &'static str,
    pub(crate) calls: usize,
}

/// How much of a limit one key uses.
pub(crate) struct OfKey {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) used: usize,
    pub(crate) allowed: usize,
    pub(crate) flag: &'static str,
}

/// One key's lanes.
type Lanes = [Arc<Semaphore>; Lane::ALL.len()];

/// The lanes of every key that was used. Read without a lock: a judgment passes here.
pub(crate) struct Gates {
    pub(crate) limits: Limits,
    by_key: ArcSwap<HashMap<String, Lanes>>,
}

impl Gates {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, by_key: ArcSwap::default() }
    }

    /// A place in the key's lane, until it is dropped.
    pub(crate) fn enter(&self, key: &str, lane: Lane) -> Result<OwnedSemaphorePermit, Problem> {
        let place = lane as usize;
        let known = self.by_key.load().get(key).map(|lanes| lanes[place].clone());
        let lane_of_key = known.unwrap_or_else(|| self.added(key)[place].clone());
        lane_of_key.try_acquire_owned().map_err(|_| lane.refusal(key, &self.limits))
    }

    /// How many calls of each class are under way, of all keys.
    pub(crate) fn open(&self) -> Vec<OpenCalls> {
        let by_key = self.by_key.load();
        let open = |lane: Lane| {
            let limit = lane.limit(&self.limits);
            let taken = by_key
                .values()
                .map(|lanes| limit.saturating_sub(lanes[lane as usize].available_permits()));
            OpenCalls { kind: lane.name(), calls: taken.sum() }
        };
        Lane::ALL.map(open).into()
    }

    /// The calls of each class that a key has under way.
    pub(crate) fn of_key(&self, key: &str) -> Vec<OfKey> {
        let by_key = self.by_key.load();
        let of = |lane: Lane| {
            let allowed = lane.limit(&self.limits);
            let free = by_key.get(key).map(|lanes| lanes[lane as usize].available_permits());
            let used = free.map_or(0, |free| allowed.saturating_sub(free));
            OfKey { name: lane.counted(), about: lane.what(), used, allowed, flag: lane.flag() }
        };
        Lane::ALL.map(of).into()
    }

    /// Once for each key.
    fn added(&self, key: &str) -> Lanes {
        let lanes = Lane::ALL.map(|lane| Arc::new(Semaphore::new(lane.limit(&self.limits))));
        self.by_key.rcu(|known| {
            let mut more = HashMap::clone(known);
            more.entry(key.to_owned()).or_insert_with(|| lanes.clone());
            more
        });
        // Another request may have been first.
        self.by_key.load().get(key).cloned().unwrap_or(lanes)
    }
}

/// Admits a call if its key is below the limit of the lane. A streamed answer counts until its end.
pub(crate) async fn admit(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = request.extensions().get::<MatchedPath>();
    let lane = path.and_then(|path| Lane::of(request.method(), path.as_str()));
    let caller = request.extensions().get::<Caller>();
    let (Some(lane), Some(caller)) = (lane, caller) else { return Ok(next.run(request).await) };
    let place = server.gates.enter(&caller.id, lane)?;
    let path = request.uri().path();
    let app = path.strip_prefix("/api/v1/apps/").and_then(|rest| rest.split('/').next());
    let app = app.filter(|_| lane == Lane::Question).and_then(|app| AppId::new(app).ok());
    let asked = app.map(|app| (app, caller.clone()));
    let mut response = next.run(request).await;
    if let Some((app, caller)) = asked.filter(|_| response.status().is_success())
        && let Ok(definitions) = server.engine.definitions(&app).await
        && let Some(multiple) = caller.guard(&definitions).rounding().multiple()
    {
        response.headers_mut().insert(MIN_AUDIENCE, HeaderValue::from(multiple));
    }
    if response.body().size_hint().exact().is_some() {
        return Ok(response);
    }
    Ok(response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _held = &place;
            chunk
        }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_of_a_kind_and_others_are_not_touched() {
        let gates =
            Gates::new(Limits { questions_per_key: 2, judgments_per_key: 1, ..Limits::default() });
        let held =
            [gates.enter("a", Lane::Question).unwrap(), gates.enter("a", Lane::Question).unwrap()];
        let refused = gates.enter("a", Lane::Question).unwrap_err();
        assert_eq!(refused.status, 429);
        assert!(
            refused.detail.contains("2 questions")
                && refused.detail.contains("--questions-per-key"),
            "{}",
            refused.detail
        );
        let open: Vec<usize> = gates.open().iter().map(|open| open.calls).collect();
        assert_eq!(open, [2, 0, 0, 0, 0]);
        let _judgment = gates.enter("a", Lane::Judgment).unwrap();
        let _other = gates.enter("b", Lane::Question).unwrap();
        drop(held);
        assert!(gates.enter("a", Lane::Question).is_ok(), "a place that was given back");
    }

    #[test]
    fn every_route_has_its_lane_or_is_known_to_need_none() {
        let no_lane = [
            "/api/v1/apps",
            "/api/v1/audit",
            "/api/v1/apps/{app}/audit",
            "/api/v1/apps/{app}/limits",
            "/api/v1/backups",
            "/api/v1/keys",
            "/api/v1/keys/{id}",
            "/api/v1/keys/{id}/rotate",
            "/api/v1/health",
            "/api/v1/schema",
            "/api/v1/openapi.json",
            "/api/v1/apps/{app}/definitions",
            "/api/v1/apps/{app}/ingest",
            "/api/v1/apps/{app}/uploads",
            "/api/v1/apps/{app}/uploads/{upload}/files",
            "/api/v1/apps/{app}/landing",
            "/api/v1/apps/{app}/live",
            "/api/v1/apps/{app}/produce",
            "/api/v1/apps/{app}/parity",
            "/api/v1/apps/{app}/runs",
            "/api/v1/apps/{app}/runs/{id}",
            "/api/v1/apps/{app}/compact",
            "/api/v1/apps/{app}/crowds/{crowd}/export",
            "/api/v1/apps/{app}/crowds/{crowd}/import",
            "/api/v1/apps/{app}/crowds/{crowd}/publish",
            "/api/v1/apps/{app}/crowds/{crowd}/pull",
            "/api/v1/apps/{app}/crowds/{crowd}/rollback",
            "/api/v1/apps/{app}/crowds/{crowd}/rollout",
            "/api/v1/apps/{app}/crowds/{crowd}/versions/{version}/pin",
            "/api/v1/apps/{app}/refresh",
            "/api/v1/apps/{app}/activations/{activation}/run",
            "/livez",
            "/metrics",
            "/readyz",
            "/v1/m",
            "/v1/projects/{write_key}/settings",
        ];
        let described = crate::openapi();
        let mut free: Vec<&str> = described
            .paths
            .paths
            .keys()
            .map(String::as_str)
            .filter(|path| Lane::of(&Method::POST, path).is_none())
            .collect();
        let mut expected = no_lane.to_vec();
        free.sort_unstable();
        expected.sort_unstable();
        assert_eq!(free, expected);
        let followed = Lane::of(&Method::GET, "/api/v1/apps/{app}/changes");
        assert_eq!(followed, Some(Lane::Subscription), "and not one of the calls that write");
    }
}
