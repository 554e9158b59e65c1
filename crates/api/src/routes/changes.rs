//! Live changes of tag values.

use super::App;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, objects};
use crate::shape::NewValue;
use crate::{Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind, Name};
use taghouse_rules::Definitions;
use taghouse_users::{Changed, Op, Strangers, UserChange};

/// Changes, all of which are made, or none.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesRequest {
    /// 1 to 100,000. Of two of one user and tag the later counts.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 100_000)]
    changes: Vec<ChangeBody>,
    /// `true`: an id that was never seen becomes a user. Otherwise such a call is refused, for the id is mostly a slip.
    #[serde(default)]
    create: bool,
}

/// One user's value of one tag. Just one of `set`, `unset`, `add` and `remove` is given.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeBody {
    /// The user id. One that was never seen becomes a user with `create` only.
    #[schema(min_length = 1, max_length = 512)]
    user: String,
    /// The tag.
    #[schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 64)]
    tag: String,
    /// The value from now on: `true`, a number, a text, a day such as "2026-07-01", an instant such as "2026-07-01T10:00"; for a set all its
    /// members. `null`, an empty text and a set without members: no value any more, as `unset`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NewValue>)]
    set: Option<serde_json::Value>,
    /// `true`: no value any more.
    unset: Option<bool>,
    /// One more member of a set.
    add: Option<String>,
    /// One member less.
    remove: Option<String>,
}

/// A member that is there, be it null.
fn given<'de, D: serde::Deserializer<'de>>(member: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(member).map(Some)
}

/// What is on disk now, and in every answer a tenth of a second later.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ChangesAnswer {
    /// How many changes.
    changes: usize,
    /// The position of the last one in the app's log of changes; it rises with every change.
    position: u64,
}

/// Changes tag values of users. Durable when the answer comes, and kept by productions until a later event or value of the tag comes.
#[utoipa::path(post, path = "/apps/{app}/changes", operation_id = "change_tags", tag = "users", params(App), request_body = ChangesRequest,
    responses((status = 200, description = "The changes are durable.", body = ChangesAnswer), Problem))]
pub(crate) async fn change(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ChangesRequest>,
) -> Result<Json<ChangesAnswer>, Problem> {
    let app = app.checked(&caller, Action::Write)?;
    if request.changes.is_empty() {
        return Err(Problem::new(ErrorKind::Invalid, "changes is empty: name at least one"));
    }
    let definitions = engine.definitions(&app).await?;
    let tags: BTreeSet<Name> = request.changes.iter().filter_map(|change| Name::new(&change.tag).ok()).collect();
    let strangers = if request.create { Strangers::Created } else { Strangers::Refused };
    let changed = changed(&engine, &app, &definitions, request.changes, strangers).await;
    match &changed {
        Ok(changed) => engine.sum_changes(&caller.id, &app, tags.iter().map(Name::as_str), Ok(changed.changes)),
        Err(problem) => engine.sum_changes(&caller.id, &app, std::iter::empty(), Err(&problem.detail)),
    }
    let changed = changed?;
    Ok(Json(ChangesAnswer { changes: changed.changes, position: changed.position }))
}

async fn changed(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    changes: Vec<ChangeBody>,
    strangers: Strangers,
) -> Result<Changed, Problem> {
    let changes = changes.into_iter().enumerate().map(|(at, change)| {
        change.checked(definitions).map_err(|problem| Problem { detail: format!("changes[{at}]: {}", problem.detail), ..problem })
    });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    Ok(engine.users.change(app, definitions, changes, strangers).await?)
}

impl ChangeBody {
    fn checked(self, definitions: &Definitions) -> Result<UserChange, Problem> {
        let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
        let tag = Name::new(&self.tag)?;
        // The room says which tag is meant if this one is not defined.
        let value_type = definitions.tags.get(&tag).map(|tag| tag.value_type);
        let op = match (self.set, self.unset, self.add, self.remove) {
            (Some(value), None, None, None) => match value_type {
                Some(value_type) => {
                    let value = wire::value_of(&value, value_type, &definitions.app.time_zone);
                    let value = value.map_err(|why| invalid(format!("tag {tag}: {why}")))?;
                    value.map_or(Op::Unset, Op::Set)
                }
                None => Op::Unset,
            },
            (None, Some(true), None, None) => Op::Unset,
            (None, None, Some(member), None) => Op::Add(member.into()),
            (None, None, None, Some(member)) => Op::Remove(member.into()),
            _ => return Err(invalid("give just one of set, unset (true), add and remove".to_owned())),
        };
        Ok(UserChange { user: self.user, tag, op })
    }
}
