//! Tags and their produced values.

use super::{App, app_in_part};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::{Guard, Want};
use crate::rounding::Rounding;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use taghouse_catalog::RunRecord;
use taghouse_disk::blocking;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_index::Snapshot;
use taghouse_model::ErrorKind;
use taghouse_rules::{Definitions, Labelled, TagKind, Use, Window};
use taghouse_wire::{TagBody, TagList, TagValues, ValueCount};

const DEFAULT_VALUES: usize = 20;
const MAX_VALUES: usize = 1000;
const RUNS_LOOKED_AT: u32 = 50;

/// A tag in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TagPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The tag's name.
    tag: String,
}

/// How many values.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// 1 to 1,000; default 20.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// All tags that are defined, with what was last produced of them.
#[utoipa::path(get, path = "/apps/{app}/tags", operation_id = "list_tags", tag = "tags", params(App),
    responses((status = 200, description = "The tags.", body = TagList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<TagList>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let snapshot = engine.index.snapshot(&app).await?;
    let stored = engine.catalog.definitions(&app).await?;
    let bodies = stored
        .into_iter()
        .filter(|stored| stored.kind == "tag")
        .map(|stored| (stored.name, stored.body))
        .collect();
    let left_out = left_out(&engine.catalog.runs(&app, RUNS_LOOKED_AT).await?);
    let known = Known { bodies, left_out };
    // Sums read the slices of users whom live changes touch.
    let list = |definitions: Arc<Definitions>| {
        move || {
            let guard = caller.guard(&definitions);
            listing(&definitions, guard, snapshot.as_deref(), known)
        }
    };
    Ok(Json(blocking(list(definitions)).await?))
}

/// What the catalog says of tags, by name.
struct Known {
    bodies: HashMap<String, serde_json::Value>,
    left_out: HashMap<String, BTreeMap<String, u64>>,
}

/// What the last production of each tag left out. `runs` are the newest first.
fn left_out(runs: &[RunRecord]) -> HashMap<String, BTreeMap<String, u64>> {
    let mut all: HashMap<String, BTreeMap<String, u64>> = HashMap::new();
    let tasks = runs
        .iter()
        .filter(|run| run.kind == "produce")
        .flat_map(|run| run.detail["tasks"].as_array().into_iter().flatten());
    for tag in tasks.flat_map(|task| task["result"]["tags"].as_array().into_iter().flatten()) {
        let (Some(name), Ok(skipped)) =
            (tag["name"].as_str(), BTreeMap::deserialize(&tag["skipped"]))
        else {
            continue;
        };
        all.entry(name.to_owned()).or_insert(skipped);
    }
    all
}

fn listing(
    definitions: &Definitions,
    guard: Guard<'_>,
    snapshot: Option<&Snapshot>,
    mut known: Known,
) -> Result<TagList, taghouse_index::Error> {
    let mut tags = Vec::new();
    let rounding = guard.rounding();
    let listed = definitions
        .tags
        .iter()
        .filter(|(name, definition)| !definition.is_anonymous() && guard.shows_tag(name.as_str()));
    for (name, definition) in listed {
        let of = Labelled::Tag(name.as_str());
        let counted = definitions.forbidden(of, Use::View).is_none();
        let info = snapshot.and_then(|snapshot| snapshot.info(name.as_str()));
        let summed = snapshot.filter(|_| counted && rounding.is_exact());
        let sum = match summed.map(|snapshot| snapshot.tag(name.as_str())).transpose()?.flatten() {
            Some(segment) => {
                segment.sum(None)?.and_then(|sum| values::sum(sum, segment.value_type()))
            }
            None => None,
        };
        let window = definition.kind.over_events().map(|tag| tag.window());
        let exact_up_to = match &definition.kind {
            TagKind::Aggregate(aggregate) => aggregate.exact_up_to,
            _ => None,
        };
        tags.push(TagBody {
            name: name.to_string(),
            value_type: info.map_or(definition.value_type, |info| info.value_type).to_string(),
            kind: values::tag_kind(&definition.kind).into(),
            mode: definition.mode.as_str().into(),
            window: window.map(|window| window.to_string()),
            resolution: window.and_then(Window::resolution).map(Into::into),
            exact_up_to,
            description: definition.description.clone(),
            category: definition.marks.category.clone(),
            labels: definitions.labels(of).into_iter().map(str::to_owned).collect(),
            users: info.filter(|_| counted).map(|info| rounding.of(info.users)),
            sum,
            as_of: info.map(|info| local(info.as_of_ms, &definitions.app.time_zone)),
            changed: info.is_some_and(|info| {
                known.bodies.get(name.as_str()).is_some_and(|body| *body != info.definition)
            }),
            left_out: known.left_out.remove(name.as_str()).unwrap_or_default(),
        });
    }
    let (users, revision) =
        snapshot.map_or((0, 0), |snapshot| (snapshot.users().len(), snapshot.revision()));
    Ok(TagList { tags, users: rounding.of(users), revision })
}

/// The most frequent values of a tag that is defined.
#[utoipa::path(get, path = "/apps/{app}/tags/{tag}", operation_id = "list_tag_values", tag = "tags", params(TagPath, Limit),
    responses((status = 200, description = "The values.", body = TagValues), Problem))]
pub(crate) async fn values(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<TagPath>,
    Query(limit): Query<Limit>,
) -> Result<Json<TagValues>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let limit = limit.limit.unwrap_or(DEFAULT_VALUES);
    if !(1..=MAX_VALUES).contains(&limit) {
        return Err(Problem::new(
            ErrorKind::Invalid,
            format!("limit must be 1 to {MAX_VALUES}, not {limit}"),
        ));
    }
    let absent = |why: &str| {
        Problem::new(
            ErrorKind::NotFound,
            format!("the tag \"{}\" {why} in \"{app}\"; `taghouse tags` lists all", path.tag),
        )
    };
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.tag(&path.tag, Want::View)?;
    if !definitions.tags.contains_key(path.tag.as_str()) {
        return Err(absent("is not defined"));
    }
    let snapshot =
        engine.index.snapshot(&app).await?.filter(|snapshot| snapshot.info(&path.tag).is_some());
    let snapshot = snapshot.ok_or_else(|| absent("has not been produced"))?;
    let (name, rounding) = (path.tag, guard.rounding());
    Ok(Json(blocking(move || most_frequent(&snapshot, name, limit, rounding)).await?))
}

fn most_frequent(
    snapshot: &Snapshot,
    name: String,
    limit: usize,
    rounding: Rounding,
) -> Result<TagValues, taghouse_index::Error> {
    let mut values =
        snapshot.tag(&name)?.map(|segment| segment.values()).transpose()?.unwrap_or_default();
    values.retain(|(_, users)| rounding.shows(*users));
    values.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    let distinct = values.len();
    let values = values.into_iter().take(limit).map(|(value, users)| ValueCount {
        value: values::value(&value),
        users: rounding.of(users),
    });
    Ok(TagValues { name, values: values.collect(), distinct })
}
