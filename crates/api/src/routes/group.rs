//! Users by two tags at once.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{Axis, Buckets, Group, Heading};
use taghouse_engine::Engine;
use taghouse_wire::{
    AxisRequest, BucketsRequest, GroupAnswer, GroupBody, GroupRequest, HeadingBody,
};

const DEFAULT_GROUPS: usize = 10;

fn axis(request: AxisRequest) -> Axis {
    let buckets = match request.buckets {
        BucketsRequest::Quantiles => Buckets::Quantiles,
        BucketsRequest::EqualWidths => Buckets::EqualWidths,
    };
    Axis { tag: request.tag, limit: request.limit.unwrap_or(DEFAULT_GROUPS), buckets }
}

/// A group on the wire.
pub(crate) fn group_body(group: &Group) -> GroupBody {
    let body = |kind: &'static str, value: Option<_>, from: Option<_>, to: Option<_>| GroupBody {
        kind: kind.into(),
        value: value.map(values::value),
        from: from.map(values::value),
        to: to.map(values::value),
    };
    match group {
        Group::Value(value) => body("value", Some(value), None, None),
        Group::Range(from, to) => body("range", None, Some(from), Some(to)),
        Group::Others => body("others", None, None, None),
        Group::None => body("none", None, None, None),
    }
}

fn headings(headings: &[Heading]) -> Vec<HeadingBody> {
    headings
        .iter()
        .map(|heading| HeadingBody { group: group_body(&heading.group), users: heading.users })
        .collect()
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
    let (rows, columns) = (axis(request.rows), axis(request.columns));
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
