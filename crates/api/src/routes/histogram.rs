//! How a number is distributed among users.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{Bins, DEFAULT_QUANTILES, DistributionRequest};
use taghouse_engine::Engine;
use taghouse_model::ErrorKind;
use taghouse_wire::{BinBody, HistogramAnswer, HistogramRequest, QuantileBody};

const DEFAULT_BINS: usize = 20;

fn bins(request: &HistogramRequest) -> Result<Bins, Problem> {
    let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
    let Some(edges) = &request.edges else {
        return Ok(Bins::Count(request.bins.unwrap_or(DEFAULT_BINS)));
    };
    if request.bins.is_some() {
        return Err(invalid("bins and edges exclude each other: give one of them".to_owned()));
    }
    let text = |edge: &serde_json::Value| match edge {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        other => Err(invalid(format!("{other} is not a valid bin edge: write a number or text"))),
    };
    Ok(Bins::Edges(edges.iter().map(text).collect::<Result<_, _>>()?))
}

/// How a number is distributed: bins, exact sum and average, quantiles.
#[utoipa::path(post, path = "/apps/{app}/histogram", operation_id = "get_histogram", tag = "questions", params(App), request_body = HistogramRequest,
    responses((status = 200, description = "The distribution.", body = HistogramAnswer), Problem))]
pub(crate) async fn histogram(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<HistogramRequest>,
) -> Result<Json<HistogramAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    if request.edges.is_none() {
        guard.groups(&request.tag)?;
    }
    guard.tag(&request.tag, Want::View)?;
    defined_tag(&definitions, &request.tag)?;
    let (within, bins) = (within(request.expression.as_ref())?, bins(&request)?);
    within.iter().try_for_each(|within| guard.question(within, Want::View))?;
    let asked = DistributionRequest {
        bins,
        quantiles: request.quantiles.unwrap_or_else(|| DEFAULT_QUANTILES.to_vec()),
        tag: request.tag.clone(),
    };
    let found = engine.crowds.distribution(&app, &definitions, within.as_ref(), &asked).await?;
    let rounding = guard.rounding();
    let value = |value: &Option<taghouse_model::Value>| {
        value
            .as_ref()
            .filter(|_| rounding.is_exact())
            .map_or(serde_json::Value::Null, values::value)
    };
    let bin = |bin: &taghouse_crowd::Bin| BinBody {
        from: values::value(&bin.from),
        to: values::value(&bin.to),
        users: rounding.of(bin.users),
    };
    let quantile = |(quantile, value): &(f64, _)| QuantileBody {
        quantile: *quantile,
        value: values::value(value),
    };
    let shown = |(at, _): &&(f64, _)| rounding.shows_quantile(*at, found.count);
    Ok(Json(HistogramAnswer {
        value_type: found.value_type.to_string(),
        users: rounding.of(found.users),
        count: rounding.of(found.count),
        sum: rounding.unless(found.sum, None).and_then(|sum| values::sum(sum, found.value_type)),
        average: rounding.unless(found.average, None).map(|average| average.to_string()),
        min: value(&found.min),
        max: value(&found.max),
        quantiles: found.quantiles.iter().filter(shown).map(quantile).collect(),
        bins: found.bins.iter().map(bin).collect(),
        below: rounding.of(found.below),
        above: rounding.of(found.above),
        revision: found.revision,
        tag: request.tag.clone(),
    }))
}
