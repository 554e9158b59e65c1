//! How a number is distributed among users.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, whole};
use crate::shape::{Edge, Expression, TagValue};
use crate::{Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::{Bins, DEFAULT_QUANTILES};
use taghouse_engine::Engine;
use taghouse_model::ErrorKind;

const DEFAULT_BINS: usize = 20;

/// Which number, and among whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistogramRequest {
    /// The name of an int, decimal or date tag.
    tag: String,
    /// Only among the users for whom this holds: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    expression: Option<serde_json::Value>,
    /// So many bins of equal width from the least number to the greatest, 1 to 1,000; default 20.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000)]
    bins: Option<usize>,
    /// Instead of `bins`: their edges, ascending, as numbers or text, such as `0`, `"12.50"`, `"2026-07-01"`; 2 to 1,001. A bin holds its
    /// lower edge, the last one also its upper edge.
    #[schema(value_type = Option<Vec<Edge>>, min_items = 2, max_items = 1001)]
    edges: Option<Vec<serde_json::Value>>,
    /// 0 to 1 each, 100 at most; default p1, p5, p25, p50, p75, p95, p99.
    #[schema(max_items = 100)]
    quantiles: Option<Vec<f64>>,
}

/// A bin.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct BinBody {
    /// The least number that belongs to it.
    #[schema(value_type = TagValue)]
    from: serde_json::Value,
    /// The greatest.
    #[schema(value_type = TagValue)]
    to: serde_json::Value,
    /// How many users have such a number.
    users: u64,
}

/// A quantile.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct QuantileBody {
    /// 0 to 1, as asked.
    quantile: f64,
    /// The number of that user when all are put in order (nearest rank): a number that somebody has.
    #[schema(value_type = TagValue)]
    value: serde_json::Value,
}

/// A distribution. Decimals, dates and instants are text, so that no digit is lost.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct HistogramAnswer {
    /// The tag's name.
    tag: String,
    /// The type of its values.
    #[serde(rename = "type")]
    value_type: String,
    /// The users asked about.
    users: u64,
    /// How many of them have a number.
    count: u64,
    /// The exact sum, as text; `null` for dates.
    #[schema(required)]
    sum: Option<String>,
    /// The exact sum by `count`, as text, rounded once (halves away from zero) to four digits more than the tag has; `null` for dates and of
    /// nobody.
    #[schema(required)]
    average: Option<String>,
    /// The least number; `null` of nobody.
    #[schema(value_type = Option<TagValue>, required)]
    min: serde_json::Value,
    /// The greatest; `null` of nobody.
    #[schema(value_type = Option<TagValue>, required)]
    max: serde_json::Value,
    /// In the order asked; empty of nobody.
    quantiles: Vec<QuantileBody>,
    /// Ascending.
    bins: Vec<BinBody>,
    /// Users with a number below the first bin.
    below: u64,
    /// Users with a number above the last bin.
    above: u64,
    /// The index's revision that answered.
    revision: u64,
}

fn bins(request: &HistogramRequest) -> Result<Bins, Problem> {
    let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
    let Some(edges) = &request.edges else { return Ok(Bins::Count(request.bins.unwrap_or(DEFAULT_BINS))) };
    if request.bins.is_some() {
        return Err(invalid("bins and edges exclude each other: give one of them".to_owned()));
    }
    let text = |edge: &serde_json::Value| match edge {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        other => Err(invalid(format!("{other} is no edge: write a number or text"))),
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
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    defined_tag(&definitions, &request.tag)?;
    let (within, bins) = (within(request.expression.as_ref())?, bins(&request)?);
    let quantiles = request.quantiles.as_deref().unwrap_or(&DEFAULT_QUANTILES);
    let found = engine.crowds.distribution(&app, &definitions, within.as_ref(), &request.tag, &bins, quantiles).await?;
    let value = |value: &Option<taghouse_model::Value>| value.as_ref().map_or(serde_json::Value::Null, wire::value);
    let bin = |bin: &taghouse_crowd::Bin| BinBody { from: wire::value(&bin.from), to: wire::value(&bin.to), users: bin.users };
    let quantile = |(quantile, value): &(f64, _)| QuantileBody { quantile: *quantile, value: wire::value(value) };
    Ok(Json(HistogramAnswer {
        value_type: found.value_type.to_string(),
        users: found.users,
        count: found.count,
        sum: found.sum.and_then(|sum| wire::sum(sum, found.value_type)),
        average: found.average.map(|average| average.to_string()),
        min: value(&found.min),
        max: value(&found.max),
        quantiles: found.quantiles.iter().map(quantile).collect(),
        bins: found.bins.iter().map(bin).collect(),
        below: found.below,
        above: found.above,
        revision: found.revision,
        tag: request.tag,
    }))
}
