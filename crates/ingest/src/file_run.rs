//! A run over files: read, checked, written as data files, and landed by one commit.
//!
//! One run is one batch: its number, events, attributes, rejected rows and ledger rows become
//! visible in one catalog transaction, whatever the number of files. So a run that is killed has
//! done nothing, and the same command again gives the same answers, also where rows of two
//! files have one message id or the share of rejects is known only at the end. Memory stays bounded
//! all the same: the lake's writers write data files as the rows come, and only message ids (16
//! bytes each, where the source gives any) are kept for the whole run.

use crate::admitted::Followed;
use crate::dedup::RunIds;
use crate::file_commit::{Batch, Places};
use crate::file_list;
use crate::file_read::{self, FilePart, FileParts, ReadingJob};
use crate::file_time::FileTimes;
use crate::folder::FoundFile;
use crate::input_bytes::Fingerprint;
use crate::ledger::Ledger;
use crate::mapping::Mapping;
use crate::report::is_over;
use crate::row_reader::Chunk;
use crate::row_tally::RowTally;
use crate::suppressed::Suppressions;
use crate::table_writers::{Files, Tables, Writers};
use crate::turns::Turns;
use crate::{Error, FailedFile, IngestOptions, IngestProgress, IngestReport, Landing, Result};
use encoding_rs::Encoding;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_catalog::{Catalog, IngestedFile};
use taghouse_disk::blocking;
use taghouse_identities::Identities;
use taghouse_lake::Lake;
use taghouse_model::{AppId, Clock, Name, TimestampMs};
use taghouse_rules::{Definitions, SourceDefinition};

/// From so many rows on the share of rejects is watched while the run goes on.
const WATCHED_ROWS: u64 = 10_000;

/// A file of more rows gets data files of its own, so that they can be thrown away if its end turns
/// out to be damaged.
const STAGED_ROWS: u64 = 131_072;

/// Who watches a run and may cancel it.
pub struct Attendant<'a> {
    /// Called after each step.
    pub progress: &'a (dyn Fn(&IngestProgress) + Send + Sync),
    /// The run stops when this future ends.
    pub cancelled: BoxFuture<'a, ()>,
}

impl Attendant<'static> {
    /// No attendant: no progress is reported, and nothing cancels the run.
    pub fn nobody() -> Self {
        Self { progress: &|_| (), cancelled: std::future::pending().boxed() }
    }
}

/// Takes files in.
#[derive(Clone)]
pub struct FileIngest {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    clock: Arc<dyn Clock>,
    turns: Arc<Turns>,
    followed: Followed,
    identities: Option<Arc<Identities>>,
    suppressions: Arc<Suppressions>,
}

impl FileIngest {
    /// `clock` gives the time of receipt; rows that lie after it are rejected.
    pub fn new(catalog: Arc<dyn Catalog>, lake: Arc<Lake>, clock: Arc<dyn Clock>) -> Self {
        Self {
            suppressions: Arc::new(Suppressions::new(catalog.clone())),
            catalog,
            lake,
            clock,
            turns: Arc::default(),
            followed: Followed::default(),
            identities: None,
        }
    }

    /// Beside landings of live calls into the same tables, so that a message id that comes in both
    /// ways lands once. The landing's follower hears of files too.
    pub fn beside(self, landing: &Landing) -> Self {
        Self {
            turns: landing.turns.clone(),
            followed: landing.followed.clone(),
            identities: Some(landing.identities.clone()),
            suppressions: landing.suppressions.clone(),
            ..self
        }
    }

    /// Takes in the files of `source` that have not landed yet: `files` are files and folders (of a
    /// folder those that match the source's `files`, or its format's endings), read in the
    /// order of their names. Rows that are wrong go to `rejected_events`; files that are
    /// wrong (changed since they landed, damaged) stand in the report's `failed`, and the others
    /// land.
    ///
    /// # Errors
    /// [`Error::NoSource`], [`Error::Invalid`] (a source of live calls, two files of one name),
    /// [`Error::Path`], [`Error::TooManyRejects`], [`Error::Cancelled`] once
    /// `attendant.cancelled` ends, unless all rows are read by then; the lake's and the
    /// catalog's, `Conflict` among them if another run of the source landed meanwhile. Nothing has
    /// landed then.
    pub async fn ingest(
        &self,
        app: &AppId,
        definitions: &Definitions,
        source: &Name,
        files: &[PathBuf],
        options: &IngestOptions,
        attendant: Attendant<'_>,
    ) -> Result<IngestReport> {
        let now_ms = self.clock.now_ms();

        // 1. What there is to read, and the tables it goes to.
        let (source, mapping) = Mapping::of_files(definitions, source)?;
        let listed = list(source, files).await?;
        let tables = Tables::ensure(&self.lake, app, definitions).await?;
        let ledger = Ledger::new(self.catalog.ingested_files(app, &source.name).await?);
        let suppressed = self.suppressions.of(app).await?;
        let encoding = source.encoding.as_deref();
        let zone = &definitions.app.time_zone;
        let job = ReadingJob {
            files: Arc::new(listed.files),
            ledger: if options.replace { Ledger::default() } else { ledger.clone() },
            format: source.format,
            encoding: encoding.and_then(|name| Encoding::for_label(name.as_bytes())),
            mapping,
            schemas: tables.schemas(),
            now_ms,
            file_times: source.file_time.map(|by| FileTimes { by, zone: zone.clone() }),
            suppressed: suppressed.clone(),
        };

        // 2. Read and write all files. Nothing points at the data files yet.
        let names = Arc::clone(&job.files);
        let mut run = FileRun::new(source, options, &tables, &ledger, now_ms);
        let outcome = tokio::select! {
            biased;
            () = attendant.cancelled => Err(Error::Cancelled),
            outcome = run.take_all(&names, &listed.sizes, file_read::start(job), attendant.progress) => outcome,
        };
        let Taken { batch, mut report } = run.close(outcome, app, &self.lake).await?;

        // 3. Land them by one commit.
        if !batch.landed.is_empty() {
            let places = Places {
                catalog: self.catalog.as_ref(),
                lake: &self.lake,
                turns: &self.turns,
                suppressions: &self.suppressions,
                suppressed: &suppressed,
            };
            batch.land(&places, &mut report).await?;
            report.batches = 1;
            if let Some(identities) = &self.identities {
                identities.forget_known(app);
            }
            if let Some(follower) = self.followed.get() {
                follower.files_landed(app).await;
            }
        }
        report.elapsed_ms = u64::try_from(self.clock.now_ms() - now_ms).unwrap_or_default();
        Ok(report)
    }
}

struct Listed {
    files: Vec<FoundFile>,
    sizes: Vec<u64>,
}

async fn list(source: &SourceDefinition, paths: &[PathBuf]) -> Result<Listed> {
    let (paths, glob, format) = (paths.to_vec(), source.files.clone(), source.format);
    let list = move || {
        let files = file_list::list(&paths, glob.as_deref(), format)?;
        let sizes = files
            .iter()
            .map(|file| std::fs::metadata(&file.path).map_or(0, |data| data.len()))
            .collect();
        Ok(Listed { files, sizes })
    };
    blocking(list).await
}

/// Counts over the files that are in, and those of the file being read.
#[derive(Default)]
struct Totals {
    done: RowTally,
    file: FileTotals,
}

#[derive(Default)]
struct FileTotals {
    tally: RowTally,
    events: BTreeMap<String, u64>,
    attributes: u64,
    duplicates: u64,
}

/// A run while it reads.
struct FileRun<'r> {
    source: &'r SourceDefinition,
    options: &'r IngestOptions,
    tables: &'r Tables,
    writers: Writers,
    ledger: &'r Ledger,
    ids: RunIds,
    /// The UTC days of rows whose ids the source maps.
    days: BTreeSet<i32>,
    files: Files,
    total: Totals,
    landed: Vec<IngestedFile>,
    /// What landed before under the names of those.
    earlier: BTreeMap<String, IngestedFile>,
    report: IngestReport,
    now_ms: TimestampMs,
}

/// What a run has read and written, to be landed.
struct Taken<'r> {
    batch: Batch<'r>,
    report: IngestReport,
}

impl<'r> FileRun<'r> {
    fn new(
        source: &'r SourceDefinition,
        options: &'r IngestOptions,
        tables: &'r Tables,
        ledger: &'r Ledger,
        now_ms: TimestampMs,
    ) -> Self {
        Self {
            source,
            options,
            writers: Writers::new(tables),
            tables,
            ledger,
            ids: RunIds::default(),
            days: BTreeSet::new(),
            files: Files::default(),
            total: Totals::default(),
            landed: Vec::new(),
            earlier: BTreeMap::new(),
            report: IngestReport::default(),
            now_ms,
        }
    }

    /// Ends the writing. If the run has failed, its data files are deleted.
    async fn close(self, outcome: Result<()>, app: &'r AppId, lake: &Lake) -> Result<Taken<'r>> {
        let mut files = self.files;
        let outcome = match outcome {
            Ok(()) if !self.landed.is_empty() => self.writers.close(&mut files).await,
            other => other,
        };
        if let Err(e) = outcome {
            files.discard(lake).await;
            return Err(e);
        }
        let batch = Batch {
            app,
            source: &self.source.name,
            tables: self.tables,
            files,
            landed: self.landed,
            earlier: self.earlier,
            ids: self.ids,
            days: self.days,
        };
        Ok(Taken { batch, report: self.report })
    }

    async fn take_all(
        &mut self,
        names: &[FoundFile],
        sizes: &[u64],
        mut order: tokio::sync::mpsc::Receiver<FileParts>,
        progress: &(dyn Fn(&IngestProgress) + Send + Sync),
    ) -> Result<()> {
        let mut told = IngestProgress {
            files_total: names.len() as u64,
            bytes_total: sizes.iter().sum(),
            ..IngestProgress::default()
        };
        for (file, size) in names.iter().zip(sizes) {
            let parts = order
                .recv()
                .await
                .ok_or_else(|| Error::Internal("the reading threads have stopped".to_owned()))?;
            let rows_before = told.rows;
            self.take_file(file, parts, &mut |rows| {
                told.rows = rows_before + rows;
                progress(&told);
            })
            .await?;
            told.files_done += 1;
            told.bytes_done += size;
            progress(&told);
        }
        self.check_share(0)
    }

    async fn take_file(
        &mut self,
        file: &FoundFile,
        mut parts: FileParts,
        on_rows: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        self.total.file = FileTotals::default();
        let mut staged: Vec<Chunk> = Vec::new();
        let mut own: Option<Writers> = None;
        loop {
            let part = parts.recv().await.ok_or_else(|| {
                Error::Internal(format!("the thread that read {} has stopped", file.name))
            })?;
            match part {
                FilePart::Chunk(mut chunk) => {
                    self.count(&mut chunk)?;
                    on_rows(self.total.file.tally.rows);
                    self.check_share(WATCHED_ROWS)?;
                    staged.push(*chunk);
                    if self.total.file.tally.rows > STAGED_ROWS {
                        let own = own.get_or_insert_with(|| Writers::new(self.tables));
                        own.write_all(&mut staged).await?;
                    }
                }
                FilePart::End(_) if self.total.file.tally.rows == 0 => {
                    self.report.empty.push(file.name.clone());
                    return Ok(());
                }
                FilePart::End(fingerprint) => {
                    match own {
                        Some(mut own) => {
                            own.write_all(&mut staged).await?;
                            own.close(&mut self.files).await?;
                        }
                        None => self.writers.write_all(&mut staged).await?,
                    }
                    self.land(file, fingerprint);
                    return Ok(());
                }
                FilePart::Unchanged => {
                    self.report.files_unchanged += 1;
                    return Ok(());
                }
                FilePart::Refused(message) => {
                    // The writers of the file's own go, and its data files with them.
                    self.ids.forget_file();
                    self.total.file = FileTotals::default();
                    self.report.failed.push(FailedFile { file: file.name.clone(), message });
                    return Ok(());
                }
                FilePart::Failed(e) => return Err(e),
            }
        }
    }

    /// Drops the chunk's duplicates and counts what is left.
    fn count(&mut self, chunk: &mut Chunk) -> Result<()> {
        let totals = &mut self.total.file;
        if let Some(fresh) = self.ids.claim(&chunk.hashes) {
            totals.duplicates += fresh.iter().filter(|fresh| !**fresh).count() as u64;
            chunk.accepted.retain(&fresh)?;
        }
        if !chunk.hashes.is_empty() {
            chunk.accepted.add_days(&mut self.days);
        }
        totals.tally.add(&chunk.tally);
        totals.attributes += chunk.accepted.attributes.num_rows() as u64;
        chunk.accepted.count_events(&mut totals.events);
        Ok(())
    }

    fn land(&mut self, file: &FoundFile, fingerprint: Fingerprint) {
        self.ids.keep_file();
        let FileTotals { tally, events, attributes, duplicates } =
            std::mem::take(&mut self.total.file);
        self.landed.push(IngestedFile {
            name: file.name.clone(),
            size_bytes: fingerprint.size_bytes,
            checksum: fingerprint.checksum,
            rows: tally.rows,
            accepted: tally.rows - tally.rejected - tally.filtered - tally.suppressed - duplicates,
            rejected: tally.rejected,
            filtered: tally.filtered + tally.suppressed,
            duplicates,
            batch: 0,
            ingested_ms: self.now_ms,
        });
        let report = &mut self.report;
        match self.ledger.get(&file.name) {
            Some(earlier) => {
                self.earlier.insert(file.name.clone(), earlier.clone());
                report.files_replaced += 1;
            }
            None => report.files_new += 1,
        }
        report.rows += tally.rows;
        report.attributes += attributes;
        report.filtered += tally.filtered;
        report.suppressed += tally.suppressed;
        report.replaced += tally.replaced;
        report.duplicates += duplicates;
        for (event, count) in events {
            *report.accepted.entry(event).or_default() += count;
        }
        for (reason, rows) in &tally.reasons {
            *report.rejected.entry(reason.to_string()).or_default() += rows.count;
        }
        self.total.done.add(&tally);
    }

    /// Stops the run if too large a share of at least `from_rows` rows is rejected.
    fn check_share(&self, from_rows: u64) -> Result<()> {
        let (done, file) = (&self.total.done, &self.total.file.tally);
        let (rows, rejected) = (done.rows + file.rows, done.rejected + file.rejected);
        let limit = self.source.max_reject_share;
        if self.options.allow_rejects || rows < from_rows || !is_over(limit, rejected, rows) {
            return Ok(());
        }
        let mut all = done.clone();
        all.add(file);
        let commonest = all.reasons.iter().max_by_key(|(_, rows)| rows.count);
        let reason = commonest
            .map(|(reason, rows)| format!("{reason}: {}", rows.detail))
            .unwrap_or_default();
        Err(Error::TooManyRejects {
            name: self.source.name.to_string(),
            rejected,
            rows,
            limit,
            reason,
        })
    }
}
