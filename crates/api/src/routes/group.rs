//! Users by two tags at once.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, object, whole};
use crate::shape::{Expression, TagValue};
use crate::{Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::{Axis, Buckets, Group, Heading};
use taghouse_engine::Engine;

const DEFAULT_GROUPS: usize = 10;

/// A tag to group by.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AxisRequest {
    /// The tag's name.
    tag: String,
    /// So many values, those that most users have; or so many buckets of a number. 1 to 1,000; default 10.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// How a number is cut.
    #[serde(default)]
    buckets: BucketsRequest,
}

/// How a number is cut.
#[derive(Deserialize, Default, Clone, Copy, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BucketsRequest {
    /// About as many users in each bucket.
    #[default]
    Quantiles,
    /// Buckets as wide as one another.
    EqualWidths,
}

/// Which tags, and among whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRequest {
    /// The tag of the rows.
    #[serde(deserialize_with = "object")]
    rows: AxisRequest,
    /// The tag of the columns.
    #[serde(deserialize_with = "object")]
    columns: AxisRequest,
    /// Only among the users for whom this holds: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    expression: Option<serde_json::Value>,
}

/// What the users of a group have in common.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct GroupBody {
    /// `value`; `range` of a number, `from` and `to` both included; `others`: a value without a group of its own; `none`: no value.
    kind: &'static str,
    /// Of kind `value`. Of a set tag one of its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    value: Option<serde_json::Value>,
    /// Of kind `range`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    from: Option<serde_json::Value>,
    /// Of kind `range`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    to: Option<serde_json::Value>,
}

/// A row or a column.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HeadingBody {
    /// Whom it is about.
    group: GroupBody,
    /// How many of the users asked about are in it.
    users: u64,
}

/// Users by two tags at once.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct GroupAnswer {
    /// The groups of the first tag. The last two are `others` and `none`, be there users in them or not.
    rows: Vec<HeadingBody>,
    /// The groups of the second tag, likewise.
    columns: Vec<HeadingBody>,
    /// How many users are in both: a list for each row. Where neither tag is a set, each user is counted once.
    counts: Vec<Vec<u64>>,
    /// The users asked about.
    users: u64,
    /// The index's revision that answered.
    revision: u64,
}

impl AxisRequest {
    fn axis(self) -> Axis {
        let buckets = match self.buckets {
            BucketsRequest::Quantiles => Buckets::Quantiles,
            BucketsRequest::EqualWidths => Buckets::EqualWidths,
        };
        Axis { tag: self.tag, limit: self.limit.unwrap_or(DEFAULT_GROUPS), buckets }
    }
}

/// A group on the wire.
pub(crate) fn group_body(group: &Group) -> GroupBody {
    let body = |kind, value: Option<_>, from: Option<_>, to: Option<_>| GroupBody {
        kind,
        value: value.map(wire::value),
        from: from.map(wire::value),
        to: to.map(wire::value),
    };
    match group {
        Group::Value(value) => body("value", Some(value), None, None),
        Group::Range(from, to) => body("range", None, Some(from), Some(to)),
        Group::Others => body("others", None, None, None),
        Group::None => body("none", None, None, None),
    }
}

fn headings(headings: &[Heading]) -> Vec<HeadingBody> {
    headings.iter().map(|heading| HeadingBody { group: group_body(&heading.group), users: heading.users }).collect()
}

/// Counts users by the values of two tags, exact.
#[utoipa::path(post, path = "/apps/{app}/group", operation_id = "group_users", tag = "questions", params(App), request_body = GroupRequest,
    responses((status = 200, description = "The counts.", body = GroupAnswer), Problem))]
pub(crate) async fn group(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<GroupRequest>,
) -> Result<Json<GroupAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let (rows, columns) = (request.rows.axis(), request.columns.axis());
    [&rows, &columns].into_iter().try_for_each(|axis| defined_tag(&definitions, &axis.tag))?;
    let within = within(request.expression.as_ref())?;
    let cross = engine.crowds.cross(&app, &definitions, within.as_ref(), [rows, columns]).await?;
    Ok(Json(GroupAnswer {
        rows: headings(&cross.rows),
        columns: headings(&cross.columns),
        counts: cross.counts.chunks(cross.columns.len().max(1)).map(<[u64]>::to_vec).collect(),
        users: cross.users,
        revision: cross.revision,
    }))
}
