//! Users by two tags at once.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::rounding::Rounding;
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

fn headings(headings: &[Heading], rounding: Rounding) -> Vec<HeadingBody> {
    let body = |heading: &Heading| HeadingBody {
        // A value that few have is not named.
        group: match rounding.shows(heading.users) {
            true => group_body(&heading.group),
            false => group_body(&Group::Others),
        },
        users: rounding.of(heading.users),
    };
    headings.iter().map(body).collect()
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
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let (rows, columns) = (axis(request.rows), axis(request.columns));
    let guard = caller.guard(&definitions);
    for axis in [&rows, &columns] {
        guard.tag(&axis.tag, Want::View)?;
        guard.groups(&axis.tag)?;
        defined_tag(&definitions, &axis.tag)?;
    }
    let within = within(request.expression.as_ref())?;
    within.iter().try_for_each(|within| guard.question(within, Want::View))?;
    let cross = engine.crowds.cross(&app, &definitions, within.as_ref(), [rows, columns]).await?;
    let rounding = guard.rounding();
    let counts: Vec<u64> = cross.counts.iter().map(|users| rounding.of(*users)).collect();
    Ok(Json(GroupAnswer {
        rows: headings(&cross.rows, rounding),
        columns: headings(&cross.columns, rounding),
        counts: counts.chunks(cross.columns.len().max(1)).map(<[u64]>::to_vec).collect(),
        users: rounding.of(cross.users),
        revision: cross.revision,
    }))
}
