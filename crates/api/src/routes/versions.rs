//! Versions of a crowd: which there are, which one answers, and what they differ by.

use super::app_in_part;
use super::crowds::{CrowdPath, newest};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_crowd::{CrowdVersion, CrowdVersions, Moved, PartChange, Rollout, Turn};
use taghouse_engine::clock_text::{instant, local};
use taghouse_engine::{Engine, id_counts};
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::{Share, duration};
use taghouse_wire::{
    AnsweredBody, BlendBody, DifferenceBody, MovedBody, PartChangeBody, PublishRequest,
    RolloutBody, RolloutRequest, VersionBody, VersionList,
};

/// Users of a sample where the call says nothing.
const DEFAULT_SAMPLE: usize = 10;

/// A version in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VersionPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    pub(super) app: String,
    /// The crowd's name.
    pub(super) crowd: String,
    /// The version's number.
    #[param(minimum = 1)]
    pub(super) version: u64,
}

/// Which versions to compare.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DifferenceQuery {
    /// The version that is compared with.
    #[param(minimum = 1)]
    from: u64,
    /// The version that is compared. Default: the one that answers.
    #[param(minimum = 1)]
    to: Option<u64>,
    /// Users of each sample, at most 10,000; default 10.
    #[param(maximum = 10_000)]
    sample: Option<usize>,
    /// The same seed gives the same samples; default 0.
    seed: Option<u64>,
}

pub(super) fn rollout_body(rollout: &Rollout) -> RolloutBody {
    let share = |parts: &u16| Share::of_10_000(*parts).unwrap_or_default().to_string();
    RolloutBody {
        from: rollout.from,
        to: rollout.to,
        share: rollout.share().to_string(),
        stages: rollout.stages.iter().map(share).collect(),
        next: rollout.next_ms().map(instant),
    }
}

fn version_body(
    version: CrowdVersion,
    current: u64,
    zone: &TimeZone,
    rounding: Rounding,
) -> VersionBody {
    let version = rounding.version(version);
    VersionBody {
        newest_as_of: newest(&version).map(|ms| local(ms, zone)),
        version: version.version,
        size: version.size,
        current: version.version == current,
        expression: version.expression,
        ids: version.ids.map(id_counts),
        revision: version.revision,
        as_of: version.oldest_as_of_ms.map(|ms| local(ms, zone)),
        created: instant(version.created_ms),
        waits: version.waits.map(|waits| rounding.reason(&waits)),
        pinned: version.pinned,
        blend: version.blend.map(|blend| BlendBody {
            from: blend.from,
            to: blend.to,
            share: Share::of_10_000(blend.parts).unwrap_or_default().to_string(),
        }),
    }
}

fn answered(turn: &Turn, rounding: Rounding) -> AnsweredBody {
    let size = turn.size.map(|size| rounding.of(size));
    AnsweredBody { version: turn.version, since: instant(turn.at_ms), size }
}

async fn listed(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    crowd: String,
) -> Result<Json<VersionList>, Problem> {
    guarded(engine, caller, app, &crowd, Want::View).await?;
    let definitions = engine.with_crowds(app, std::slice::from_ref(&crowd)).await?;
    let rounding = caller.guard(&definitions).rounding();
    let versions = engine.crowds.versions(app, &crowd).await?;
    let current = versions.current;
    let zone = &definitions.app.time_zone;
    let body = |version: CrowdVersion| version_body(version, current, zone, rounding);
    Ok(Json(VersionList {
        name: crowd,
        answered: versions.turns().iter().rev().map(|turn| answered(turn, rounding)).collect(),
        held: versions.held_ms.map(instant),
        rollout: versions.rollout.as_ref().map(rollout_body),
        versions: versions.versions.into_iter().rev().map(body).collect(),
    }))
}

/// The kept versions of a crowd that is defined, newest first.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}/versions", operation_id = "list_crowd_versions", tag = "crowds", params(CrowdPath),
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
) -> Result<Json<VersionList>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    listed(&engine, &caller, &app, path.crowd).await
}

/// Checks what the caller wants with a crowd.
async fn guarded(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    crowd: &str,
    want: Want,
) -> Result<(), Problem> {
    let definitions = engine.definitions(app).await?;
    caller.guard(&definitions).crowd(crowd, want)
}

/// Does something with a crowd's versions that stands in the audit trail, and lists them.
async fn audited(
    engine: &Arc<Engine>,
    caller: &Caller,
    [app, crowd]: [&str; 2],
    action: &'static str,
    detail: &str,
    act: impl Future<Output = taghouse_crowd::Result<CrowdVersions>>,
) -> Result<Json<VersionList>, Problem> {
    let app = app_in_part(app, caller, Action::Edit)?;
    guarded(engine, caller, &app, crowd, Want::Edit).await?;
    engine.with_crowds(&app, std::slice::from_ref(&crowd.to_owned())).await?;
    let subject = format!("{crowd} {detail}");
    let records = engine.crowds.records(&app).await?;
    let before = records.get(crowd).map(|record| record.current);
    let line = engine.begin(&caller.id, &app, action, subject.trim_end()).await?;
    let acted = act.await.map_err(Problem::from);
    let told = |after: &CrowdVersions| {
        let number = |version: Option<u64>| match version {
            None | Some(0) => "none".to_owned(),
            Some(version) => version.to_string(),
        };
        format!("version {} → {} answers", number(before), number(Some(after.current)))
    };
    line.end_saying(acted, told).await?;
    if guarded(engine, caller, &app, crowd, Want::View).await.is_err() {
        // It is done, and what the caller may not see is not shown.
        return Ok(Json(VersionList {
            name: crowd.to_owned(),
            answered: Vec::new(),
            held: None,
            rollout: None,
            versions: Vec::new(),
        }));
    }
    listed(engine, caller, &app, crowd.to_owned()).await
}

fn numbered(version: Option<u64>) -> String {
    version.map_or_else(String::new, |version| format!("version {version}"))
}

/// Lets a version answer from now on: one that waits, or an older one. A rollout ends, and versions
/// that are computed later answer again.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/publish", operation_id = "publish_crowd", tag = "crowds", params(CrowdPath), request_body = PublishRequest,
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn publish(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Json(PublishRequest { version }): Json<PublishRequest>,
) -> Result<Json<VersionList>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let act = engine.crowds.publish_version(&app, &path.crowd, version);
    let of = [path.app.as_str(), &path.crowd];
    audited(&engine, &caller, of, "crowd.publish", &numbered(version), act).await
}

/// Goes back to a version that answered before. Versions that are computed later wait until one is
/// published.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/rollback", operation_id = "roll_back_crowd", tag = "crowds", params(CrowdPath), request_body = PublishRequest,
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn roll_back(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Json(PublishRequest { version }): Json<PublishRequest>,
) -> Result<Json<VersionList>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let act = engine.crowds.roll_back(&app, &path.crowd, version);
    let of = [path.app.as_str(), &path.crowd];
    audited(&engine, &caller, of, "crowd.rollback", &numbered(version), act).await
}

/// Begins a rollout, goes on with it, or ends it. Who is in the share follows from a hash of the
/// user id and the crowd's name: users of a smaller share are in each larger one.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/rollout", operation_id = "roll_out_crowd", tag = "crowds", params(CrowdPath), request_body = RolloutRequest,
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn roll_out(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Json(request): Json<RolloutRequest>,
) -> Result<Json<VersionList>, Problem> {
    let invalid =
        |field: &str, wrong: String| Problem::new(ErrorKind::Invalid, format!("{field}: {wrong}"));
    let share = |field: &str, text: &str| Share::parse(text).map_err(|wrong| invalid(field, wrong));
    let stages = request.stages.iter().map(|stage| share("stages", stage));
    let asked = taghouse_crowd::RolloutRequest {
        version: request.version,
        share: share("share", &request.share)?,
        stages: stages.collect::<Result<_, _>>()?,
        every_ms: request
            .every
            .as_deref()
            .map(|every| duration(every).map_err(|wrong| invalid("every", wrong)))
            .transpose()?,
    };
    let detail = format!("{} to {}", numbered(request.version), request.share);
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let act = engine.crowds.roll_out(&app, &path.crowd, &asked);
    let of = [path.app.as_str(), &path.crowd];
    audited(&engine, &caller, of, "crowd.rollout", detail.trim_start(), act).await
}

async fn pinned(
    engine: &Arc<Engine>,
    caller: &Caller,
    path: VersionPath,
    pinned: bool,
) -> Result<Json<VersionList>, Problem> {
    let VersionPath { app, crowd, version } = path;
    let id = app_in_part(&app, caller, Action::Edit)?;
    let act = engine.crowds.pin(&id, &crowd, version, pinned);
    let action = if pinned { "crowd.pin" } else { "crowd.unpin" };
    audited(engine, caller, [&app, &crowd], action, &numbered(Some(version)), act).await
}

/// Keeps a version until it is unpinned, beyond those that are kept anyway.
#[utoipa::path(put, path = "/apps/{app}/crowds/{crowd}/versions/{version}/pin", operation_id = "pin_crowd_version", tag = "crowds", params(VersionPath),
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn pin(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<VersionPath>,
) -> Result<Json<VersionList>, Problem> {
    pinned(&engine, &caller, path, true).await
}

/// Keeps a version as long as others of its age.
#[utoipa::path(delete, path = "/apps/{app}/crowds/{crowd}/versions/{version}/pin", operation_id = "unpin_crowd_version", tag = "crowds", params(VersionPath),
    responses((status = 200, description = "The versions, newest first.", body = VersionList), Problem))]
pub(crate) async fn unpin(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<VersionPath>,
) -> Result<Json<VersionList>, Problem> {
    pinned(&engine, &caller, path, false).await
}

/// Who entered and left a crowd between two of its versions: how many, and some of them; and which
/// conditions of its rule moved.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}/difference", operation_id = "compare_crowd_versions", tag = "crowds", params(CrowdPath, DifferenceQuery),
    responses((status = 200, description = "Who entered and left.", body = DifferenceBody), Problem))]
pub(crate) async fn difference(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Query(query): Query<DifferenceQuery>,
) -> Result<Json<DifferenceBody>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let size = query.sample.unwrap_or(DEFAULT_SAMPLE);
    guarded(&engine, &caller, &app, &path.crowd, Want::View).await?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    if size > 0 {
        guard.crowd(&path.crowd, Want::Members).and_then(|()| guard.single_users()).map_err(
            |problem| Problem {
                detail: format!("{}; sample=0 asks for numbers alone", problem.detail),
                ..problem
            },
        )?;
    }
    engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let rounding = guard.rounding();
    let seed = query.seed.unwrap_or_default();
    let versions = [Some(query.from), query.to];
    let found = engine.crowds.difference(&app, &path.crowd, versions, size, seed).await?;
    if size > 0 {
        let users = found.entered.sample.len() + found.left.sample.len();
        let names = [path.crowd.as_str()].into_iter();
        engine.sum_read(&caller.id, &app, "difference", users as u64, names);
    }
    let moved = |moved: Moved| MovedBody { count: rounding.of(moved.count), sample: moved.sample };
    let part = |part: &PartChange| PartChangeBody {
        depth: part.depth as u64,
        text: part.text.clone(),
        tags: part.tags.clone(),
        crowds: part.crowds.clone(),
        from: rounding.of(part.from),
        to: rounding.of(part.to),
    };
    // A part tells how many users a condition on its tags holds for.
    let is_seen = found.parts.iter().all(|part| {
        part.tags.iter().all(|tag| guard.tag(tag, Want::View).is_ok())
            && part.crowds.iter().all(|crowd| guard.crowd(crowd, Want::View).is_ok())
    });
    let moved_most = rounding.unless(found.moved_most().map(|part| part.text.clone()), None);
    Ok(Json(DifferenceBody {
        parts: found.parts.iter().filter(|_| is_seen).map(part).collect(),
        moved_most: moved_most.filter(|_| is_seen),
        name: path.crowd,
        from: found.from.version,
        from_size: rounding.of(found.from.size),
        to: found.to.version,
        to_size: rounding.of(found.to.size),
        entered: moved(found.entered),
        left: moved(found.left),
    }))
}
