//! What was ingested: sources, their files, and rejected rows.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_catalog::IngestedFile;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::instant;
use taghouse_ingest::{
    RejectedQuery, RejectedRow, TopicProgress, rejected as rejected_rows, topic_progress,
};
use taghouse_model::{AppId, ErrorKind, Name, TimestampMs};
use taghouse_rules::{Definitions, SourceFormat};
use taghouse_wire::{FileLine, FilePage, RejectedLine, RejectedList, SourceBody, SourceList};

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1000;

/// For each source: when rows last landed, how many, and the share that was rejected.
#[utoipa::path(get, path = "/apps/{app}/sources", operation_id = "list_sources", tag = "ingest", params(App),
    responses((status = 200, description = "The sources.", body = SourceList), Problem))]
pub(crate) async fn sources(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<SourceList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let topics = topic_progress(engine.catalog.as_ref(), &app).await?;
    let mut sources = Vec::new();
    for source in definitions.sources.values() {
        sources.push(match source.format {
            SourceFormat::Segment => live(&engine, &app, &source.name).await?,
            SourceFormat::Kafka => of_topic(&source.name, topics.get(source.name.as_str())),
            format => of_files(
                &source.name,
                format,
                &engine.catalog.ingested_files(&app, &source.name).await?,
            ),
        });
    }
    let calls_defined =
        definitions.sources.values().any(|source| source.format == SourceFormat::Segment);
    if !calls_defined {
        // Calls are taken without a source, too.
        let undefined =
            Name::new("segment").map_err(|e| Problem::new(ErrorKind::Internal, e.to_string()))?;
        let body = live(&engine, &app, &undefined).await?;
        if body.rows > 0 {
            sources.push(body);
        }
    }
    Ok(Json(SourceList { sources }))
}

fn share(rejected: u64, rows: u64) -> Option<f64> {
    (rows > 0).then(|| rejected as f64 / rows as f64)
}

fn of_files(name: &Name, format: SourceFormat, files: &[IngestedFile]) -> SourceBody {
    let sum = |of: fn(&IngestedFile) -> u64| files.iter().map(of).sum::<u64>();
    let last = files.iter().max_by_key(|file| file.batch);
    let of_last = |of: fn(&IngestedFile) -> u64| {
        files
            .iter()
            .filter(|file| last.is_some_and(|last| last.batch == file.batch))
            .map(of)
            .sum::<u64>()
    };
    SourceBody {
        name: name.to_string(),
        format: match format {
            SourceFormat::Csv { .. } => "csv",
            SourceFormat::Jsonl => "jsonl",
            SourceFormat::Parquet => "parquet",
            SourceFormat::Segment => "segment",
            SourceFormat::Kafka => "kafka",
        }
        .into(),
        files: Some(files.len() as u64),
        rows: sum(|file| file.rows),
        accepted: sum(|file| file.accepted),
        rejected: sum(|file| file.rejected),
        filtered: sum(|file| file.filtered),
        duplicates: sum(|file| file.duplicates),
        rejected_share: share(sum(|file| file.rejected), sum(|file| file.rows)),
        last_landed: last.map(|file| instant(file.ingested_ms)),
        last_rows: of_last(|file| file.rows),
        last_rejected: of_last(|file| file.rejected),
    }
}

async fn live(engine: &Engine, app: &AppId, name: &Name) -> Result<SourceBody, Problem> {
    let totals = engine.landing.totals(app).await?;
    Ok(SourceBody {
        name: name.to_string(),
        format: "segment".into(),
        files: None,
        rows: totals.messages,
        accepted: totals.accepted,
        rejected: totals.rejected,
        filtered: totals.filtered,
        duplicates: totals.duplicates,
        rejected_share: share(totals.rejected, totals.messages),
        last_landed: totals.landed_ms.map(instant),
        last_rows: totals.last_messages,
        last_rejected: totals.last_rejected,
    })
}

fn of_topic(name: &Name, progress: Option<&TopicProgress>) -> SourceBody {
    let totals = progress.map(|progress| progress.totals).unwrap_or_default();
    SourceBody {
        name: name.to_string(),
        format: "kafka".into(),
        files: None,
        rows: totals.records,
        accepted: totals.accepted,
        rejected: totals.rejected,
        filtered: totals.filtered,
        duplicates: totals.duplicates,
        rejected_share: share(totals.rejected, totals.records),
        last_landed: totals.landed_ms.map(instant),
        last_rows: totals.last_records,
        last_rejected: totals.last_rejected,
    }
}

/// Selects files.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileFilter {
    /// Only this source.
    source: Option<String>,
    /// The `next` of the previous page.
    after: Option<String>,
    /// How many files, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The position of a file in the list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Landed {
    ingested_ms: Reverse<TimestampMs>,
    source: String,
    name: String,
}

impl Landed {
    /// The cursor behind it.
    fn cursor(&self) -> String {
        format!("{}:{}:{}", self.ingested_ms.0, self.source, self.name)
    }

    fn read(cursor: &str) -> Option<Self> {
        let (ingested, rest) = cursor.split_once(':')?;
        let (source, name) = rest.split_once(':')?;
        Some(Self {
            ingested_ms: Reverse(ingested.parse().ok()?),
            source: source.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The ingested files, newest first.
#[utoipa::path(get, path = "/apps/{app}/files", operation_id = "list_files", tag = "ingest", params(App, FileFilter),
    responses((status = 200, description = "A page of files.", body = FilePage), Problem))]
pub(crate) async fn files(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(filter): Query<FileFilter>,
) -> Result<Json<FilePage>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    check_source(&definitions, filter.source.as_deref())?;
    let limit = checked_limit(filter.limit)?;
    let wrong = || {
        Problem::new(
            ErrorKind::Invalid,
            "`after` is not the `next` of a page of files: give it as it came",
        )
    };
    let after =
        filter.after.as_deref().map(|cursor| Landed::read(cursor).ok_or_else(wrong)).transpose()?;
    let mut found: BTreeMap<Landed, IngestedFile> = BTreeMap::new();
    for source in definitions
        .sources
        .keys()
        .filter(|name| filter.source.as_deref().is_none_or(|wanted| name.as_str() == wanted))
    {
        for file in engine.catalog.ingested_files(&app, source).await? {
            let place = Landed {
                ingested_ms: Reverse(file.ingested_ms),
                source: source.to_string(),
                name: file.name.clone(),
            };
            if after.as_ref().is_none_or(|after| place > *after) {
                found.insert(place, file);
            }
        }
    }
    let next =
        if found.len() > limit { found.keys().nth(limit - 1).map(Landed::cursor) } else { None };
    let files = found.into_iter().take(limit).map(|(place, file)| FileLine {
        source: place.source,
        file: file.name,
        landed: instant(file.ingested_ms),
        size_bytes: file.size_bytes,
        rows: file.rows,
        accepted: file.accepted,
        rejected: file.rejected,
        filtered: file.filtered,
        duplicates: file.duplicates,
        batch: file.batch,
    });
    Ok(Json(FilePage { files: files.collect(), next }))
}

/// Which rejected rows.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RejectedFilter {
    /// Only this source.
    source: Option<String>,
    /// Only this reason, such as `bad_type`.
    reason: Option<String>,
    /// Only this file.
    file: Option<String>,
    /// The `next` of the previous page.
    after: Option<String>,
    /// How many rows, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Rows and fields that were rejected, with what is wrong and the row itself.
#[utoipa::path(get, path = "/apps/{app}/rejected", operation_id = "list_rejected", tag = "ingest", params(App, RejectedFilter),
    responses((status = 200, description = "A page of rejected rows.", body = RejectedList), Problem))]
pub(crate) async fn rejected(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(filter): Query<RejectedFilter>,
) -> Result<Json<RejectedList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    // They stand there as they came.
    caller.guard(&definitions).rows(filter.source.as_deref())?;
    let limit = checked_limit(filter.limit)?;
    let RejectedFilter { source, reason, file, after, .. } = filter;
    let page =
        rejected_rows(&engine.lake, &app, &RejectedQuery { source, reason, file, after, limit })
            .await?;
    engine.sum_read(&caller.id, &app, "rejected", page.rows.len() as u64, std::iter::empty());
    let rows = page.rows.into_iter().map(rejected_line).collect();
    Ok(Json(RejectedList { rows, reasons: page.reasons, next: page.next }))
}

fn rejected_line(row: RejectedRow) -> RejectedLine {
    let RejectedRow { received_ms, source, file, row, reason, detail, raw } = row;
    RejectedLine { received: instant(received_ms.0), source, file, row, reason, detail, raw }
}

fn checked_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LINES);
    if (1..=MAX_LINES).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(
        ErrorKind::Invalid,
        format!("{limit} lines in one call: 1 to {MAX_LINES} are allowed"),
    ))
}

fn check_source(definitions: &Definitions, named: Option<&str>) -> Result<(), Problem> {
    let Some(named) =
        named.filter(|named| !definitions.sources.keys().any(|name| name.as_str() == *named))
    else {
        return Ok(());
    };
    let known = definitions.sources.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    Err(Problem::new(
        ErrorKind::NotFound,
        format!("no source \"{named}\": the sources are {known}"),
    ))
}
