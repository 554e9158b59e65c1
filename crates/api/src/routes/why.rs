//! Why a user is in a crowd, or is not.

use super::App;
use super::judge::{OneQuery, held};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::{Guard, Want};
use crate::position::at_least;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use jiff::tz::TimeZone;
use std::sync::Arc;
use taghouse_crowd::{AskedCrowd, AskedTag, CrowdVersion, Exception, Part, Reason};
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_model::{ErrorKind, TimestampMs};
use taghouse_rules::{ANONYMOUS_TAG, CrowdDefinition, Definitions};
use taghouse_wire::{WhyBody, WhyCrowd, WhyException, WhyKind, WhyPart, WhyTag, WhyVersion};

/// The longest text of a part, in characters: a list may have a thousand times as many.
const MAX_TEXT_CHARS: usize = 1000;

/// Why a user is in a crowd, or is not: the judgment, and the crowd's rule part by part, each with
/// whether it holds for the user and the values that it asks. The judgment is the one of the
/// crowd's current version. The rule is evaluated now, and may say otherwise.
#[utoipa::path(get, path = "/apps/{app}/judge/why", operation_id = "explain_judgment", tag = "judgments", params(App, OneQuery),
    responses((status = 200, description = "The judgment and its reasons.", body = WhyBody), Problem))]
pub(crate) async fn why(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<OneQuery>,
) -> Result<Json<WhyBody>, Problem> {
    let app = app.checked_in_part(&caller, Action::Judge)?;
    let at_least = at_least(query.at_least, query.wait_ms)?;
    let definitions = engine.definitions(&app).await?;
    caller.guard(&definitions).crowd(&query.crowd, Want::Judge)?;
    let crowds = std::slice::from_ref(&query.crowd);
    let definitions = engine.with_crowds(&app, crowds).await?;
    let position = held(&engine, &definitions, at_least, crowds, &[]).await?;
    let Some(crowd) = definitions.crowds.get(query.crowd.as_str()) else {
        let detail = format!("there is no crowd `{}` in app {app}", query.crowd);
        return Err(Problem::new(ErrorKind::NotFound, detail));
    };
    let masked = masked(caller.guard(&definitions), crowd)?;
    let mut why = engine.crowds.why(&definitions, crowd, &query.user).await?;
    let differs = why
        .rule
        .as_ref()
        .is_some_and(|rule| why.exception.map_or(rule.holds, Exception::is_in) != why.in_crowd);
    // Its parts, with whether they hold, would tell the values.
    why.rule = why.rule.filter(|_| masked.is_none());
    engine.sum_read(&caller.id, &app, "why", 1, [query.crowd.as_str()].into_iter());
    let told = Told { definitions: &definitions, live_ms: engine.stream.as_of_ms(&app) };
    Ok(Json(WhyBody {
        user: query.user,
        crowd: query.crowd,
        in_crowd: why.in_crowd,
        reason: why.unknown_user.then_some("unknown_user".into()),
        live: why.version.is_none(),
        age_ms: if why.version.is_none() { engine.live_age_ms(&app) } else { why.age_ms },
        differs,
        exception: why.exception.map(|exception| match exception {
            Exception::Always => WhyException::Always,
            Exception::Never => WhyException::Never,
            Exception::Holdout => WhyException::Holdout,
        }),
        version: why.version.map(|version| told.version(&version, crowd)),
        rule: why.rule.map(|rule| told.part(rule)),
        masked,
        position,
    }))
}

/// Checks all that a crowd's rule asks: its parts tell whether each holds. Gives why it is not shown
/// though the key may ask for all of it.
fn masked(guard: Guard<'_>, crowd: &CrowdDefinition) -> Result<Option<String>, Problem> {
    let tags = crowd.tags();
    for tag in tags.iter().filter(|tag| !tag.starts_with(ANONYMOUS_TAG)) {
        guard.tag(tag, Want::Judge)?;
    }
    crowd.crowds().iter().try_for_each(|other| guard.crowd(other, Want::Judge))?;
    if guard.is_limited() && tags.iter().any(|tag| tag.starts_with(ANONYMOUS_TAG)) {
        let why = "the rule asks what users did, of which a key with grants is not told";
        return Ok(Some(why.to_owned()));
    }
    Ok(tags.iter().find_map(|tag| guard.mask(tag)).map(|forbidden| forbidden.path))
}

/// How an app's reasons are written.
struct Told<'a> {
    definitions: &'a Definitions,
    /// The instant that live tags are as of, where a server lets time go on.
    live_ms: Option<TimestampMs>,
}

impl Told<'_> {
    fn zone(&self) -> &TimeZone {
        &self.definitions.app.time_zone
    }

    fn version(&self, version: &CrowdVersion, crowd: &CrowdDefinition) -> WhyVersion {
        let newest = version.newest_as_of_ms.filter(|ms| Some(*ms) != version.oldest_as_of_ms);
        let is_former = version.expression != crowd.source.to_string();
        WhyVersion {
            version: version.version,
            created_at: local(version.created_ms, self.zone()),
            as_of: version.oldest_as_of_ms.map(|ms| local(ms, self.zone())),
            newest_as_of: newest.map(|ms| local(ms, self.zone())),
            former_rule: is_former.then(|| cut(&version.expression)),
        }
    }

    fn part(&self, reason: Reason) -> WhyPart {
        let all = |parts: Vec<Reason>| parts.into_iter().map(|part| self.part(part)).collect();
        let (kind, parts, tags, crowds) = match reason.part {
            Part::And(parts) => (WhyKind::And, all(parts), Vec::new(), Vec::new()),
            Part::Or(parts) => (WhyKind::Or, all(parts), Vec::new(), Vec::new()),
            Part::Not(part) => (WhyKind::Not, all(vec![*part]), Vec::new(), Vec::new()),
            Part::Condition { tags, crowds } => {
                let tags = tags.into_iter().map(|tag| self.tag(&tag)).collect();
                let crowds = crowds.into_iter().map(crowd_asked).collect();
                (WhyKind::Condition, Vec::new(), tags, crowds)
            }
        };
        WhyPart { text: cut(&reason.text), holds: reason.holds, kind, parts, tags, crowds }
    }

    fn tag(&self, asked: &AskedTag) -> WhyTag {
        let name = asked.tag.as_str();
        let live = self.definitions.tags.get(name).is_some_and(|tag| tag.mode.is_live());
        let as_of_ms = self.live_ms.filter(|_| live).unwrap_or(asked.as_of_ms);
        WhyTag {
            tag: (!name.starts_with(ANONYMOUS_TAG)).then(|| name.to_owned()),
            value: asked.value.as_ref().map(values::value),
            as_of: local(as_of_ms, self.zone()),
            live,
        }
    }
}

fn crowd_asked(asked: AskedCrowd) -> WhyCrowd {
    let AskedCrowd { crowd, in_crowd, version, live } = asked;
    WhyCrowd { crowd, in_crowd, version, live }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(MAX_TEXT_CHARS);
        assert_eq!(cut(&long), long);
        let cut = cut(&format!("{long}b"));
        assert!(cut.ends_with("ä…") && cut.chars().count() == MAX_TEXT_CHARS + 1);
    }
}
