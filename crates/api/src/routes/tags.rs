//! Tags as they were produced.

use super::{App, app_checked};
use crate::access::{Action, Caller};
use crate::clock_text::instant;
use crate::extract::{Json, Path, Query};
use crate::{House, Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_model::ErrorKind;

const DEFAULT_VALUES: usize = 20;
const MAX_VALUES: usize = 1000;

/// A tag.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TagBody {
    name: String,
    /// `bool`, `enum`, `set`, `int`, `decimal(n)`, `date` or `date(millisecond)`.
    #[serde(rename = "type")]
    value_type: String,
    /// `attribute`, `aggregate`, `cohort`, `expression` or `sql`; `null` once its definition is gone.
    kind: Option<String>,
    description: Option<String>,
    /// How many users have a value; `null`: never produced.
    users: Option<u64>,
    /// Of `int` and `decimal`: the exact sum over all users, as text.
    sum: Option<String>,
    /// ISO 8601, UTC; `null`: never produced.
    as_of: Option<String>,
}

/// The tags of an app.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TagList {
    tags: Vec<TagBody>,
    /// How many users exist.
    users: u64,
    /// The index's revision, which grows with every publication; 0: nothing produced yet.
    revision: u64,
}

/// A value and who has it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ValueCount {
    #[schema(value_type = Object)]
    value: serde_json::Value,
    users: u64,
}

/// The most frequent values of a tag.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TagValues {
    name: String,
    /// Most users first.
    values: Vec<ValueCount>,
    /// How many different values there are.
    distinct: usize,
}

/// A tag in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TagPath {
    /// The app's id.
    app: String,
    /// The tag's name.
    tag: String,
}

/// How many values.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// 1 to 1,000; default 20.
    limit: Option<usize>,
}

/// All tags: those defined, and those still in the index.
#[utoipa::path(get, path = "/apps/{app}/tags", tag = "tags", params(App),
    responses((status = 200, body = TagList), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<TagList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = house.definitions(&app).await?;
    let snapshot = house.index.snapshot(&app).await?;
    let mut tags = Vec::new();
    for (name, definition) in &definitions.tags {
        let info = snapshot.as_ref().and_then(|snapshot| snapshot.info(name.as_str()));
        let segment = snapshot.as_ref().and_then(|snapshot| snapshot.tag(name.as_str()));
        tags.push(TagBody {
            name: name.to_string(),
            value_type: info.map_or(definition.value_type, |info| info.value_type).to_string(),
            kind: Some(wire::tag_kind(&definition.kind).to_owned()),
            description: definition.description.clone(),
            users: info.map(|info| info.users),
            sum: segment.and_then(|segment| wire::sum(segment.sum(None)?, segment.value_type())),
            as_of: info.map(|info| instant(info.as_of_ms)),
        });
    }
    let (users, revision) = snapshot.map_or((0, 0), |snapshot| (snapshot.users().len(), snapshot.revision()));
    Ok(Json(TagList { tags, users, revision }))
}

/// The most frequent values of a tag.
#[utoipa::path(get, path = "/apps/{app}/tags/{tag}", tag = "tags", params(TagPath, Limit),
    responses((status = 200, body = TagValues), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn values(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<TagPath>,
    Query(limit): Query<Limit>,
) -> Result<Json<TagValues>, Problem> {
    let app = app_checked(&path.app, &caller, Action::Read)?;
    let limit = limit.limit.unwrap_or(DEFAULT_VALUES);
    if !(1..=MAX_VALUES).contains(&limit) {
        return Err(Problem::new(ErrorKind::Invalid, format!("limit must be 1 to {MAX_VALUES}, not {limit}")));
    }
    let snapshot = house.index.snapshot(&app).await?;
    let unknown = || {
        Problem::new(ErrorKind::NotFound, format!("the tag \"{}\" has not been produced in \"{app}\"; `taghouse tags` lists all", path.tag))
    };
    let snapshot = snapshot.ok_or_else(unknown)?;
    let mut values = snapshot.tag(&path.tag).ok_or_else(unknown)?.values();
    values.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    let distinct = values.len();
    let values = values.into_iter().take(limit).map(|(value, users)| ValueCount { value: wire::value(&value), users });
    Ok(Json(TagValues { name: path.tag, values: values.collect(), distinct }))
}
