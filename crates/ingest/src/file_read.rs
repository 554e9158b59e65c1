//! Files read in parallel and handed on in their order, so that what becomes of a run never depends
//! on which thread was faster.

use crate::decode::as_utf8;
use crate::file_time::FileTimes;
use crate::folder::{FoundFile, columns_of};
use crate::halt::Halt;
use crate::input_bytes::{Fingerprint, Stopped, fingerprint, open_text};
use crate::ledger::{Ledger, Standing};
use crate::mapping::Mapping;
use crate::row_checks::check_time;
use crate::row_reader::{Chunk, RowReader};
use crate::suppressed::SuppressedIds;
use crate::table_columns::Schemas;
use crate::{Error, Result, csv, jsonl, parquet};
use encoding_rs::Encoding;
use parking_lot::Mutex;
use std::num::NonZero;
use std::sync::Arc;
use taghouse_model::TimestampMs;
use taghouse_rules::SourceFormat;
use tokio::sync::mpsc;

/// Rows of a file that are handed on together.
const CHUNK_ROWS: u64 = 16_384;
/// Bytes of rows that are handed on together, about: long rows are fewer.
const CHUNK_BYTES: usize = 16 << 20;
/// Chunks of one file that may wait: what a thread reads ahead of its turn.
const WAITING_CHUNKS: usize = 6;
/// Files that may be begun or read before their turn. With the two above it bounds memory: about a
/// million rows.
const WAITING_FILES: usize = 12;

/// What is read of a file, in order. All parts but the last are `Chunk`s.
pub(crate) enum FilePart {
    /// The next rows.
    Chunk(Box<Chunk>),
    /// The file was read to its end.
    End(Fingerprint),
    /// It has landed before and has not changed since.
    Unchanged,
    /// The file is refused, for this reason. The chunks that were read of it do not count.
    Refused(String),
    /// The run cannot go on.
    Failed(Error),
}

/// What the reading threads share.
pub(crate) struct ReadingJob {
    pub(crate) files: Arc<Vec<FoundFile>>,
    /// Of files that are not read again.
    pub(crate) ledger: Ledger,
    pub(crate) format: SourceFormat,
    /// What texts are written in, if the source says so.
    pub(crate) encoding: Option<&'static Encoding>,
    pub(crate) mapping: Mapping,
    pub(crate) schemas: Schemas,
    pub(crate) now_ms: TimestampMs,
    /// What dates rows without a time of their own; `None`: the ingestion.
    pub(crate) file_times: Option<FileTimes>,
    /// Whose rows go nowhere.
    pub(crate) suppressed: Arc<SuppressedIds>,
}

/// The parts of one file.
pub(crate) type FileParts = mpsc::Receiver<FilePart>;

/// Begins to read the job's files on as many threads as there are cores. Gives, in order, each
/// file's parts. Dropping the receiver stops it.
pub(crate) fn start(job: ReadingJob) -> mpsc::Receiver<FileParts> {
    let (handed, order) = mpsc::channel(WAITING_FILES);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(job.files.len());
    let job = Arc::new(job);
    let next = Arc::new(Mutex::new(0));
    for _ in 0..threads {
        let (job, next, handed) = (Arc::clone(&job), Arc::clone(&next), handed.clone());
        tokio::task::spawn_blocking(move || read_files(&job, &next, &handed));
    }
    order
}

fn read_files(job: &ReadingJob, next: &Mutex<usize>, handed: &mpsc::Sender<FileParts>) {
    let mut rows = match RowReader::new(&job.mapping, &job.schemas, job.now_ms) {
        Ok(rows) => Some(rows.suppressing(job.suppressed.clone())),
        Err(e) => {
            tracing::error!(error = %e, "the table's schema is not the mapping's");
            None
        }
    };
    loop {
        // Taking a file and handing on its parts is one step: so they come in order.
        let mut at = next.lock();
        let Some(file) = job.files.get(*at) else { return };
        let (sender, parts) = mpsc::channel(WAITING_CHUNKS);
        if handed.blocking_send(parts).is_err() {
            return;
        }
        *at += 1;
        drop(at);
        let last = match rows.as_mut() {
            Some(rows) => read_file(job, file, rows, &sender),
            None => FilePart::Failed(Error::Internal(
                "the table's schema is not the mapping's: see the log".to_owned(),
            )),
        };
        if sender.blocking_send(last).is_err() {
            return;
        }
    }
}

/// Reads one file, hands on its chunks and gives its last part.
fn read_file(
    job: &ReadingJob,
    file: &FoundFile,
    rows: &mut RowReader,
    sender: &mpsc::Sender<FilePart>,
) -> FilePart {
    let stopped: Stopped = {
        let sender = sender.clone();
        Arc::new(move || sender.is_closed())
    };
    match job.ledger.standing(file, &stopped) {
        Ok(Standing::New) => {}
        Ok(Standing::Unchanged) => return FilePart::Unchanged,
        Ok(Standing::Changed(message)) => return FilePart::Refused(message),
        Err(e) => return FilePart::Refused(format!("the file cannot be read: {e}")),
    }
    match read_new_file(job, file, rows, sender, &stopped) {
        Ok(fingerprint) => FilePart::End(fingerprint),
        Err(Halt::Run(e)) => FilePart::Failed(e),
        Err(Halt::Damaged(problem)) => {
            refused(rows, format!("{problem}; restore the file, or move it out of the folder"))
        }
        Err(Halt::Refused(problem)) => refused(rows, problem),
    }
}

fn refused(rows: &mut RowReader, message: String) -> FilePart {
    rows.discard().map_or_else(|e| FilePart::Failed(e.into()), |()| FilePart::Refused(message))
}

/// What dates the file's rows where no column does.
fn file_ms(job: &ReadingJob, file: &FoundFile) -> std::result::Result<Option<TimestampMs>, Halt> {
    let Some(times) = &job.file_times else { return Ok(None) };
    let time = times.of(file)?;
    check_time(time, job.now_ms, job.mapping.max_future_ms)
        .map(Some)
        .map_err(|problem| Halt::Refused(format!("its own time {problem}")))
}

fn read_new_file(
    job: &ReadingJob,
    file: &FoundFile,
    rows: &mut RowReader,
    sender: &mpsc::Sender<FilePart>,
    stopped: &Stopped,
) -> std::result::Result<Fingerprint, Halt> {
    rows.begin_file(&file.name, &columns_of(&file.name), file_ms(job, file)?);
    // The receiver is gone when the run has stopped: then this error is nobody's.
    let hand_on = |rows: &mut RowReader| -> Result<()> {
        let chunk = Box::new(rows.finish()?);
        sender.blocking_send(FilePart::Chunk(chunk)).map_err(|_| Error::Cancelled)
    };
    let mut after_row = |rows: &mut RowReader| -> std::result::Result<(), Halt> {
        if stopped() {
            return Err(Error::Cancelled.into());
        }
        if rows.pending_rows() >= CHUNK_ROWS || rows.pending_bytes() >= CHUNK_BYTES {
            hand_on(rows)?;
        }
        Ok(())
    };
    let fingerprint = match job.format {
        SourceFormat::Csv { delimiter, escape } => {
            let (text, digest) = open_text(&file.path, stopped)?;
            csv::read(
                as_utf8(text, job.encoding)?,
                csv::Dialect { delimiter, escape },
                rows,
                &mut after_row,
            )?;
            digest.fingerprint()
        }
        SourceFormat::Jsonl => {
            let (text, digest) = open_text(&file.path, stopped)?;
            jsonl::read(as_utf8(text, job.encoding)?, rows, &mut after_row)?;
            digest.fingerprint()
        }
        SourceFormat::Parquet => {
            parquet::read(&file.path, rows, &mut after_row)?;
            fingerprint(&file.path, stopped)?
        }
        SourceFormat::Segment | SourceFormat::Kafka => {
            return Err(Halt::Run(Error::Internal(
                "what comes live is not read from files".to_owned(),
            )));
        }
    };
    if rows.pending_rows() > 0 {
        hand_on(rows)?;
    }
    Ok(fingerprint)
}
