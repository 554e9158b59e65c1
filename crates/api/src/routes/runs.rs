//! Runs: their state, their progress, their end.

use super::{App, app_in_part};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::instant;
use taghouse_model::ErrorKind;
use taghouse_schedule::{RunHandle, RunStatus};
use taghouse_wire::{RunBody, RunLine, RunList, TaskBody};

/// The longest that a request waits for a run to change, in milliseconds.
const MAX_WAIT_MS: u64 = 30_000;
const LISTED: u32 = 50;

/// A run in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The run's id.
    id: String,
}

/// How long to wait.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wait {
    /// Answer when the run has ended, or after this many milliseconds (at most 30,000). Default 0:
    /// at once.
    #[serde(default)]
    #[param(value_type = Option<u64>, maximum = 30_000)]
    wait_ms: u64,
}

/// A run on the wire.
pub(crate) fn body(status: RunStatus) -> RunBody {
    let tasks = status.tasks.into_iter().map(|task| TaskBody {
        name: task.name,
        state: task.state.to_string(),
        done: task.done,
        total: task.total,
        message: task.message,
        result: task.result,
        error: task.error,
        warnings: task.warnings,
    });
    RunBody {
        id: status.id,
        kind: status.kind,
        state: status.state.to_string(),
        tasks: tasks.collect(),
    }
}

/// The last 50 runs, newest first.
#[utoipa::path(get, path = "/apps/{app}/runs", operation_id = "list_runs", tag = "runs", params(App),
    responses((status = 200, description = "The runs.", body = RunList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<RunList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let runs = engine.catalog.runs(&app, LISTED).await?.into_iter().map(|run| RunLine {
        id: run.id,
        kind: run.kind,
        state: run.state,
        started: instant(run.started_ms),
        elapsed_ms: run.finished_ms.map(|end| end - run.started_ms),
    });
    Ok(Json(RunList { runs: runs.collect() }))
}

/// A run's state; with `wait_ms`, as soon as it has ended.
#[utoipa::path(get, path = "/apps/{app}/runs/{id}", operation_id = "get_run", tag = "runs", params(RunPath, Wait),
    responses((status = 200, description = "The run as it is now.", body = RunBody), Problem))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<RunPath>,
    Query(wait): Query<Wait>,
) -> Result<Json<RunBody>, Problem> {
    let run = find(&engine, &caller, &path, Action::Read)?;
    if wait.wait_ms > MAX_WAIT_MS {
        return Err(Problem::new(
            ErrorKind::Invalid,
            format!(
                "wait_ms may be {MAX_WAIT_MS} at most, not {}: ask again where a run takes longer",
                wait.wait_ms
            ),
        ));
    }
    let status = run.wait(Duration::from_millis(wait.wait_ms)).await;
    let mut body = body(status);
    let definitions = engine.definitions(run.app()).await;
    let exact = match &definitions {
        Ok(definitions) => caller.guard(definitions).rounding().is_exact(),
        Err(_) => caller.sees_exact(),
    };
    if caller.is_limited() || !exact {
        // What came of a task names numbers, and may name what is hidden.
        for task in &mut body.tasks {
            (task.result, task.message) = (None, String::new());
            (task.done, task.total) = (0, 0);
            task.warnings.clear();
        }
    }
    Ok(Json(body))
}

/// Cancels a run. What it has committed stays.
#[utoipa::path(delete, path = "/apps/{app}/runs/{id}", operation_id = "cancel_run", tag = "runs", params(RunPath),
    responses((status = 202, description = "The run was asked to stop; it ends soon."), Problem))]
pub(crate) async fn cancel(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<RunPath>,
) -> Result<StatusCode, Problem> {
    let run = find(&engine, &caller, &path, Action::Edit)?;
    run.cancel();
    engine
        .note(
            &caller.id,
            Some(run.app()),
            "cancel",
            &format!("run {}", path.id),
            Ok(StatusCode::ACCEPTED),
        )
        .await
}

fn find(
    engine: &Engine,
    caller: &Caller,
    path: &RunPath,
    action: Action,
) -> Result<RunHandle, Problem> {
    // Who knows its id has begun it, or may list all.
    let app = app_in_part(&path.app, caller, action)?;
    let run = engine.scheduler.get(&path.id).filter(|run| *run.app() == app);
    run.ok_or_else(|| {
        Problem::new(
            ErrorKind::NotFound,
            format!(
                "no run \"{}\" since the server started; `taghouse runs` lists older ones",
                path.id
            ),
        )
    })
}
