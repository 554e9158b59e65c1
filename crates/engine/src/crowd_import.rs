//! Files that say who is in a crowd, as a run: the file, then the crowds that are made of that one.

use crate::crowd_link::Pulled;
use crate::crowd_refresh::{Before, with_dependents};
use crate::{Engine, Error, Result, reports};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use taghouse_crowd::{GivenId, GivenUsers, IdCounts, Import, ImportMode, Imported};
use taghouse_disk::blocking;
use taghouse_ingest::{IdFile, IdFileOptions, IdRows, ProblemRows, SuppressedIds, read_ids};
use taghouse_model::{AppId, Name};
use taghouse_rules::{CrowdDefinition, CrowdLink, CrowdSource, Definitions, MAX_COLUMN_CHARS};
use taghouse_schedule::{Progress, RunHandle, Task, TaskError};
use taghouse_wire::{ImportReport, TaskResult};
use tokio_util::sync::CancellationToken;

pub(crate) const IMPORT: &str = "import";
/// How often a file is read again because the users were renumbered meanwhile.
const ATTEMPTS: u32 = 3;
/// So many ids are looked up at once.
const IDS_AT_ONCE: usize = 8192;
const UNKNOWN: &str = "it is the id of nobody";
const DUPLICATE: &str = "its user stands in an earlier row";
const SUPPRESSED: &str = "it is suppressed: its data is refused";

/// A file of ids, to be imported into a crowd.
pub struct CrowdImport {
    /// The app's definitions.
    pub definitions: Arc<Definitions>,
    /// The crowd, which is defined.
    pub crowd: Name,
    /// Where the file comes from.
    pub from: ImportFrom,
    /// What becomes of those who are in the crowd.
    pub mode: ImportMode,
    /// A name by which the sender knows it.
    pub batch: Option<String>,
    /// How the file is read; without a column, that of the definition.
    pub options: IdFileOptions,
}

/// Where a file of ids comes from.
pub enum ImportFrom {
    /// It is there.
    File {
        /// Where.
        path: PathBuf,
        /// Of a file that was sent here, what keeps it: dropped when the run needs it no more, however
        /// it ends.
        upload: Option<Box<dyn Send + Sync>>,
    },
    /// It is fetched, and imported if it is another than the last.
    Link(CrowdLink),
}

impl ImportFrom {
    /// What people know it by.
    fn name(&self) -> String {
        match self {
            Self::File { path, .. } => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Self::Link(_) => "the file of its link".to_owned(),
        }
    }
}

impl Engine {
    /// Starts to import a file into a crowd; `actor`, a key's id, stands in the audit trail.
    ///
    /// # Errors
    /// [`Error::Crowd`] for a crowd that is unknown, and for the name of the column; those of the
    /// trail and the scheduler. Nothing was begun. What [`Engine::imported_before`] refuses, the run
    /// does.
    pub async fn import(self: &Arc<Self>, actor: &str, import: CrowdImport) -> Result<RunHandle> {
        let app = import.definitions.app.id.clone();
        let how = match import.mode {
            ImportMode::Replace => "replacing with",
            ImportMode::Append => "adding",
            ImportMode::Remove => "removing",
        };
        let subject = format!("crowd {}, {how} {}", import.crowd, import.from.name());
        let start = self.start_import(import);
        self.audited_run(actor, &app, "crowd.import", &subject, start).await
    }

    /// Starts to import a file into a crowd.
    ///
    /// # Errors
    /// As [`Engine::import`].
    pub(crate) async fn start_import(
        self: &Arc<Self>,
        mut import: CrowdImport,
    ) -> Result<RunHandle> {
        let definitions = import.definitions.clone();
        let app = definitions.app.id.clone();
        let column = import.options.column.as_deref().map(|column| column.trim().chars().count());
        if column.is_some_and(|chars| !(1..=MAX_COLUMN_CHARS).contains(&chars)) {
            let why =
                format!("column has 1 to {MAX_COLUMN_CHARS} characters: name one, or leave it out");
            return Err(taghouse_crowd::Error::Argument(why).into());
        }
        let Some(crowd) = definitions.crowds.get(&import.crowd).cloned() else {
            return Err(taghouse_crowd::Error::UnknownCrowd(import.crowd.to_string()).into());
        };
        if let CrowdSource::Import { column: Some(column), .. } = &crowd.source {
            import.options.column.get_or_insert_with(|| column.clone());
        }
        // Users who were named before are known to it.
        self.index.position(&app).await?;
        let dependents = self.dependents(&definitions, &crowd.name).await?;
        let unchanged = Arc::new(AtomicBool::new(false));
        let before = Before { task: task_name(&crowd.name), unchanged: unchanged.clone() };
        let mut tasks = self.refreshes(&definitions, &dependents, Some(&before));
        tasks.insert(0, Box::new(ImportTask { engine: self.clone(), crowd, import, unchanged }));
        Ok(self.scheduler.start(&app, IMPORT, tasks).await?)
    }

    /// The version that a batch of this name made of a crowd before.
    ///
    /// # Errors
    /// [`Error::Crowd`] for a crowd that is unknown or made in another way, and for the name of the
    /// batch; of the catalog.
    pub async fn imported_before(
        &self,
        definitions: &Definitions,
        crowd: &Name,
        batch: Option<&str>,
    ) -> Result<Option<u64>> {
        let Some(crowd) = definitions.crowds.get(crowd) else {
            return Err(taghouse_crowd::Error::UnknownCrowd(crowd.to_string()).into());
        };
        Ok(self.crowds.imported_before(&definitions.app.id, crowd, batch).await?)
    }

    /// The crowds that are made of this one and were computed.
    async fn dependents(&self, definitions: &Definitions, crowd: &Name) -> Result<BTreeSet<Name>> {
        let mut all = with_dependents(definitions, &BTreeSet::from([crowd.clone()]));
        let records = self.crowds.records(&definitions.app.id).await?;
        all.retain(|other| other != crowd && records.contains_key(other.as_str()));
        Ok(all)
    }
}

pub(crate) fn task_name(crowd: &Name) -> String {
    format!("{IMPORT} {crowd}")
}

/// Imports a file into a crowd.
struct ImportTask {
    engine: Arc<Engine>,
    crowd: CrowdDefinition,
    import: CrowdImport,
    /// Set if crowds that are made of it stay as they are.
    unchanged: Arc<AtomicBool>,
}

/// A file that was read.
struct Read {
    file: IdFile,
    given: GivenUsers,
    /// How many rows it has.
    rows: u64,
    /// The packed rows that gave no user.
    problems: Option<Vec<u8>>,
}

#[async_trait]
impl Task for ImportTask {
    fn name(&self) -> String {
        task_name(&self.crowd.name)
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let began = Instant::now();
        let report = self.import(progress, began).await?;
        self.unchanged.store(report.repeated || report.waits.is_some(), Ordering::Release);
        let ImportReport { rows, unknown, invalid, version, .. } = &report;
        let name = &self.crowd.name;
        if *unknown + *invalid > 0 {
            progress.warn(format!(
                "crowd {name}: of {rows} rows, {unknown} hold an id of nobody and {invalid} no id; `taghouse versions rows {name} {version}` tells which"
            ));
        }
        if let Some(waits) = &report.waits {
            progress.warn(format!(
                "crowd {name}: version {version} does not answer, for {waits}; `taghouse versions publish {name}` lets it"
            ));
        }
        reports::result(&TaskResult::Import(report))
    }
}

impl ImportTask {
    async fn import(&mut self, progress: &Progress, began: Instant) -> Result<ImportReport> {
        let Self { engine, crowd, import, .. } = self;
        let definitions = import.definitions.clone();
        let app = &definitions.app.id;
        let name = crowd.name.to_string();
        let repeated = |version: u64| ImportReport {
            imported: name.clone(),
            version,
            repeated: true,
            elapsed_ms: elapsed_ms(began),
            ..ImportReport::default()
        };
        let before = engine.crowds.imported_before(app, crowd, import.batch.as_deref()).await?;
        if let Some(version) = before {
            return Ok(repeated(version));
        }

        let (path, pulled) = match &import.from {
            ImportFrom::File { path, .. } => (path.clone(), None),
            ImportFrom::Link(link) => match engine.pulled(app, crowd, link).await? {
                Pulled::Unchanged { version } => return Ok(repeated(version)),
                Pulled::File(file) => (file.file.path.clone(), Some((link, file))),
            },
        };

        let mut attempt = 1;
        let (read, imported) = loop {
            let mut read = read(engine, app, &path, &import.options, progress).await?;
            if read.given.is_empty() && import.mode == ImportMode::Replace {
                return Err(Error::NobodyImported { crowd: crowd.name.clone(), rows: read.rows });
            }
            let what = Import {
                mode: import.mode,
                batch: import.batch.clone(),
                rows: read.problems.take().map(Into::into),
            };
            match engine.crowds.import(&definitions, crowd, &read.given, &what).await {
                Ok(imported) => break (read, imported),
                Err(taghouse_crowd::Error::Renumbered { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        };

        let version = match imported {
            Imported::Before { version } => return Ok(repeated(version)),
            Imported::Version(version) => *version,
        };
        if let Some((link, pulled)) = &pulled {
            engine.note_pulled(app, crowd, link, pulled, version.version).await?;
        }
        let IdCounts { given: rows, unknown, duplicates, invalid } =
            version.ids.unwrap_or_default();
        Ok(ImportReport {
            imported: name,
            version: version.version,
            repeated: false,
            size: version.size,
            waits: version.waits.map(|waits| waits.to_string()),
            header: read.file.header,
            column: read.file.column as u64,
            rows,
            matched: rows - unknown - duplicates - invalid,
            duplicates,
            unknown,
            invalid,
            elapsed_ms: elapsed_ms(began),
        })
    }
}

fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Reads the file. Dropping it ends the reading.
async fn read(
    engine: &Engine,
    app: &AppId,
    path: &Path,
    options: &IdFileOptions,
    progress: &Progress,
) -> Result<Read> {
    let given = engine.crowds.given_users(app, None).await?;
    let suppressed = engine.suppressed(app).await?;
    let (path, options) = (path.to_owned(), options.clone());
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let cancelled = progress.cancel();
    let stopped: taghouse_ingest::Stopped =
        Arc::new(move || stop.is_cancelled() || cancelled.is_cancelled());
    let progress = progress.clone();
    blocking(move || {
        let mut rows = Rows {
            given,
            suppressed,
            waiting: Vec::new(),
            problems: ProblemRows::default(),
            rows: 0,
            progress,
        };
        let file = read_ids(&path, &options, &stopped, &mut rows)?;
        rows.ended(file)
    })
    .await
}

/// A row whose id is not looked up yet, or that has none.
struct Waiting {
    number: u64,
    id: std::result::Result<String, String>,
}

/// Gathers the users of a file's rows.
struct Rows {
    given: GivenUsers,
    /// Who is in no crowd by a file.
    suppressed: Arc<SuppressedIds>,
    waiting: Vec<Waiting>,
    problems: ProblemRows,
    rows: u64,
    progress: Progress,
}

impl Rows {
    fn look_up(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let ids: Vec<&str> = waiting.iter().filter_map(|row| row.id.as_deref().ok()).collect();
        let mut found = self.given.add(&ids)?.into_iter();
        for Waiting { number, id } in &waiting {
            let problem = match id {
                Err(problem) => {
                    self.given.add_invalid(1);
                    problem.as_str()
                }
                Ok(_) => match found.next() {
                    Some(GivenId::Matched) => continue,
                    Some(GivenId::Duplicate) => DUPLICATE,
                    Some(GivenId::Unknown) | None => UNKNOWN,
                },
            };
            self.problems.add(*number, problem).map_err(unpacked)?;
        }
        self.rows += waiting.len() as u64;
        self.progress.message(format!("{} rows", self.rows));
        Ok(())
    }

    fn ended(mut self, file: IdFile) -> Result<Read> {
        self.look_up()?;
        let problems = self.problems.finish().map_err(unpacked)?;
        Ok(Read { file, given: self.given, rows: self.rows, problems })
    }
}

fn unpacked(error: std::io::Error) -> Error {
    Error::Unpacked(error)
}

impl IdRows for Rows {
    type Error = Error;

    fn known(&mut self, ids: &[&str]) -> Result<usize> {
        Ok(self.given.known(ids)?)
    }

    fn row(&mut self, number: u64, id: std::result::Result<&str, &str>) -> Result<()> {
        let id = id.map(str::to_owned).map_err(str::to_owned);
        let id = id.and_then(|id| match self.suppressed.holds(&id) {
            true => Err(SUPPRESSED.to_owned()),
            false => Ok(id),
        });
        self.waiting.push(Waiting { number, id });
        if self.waiting.len() >= IDS_AT_ONCE {
            self.look_up()?;
        }
        Ok(())
    }
}
