//! Live tags held against the batch, as a run.

use super::App;
use super::runs::body;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use taghouse_engine::{Engine, PARITY_SAMPLE};
use taghouse_model::{ErrorKind, Name};
use taghouse_wire::{ParityRequest, RunBody};

const MAX_SAMPLE: u32 = 100_000;

/// Starts to compare the values of live tags with those of the batch as of the same instant, for a
/// sample of users, and returns the run. Every difference is explained; what nothing explains is a
/// defect, and the run ends with warnings.
#[utoipa::path(post, path = "/apps/{app}/parity", operation_id = "start_parity", tag = "tags", params(App), request_body = ParityRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn start(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ParityRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let definitions = engine.definitions(&app).await?;
    let tag = request.tag.as_deref().map(Name::new).transpose()?;
    let sample = match request.sample {
        None => PARITY_SAMPLE,
        Some(sample @ 1..=MAX_SAMPLE) => sample as usize,
        Some(sample) => {
            return Err(Problem::new(
                ErrorKind::Invalid,
                format!("sample may be 1 to {MAX_SAMPLE}, not {sample}"),
            ));
        }
    };
    let run = engine.compare_live(&caller.id, &definitions, tag, sample).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}
