//! The change feed.

use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::Path;
use crate::guard::{Guard, Want};
use crate::shape::EventStream;
use crate::subscription::{Subscription, Wanted};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_feed::Start;
use taghouse_model::ErrorKind;
use taghouse_rules::{Definitions, did_you_mean};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What to follow, and from where.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what FeedQuery reads")]
pub(crate) struct FeedParameters {
    /// Only changes of this tag; may be given several times. Deletions of users always come.
    tag: Option<Vec<String>>,
    /// Only users who enter or leave this crowd; may be given several times.
    crowd: Option<Vec<String>>,
    /// The id of the last record seen: those behind it follow. `earliest`: all that are kept.
    /// `latest`, the default: what comes from now on. The header `Last-Event-ID` goes first.
    from: Option<String>,
    /// End after so many records.
    #[param(minimum = 1)]
    limit: Option<u64>,
    /// `false`: end with the last record there is.
    #[param(default = true)]
    follow: Option<bool>,
}

/// The query of a subscription.
struct FeedQuery {
    wanted: Wanted,
    start: Start,
    limit: Option<u64>,
    follow: bool,
}

impl FeedQuery {
    fn read(query: &str, last_event_id: Option<&str>) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
        let mut read =
            Self { wanted: Wanted::default(), start: Start::Latest, limit: None, follow: true };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "tag" => drop(read.wanted.tags.insert(value.into_owned())),
                "crowd" => drop(read.wanted.crowds.insert(value.into_owned())),
                "from" => {
                    read.start = start(&value).ok_or_else(|| {
                        invalid(format!("the query: from: \"{value}\" is not the id of a record, \"earliest\" or \"latest\""))
                    })?;
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    read.limit = Some(limit.ok_or_else(|| {
                        invalid(format!(
                            "the query: limit: \"{value}\" is not a whole number over 0"
                        ))
                    })?);
                }
                "follow" => {
                    read.follow = value.parse().map_err(|_| {
                        invalid(format!("the query: follow: \"{value}\" is not true or false"))
                    })?;
                }
                other => {
                    let known = ["tag", "crowd", "from", "limit", "follow"];
                    let hint = did_you_mean(other, known);
                    return Err(invalid(format!("the query: unknown field `{other}`{hint}")));
                }
            }
        }
        // An empty one is of a reader that has seen nothing.
        if let Some(id) = last_event_id.filter(|id| !id.is_empty()) {
            read.start = id.parse().map(Start::After).map_err(|_| {
                invalid(format!("the header Last-Event-ID: \"{id}\" is not the id of a record"))
            })?;
        }
        Ok(read)
    }

    /// Checks what is wanted; where nothing is named, what may not be seen is left out. Each record
    /// tells of a single user.
    fn guarded(
        mut self,
        guard: Guard<'_>,
        caller: &Caller,
        definitions: &Definitions,
    ) -> Result<Self, Problem> {
        guard.single_users()?;
        for tag in &self.wanted.tags {
            guard.tag(tag, Want::Members)?;
            guard.value(tag)?;
        }
        self.wanted.crowds.iter().try_for_each(|crowd| guard.crowd(crowd, Want::Members))?;
        if !self.wanted.tags.is_empty() || !self.wanted.crowds.is_empty() {
            return Ok(self);
        }
        if caller.is_limited() {
            let detail = "this key has grants of single tags and crowds: name those to follow, such as ?crowd=NAME";
            return Err(Problem::new(ErrorKind::Denied, detail));
        }
        let hidden =
            |tag: &&str| guard.tag(tag, Want::Members).and_then(|()| guard.value(tag)).is_err();
        let tags = definitions.tags.keys().map(|name| name.as_str()).filter(hidden);
        self.wanted.hidden_tags = tags.map(str::to_owned).collect();
        let hidden = |crowd: &&str| guard.crowd(crowd, Want::Members).is_err();
        let crowds = definitions.crowds.keys().map(|name| name.as_str()).filter(hidden);
        self.wanted.hidden_crowds = crowds.map(str::to_owned).collect();
        Ok(self)
    }

    /// Who waits for what never comes is told.
    fn check(&self, definitions: &Definitions) -> Result<(), Problem> {
        for tag in &self.wanted.tags {
            defined_tag(definitions, tag)?;
            if definitions.tags.get(tag.as_str()).is_some_and(|tag| !tag.mode.is_live()) {
                let detail = format!(
                    "the tag `{tag}` is computed by productions alone, so the change feed has none of its changes: give it `mode: stream` or `mode: both`"
                );
                return Err(Problem::new(ErrorKind::Invalid, detail));
            }
        }
        for crowd in &self.wanted.crowds {
            if !definitions.crowds.contains_key(crowd.as_str()) {
                let known = definitions.crowds.keys().map(|name| name.as_str());
                let hint = did_you_mean(crowd, known);
                let detail = format!("there is no crowd `{crowd}`{hint}");
                return Err(Problem::new(ErrorKind::NotFound, detail));
            }
        }
        Ok(())
    }
}

fn start(text: &str) -> Option<Start> {
    match text {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        id => id.parse().ok().map(Start::After),
    }
}

/// The changes of live tags and live crowds as they happen, as server-sent events: `event` is the
/// kind of the record, `id` its id, `data` the record as JSON. A reader that comes back sends the
/// last id as the header `Last-Event-ID`, as browsers do by themselves, and misses nothing as long
/// as the records behind it are kept; else the answer is 410. An `event: error` with a problem as
/// `data` ends the stream.
#[utoipa::path(get, path = "/apps/{app}/changes", operation_id = "follow_changes", tag = "tags",
    params(App, FeedParameters, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last record seen.")),
    responses((status = 200, description = "Events; the data of each is a FeedRecord.", content((inline(EventStream) = "text/event-stream"))), Problem))]
pub(crate) async fn follow(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let last_event_id = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    let query = FeedQuery::read(query.as_deref().unwrap_or_default(), last_event_id)?;
    let definitions = engine.definitions(&app).await?;
    let query = query.guarded(caller.guard(&definitions), &caller, &definitions)?;
    query.check(&definitions)?;
    let reader = engine.feeds.subscribe(&app, query.start).await?;
    let FeedQuery { wanted, limit, follow, .. } = query;
    let names = wanted.tags.iter().chain(&wanted.crowds).map(String::as_str);
    engine.sum_read(&caller.id, &app, "follow", 0, names);
    let zone = definitions.app.time_zone.clone();
    let subscription = Subscription::new(reader, wanted, zone, limit, follow);
    // A proxy that waits for more before it passes on what it has would be of no use.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((unbuffered, Sse::new(subscription.events())).into_response())
}

impl From<taghouse_feed::Error> for Problem {
    fn from(error: taghouse_feed::Error) -> Self {
        match error {
            gone @ taghouse_feed::Error::Gone { .. } => {
                Self::of_status(StatusCode::GONE, gone.to_string())
            }
            error => Self::new(error.kind(), error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_what_is_wrong_is_named() {
        let read = FeedQuery::read("tag=a&tag=b&crowd=c&from=17&limit=5&follow=false", None);
        let read = read.unwrap();
        assert_eq!(read.wanted.tags.len() + read.wanted.crowds.len(), 3);
        assert_eq!((read.start, read.limit, read.follow), (Start::After(17), Some(5), false));
        let again = FeedQuery::read("from=earliest", Some("9")).unwrap();
        assert_eq!((again.start, again.follow), (Start::After(9), true));
        assert_eq!(FeedQuery::read("from=earliest", Some("")).unwrap().start, Start::Earliest);
        for (query, header, words) in [
            ("from=-1", None, "from: \"-1\" is not the id"),
            ("limit=0", None, "limit: \"0\" is not a whole number over 0"),
            ("follow=no", None, "follow: \"no\" is not true or false"),
            ("tags=a", None, "unknown field `tags`; did you mean `tag`?"),
            ("", Some("x"), "Last-Event-ID: \"x\" is not the id"),
        ] {
            let said = FeedQuery::read(query, header).err().map(|problem| problem.detail);
            assert!(said.as_deref().is_some_and(|said| said.contains(words)), "{query}: {said:?}");
        }
    }
}
