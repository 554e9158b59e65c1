//! Live changes of tag values.

use super::App;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::position::Written;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind, Name};
use taghouse_rules::Definitions;
use taghouse_users::{Changed, Op, UnknownUsers, UserChange};
use taghouse_wire::{ChangeBody, ChangesAnswer, ChangesRequest};

/// Changes tag values of users. The changes are durable when the call returns. Productions keep
/// them until a later event or value of the tag arrives.
#[utoipa::path(post, path = "/apps/{app}/changes", operation_id = "change_tags", tag = "users", params(App), request_body = ChangesRequest,
    responses((status = 200, description = "The changes are durable.", body = ChangesAnswer,
        headers(("Taghouse-Position" = u64, description = "The `log_position` of the answer."))), Problem))]
pub(crate) async fn change(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ChangesRequest>,
) -> Result<Written<Json<ChangesAnswer>>, Problem> {
    let app = app.checked_in_part(&caller, Action::Write)?;
    if request.changes.is_empty() {
        return Err(Problem::new(ErrorKind::Invalid, "changes is empty: name at least one"));
    }
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    request.changes.iter().try_for_each(|change| guard.tag(&change.tag, Want::Edit))?;
    let tags: BTreeSet<Name> =
        request.changes.iter().filter_map(|change| Name::new(&change.tag).ok()).collect();
    let unknown = if request.create { UnknownUsers::Created } else { UnknownUsers::Refused };
    let changed = changed(&engine, &app, &definitions, request.changes, unknown).await;
    match &changed {
        Ok(changed) => {
            engine.sum_changes(&caller.id, &app, tags.iter().map(Name::as_str), Ok(changed.changes))
        }
        Err(problem) => {
            engine.sum_changes(&caller.id, &app, std::iter::empty(), Err(&problem.detail))
        }
    }
    let changed = changed?;
    let Changed { position, log_position, changes } = changed;
    let answer = Json(ChangesAnswer { changes, position, log_position });
    Ok(Written { answer, position: log_position })
}

async fn changed(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    changes: Vec<ChangeBody>,
    unknown: UnknownUsers,
) -> Result<Changed, Problem> {
    let changes = changes.into_iter().enumerate().map(|(at, change)| {
        checked(change, definitions).map_err(|problem| Problem {
            detail: format!("changes[{at}]: {}", problem.detail),
            ..problem
        })
    });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    engine.refuse_suppressed(app, changes.iter().map(|change| change.user.as_str())).await?;
    Ok(engine.users.change(app, definitions, changes, unknown).await?)
}

fn checked(change: ChangeBody, definitions: &Definitions) -> Result<UserChange, Problem> {
    let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
    let tag = Name::new(&change.tag)?;
    // The crate says which tag is meant if this one is not defined.
    let value_type = definitions.tags.get(&tag).map(|tag| tag.value_type);
    let op = match (change.set, change.unset, change.add, change.remove) {
        (Some(value), None, None, None) => match value_type {
            Some(value_type) => {
                let value = values::value_of(&value, value_type, &definitions.app.time_zone);
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
    Ok(UserChange { user: change.user, tag, op })
}
