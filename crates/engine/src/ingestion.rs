//! Files into the lake, as a run.

use crate::{Engine, Error, Result, named, reports};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_ingest::IngestOptions;
use taghouse_lake::layout;
use taghouse_model::{AppId, ErrorKind, Name};
use taghouse_rules::{Definitions, SourceFormat};
use taghouse_schedule::{Progress, RunHandle, Task, TaskError};

const INGEST: &str = "ingest";

/// Files of one source, to be ingested.
pub struct Ingestion {
    /// The app's definitions.
    pub definitions: Arc<Definitions>,
    /// Which source maps them.
    pub source: Name,
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Of files that were sent here, what keeps them: dropped when the run needs them no more,
    /// however it ends.
    pub upload: Option<Box<dyn Send + Sync>>,
    /// How they are ingested.
    pub options: IngestOptions,
}

impl Engine {
    /// Starts to ingest files; `actor`, a key's id, stands in the audit trail.
    ///
    /// # Errors
    /// Those of the trail and the scheduler: then nothing was begun.
    pub async fn ingest(self: &Arc<Self>, actor: &str, ingestion: Ingestion) -> Result<RunHandle> {
        let app = ingestion.definitions.app.id.clone();
        let files = ingestion.paths.iter().map(|path| {
            path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
        });
        let how = if ingestion.options.replace { ", replacing" } else { "" };
        let subject = format!(
            "source {}{how}: {}",
            ingestion.source,
            named(files.collect::<Vec<_>>().into_iter())
        );
        let start =
            async { Ok(self.scheduler.start(&app, INGEST, tasks(self, &app, ingestion)).await?) };
        self.audited_run(actor, &app, INGEST, &subject, start).await
    }
}

/// The source that maps files: the one of this name or, where none is named, the only one.
///
/// # Errors
/// [`Error::UnknownSource`], [`Error::NoSource`], [`Error::WhichSource`].
pub fn source_of_files(definitions: &Definitions, named: Option<&str>) -> Result<Name> {
    let of_files: Vec<&Name> = definitions
        .sources
        .values()
        .filter(|source| !source.format.is_live())
        .map(|source| &source.name)
        .collect();
    let app = || definitions.app.id.clone();
    let known = || of_files.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let found = match (named, of_files.as_slice()) {
        (Some(named), _) => {
            of_files.iter().copied().find(|name| name.as_str() == named).ok_or_else(|| {
                Error::UnknownSource { source_name: named.to_owned(), app: app(), known: known() }
            })?
        }
        (None, [one]) => *one,
        (None, []) => return Err(Error::NoSource { app: app() }),
        (None, _) => return Err(Error::WhichSource { known: known() }),
    };
    Ok(found.clone())
}

/// The tasks of an ingestion: the files, then the verdict on them.
fn tasks(engine: &Arc<Engine>, app: &AppId, ingestion: Ingestion) -> Vec<Box<dyn Task>> {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let files = IngestTask {
        engine: engine.clone(),
        app: app.clone(),
        ingestion,
        refused: refused.clone(),
    };
    vec![Box::new(files), Box::new(RefusedFiles(refused))]
}

/// Files of one source into the lake.
struct IngestTask {
    engine: Arc<Engine>,
    app: AppId,
    ingestion: Ingestion,
    /// What [`RefusedFiles`] is to tell.
    refused: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Task for IngestTask {
    fn name(&self) -> String {
        INGEST.to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let told = |at: &taghouse_ingest::IngestProgress| {
            progress.set(at.bytes_done, at.bytes_total);
            progress.message(format!(
                "{} of {} files, {} rows",
                at.files_done, at.files_total, at.rows
            ));
        };
        // What earlier runs left as small files. This one's are for the next: the same run would
        // only write its rows twice.
        let tables = [layout::EVENTS, layout::ATTRIBUTES, layout::REJECTED_EVENTS];
        tokio::select! {
            biased;
            // What is broken off has changed nothing.
            () = progress.cancelled() => return Err(TaskError::new(ErrorKind::Unavailable, taghouse_ingest::Error::Cancelled)),
            kept = self.engine.lake.maintain_some(&self.app, &tables) => {
                if let Err(error) = kept {
                    tracing::warn!(app = %self.app, %error, "the lake could not be kept small; the next ingestion tries again");
                }
            }
        }
        let attendant = taghouse_ingest::Attendant {
            progress: &told,
            cancelled: Box::pin(progress.cancelled()),
        };
        let Ingestion { definitions, source, paths, options, .. } = &self.ingestion;
        let report = self
            .engine
            .files
            .ingest(&self.app, definitions, source, paths, options, attendant)
            .await
            .map_err(Error::from)?;
        if report.files_new + report.files_replaced == 0
            && report.files_unchanged == 0
            && report.failed.is_empty()
            && report.empty.is_empty()
        {
            return Err(TaskError::new(ErrorKind::Invalid, self.ingestion.nothing_found()));
        }
        let failed =
            report.failed.iter().map(|file| format!("{}: {}", file.file, file.message)).collect();
        *self.refused.lock() = failed;
        reports::result(&reports::ingested(&report))
    }
}

impl Ingestion {
    fn nothing_found(&self) -> String {
        let source = self.definitions.sources.get(&self.source);
        let wanted = match source.map(|source| (&source.files, source.format)) {
            Some((Some(pattern), _)) => format!("matches its pattern \"{pattern}\""),
            Some((None, SourceFormat::Csv { .. })) => "ends in .csv or .csv.gz".to_owned(),
            Some((None, SourceFormat::Jsonl)) => {
                "ends in .jsonl or .ndjson, with or without .gz".to_owned()
            }
            Some((None, SourceFormat::Parquet)) => "ends in .parquet".to_owned(),
            Some((None, SourceFormat::Segment | SourceFormat::Kafka)) | None => {
                "is of it".to_owned()
            }
        };
        let paths = self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let place = if self.upload.is_some() { "the upload".to_owned() } else { paths.join(", ") };
        let looked = "subfolders are looked into where they are called column=value, and all of them by a pattern such as **/*.csv";
        format!("source \"{}\": no file in {place} {wanted}; {looked}", self.source)
    }
}

/// Makes the run fail where files were refused. A task of its own, so that the report of those that
/// landed is kept beside the failure.
struct RefusedFiles(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Task for RefusedFiles {
    fn name(&self) -> String {
        "refused files".to_owned()
    }

    fn after(&self) -> Vec<String> {
        vec![INGEST.to_owned()]
    }

    async fn run(&mut self, _: &Progress) -> std::result::Result<Value, TaskError> {
        let refused = self.0.lock().clone();
        if refused.is_empty() {
            Ok(Value::Null)
        } else {
            Err(TaskError::new(ErrorKind::Invalid, refused.join("; ")))
        }
    }
}
