use crate::committer::Committer;
use crate::contents::Contents;
use crate::frozen::Frozen;
use crate::options::Options;
use crate::plan::{Request, Work};
use crate::read::read_records;
use crate::{
    Error, EventLog, FrozenLog, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_RECORD_BYTES, Result,
    opening,
};
use async_trait::async_trait;
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Bytes that may wait for the disk over all callers; the rest waits in the callers.
const WAITING_BYTES: usize = 2 * MAX_APPEND_BYTES;
/// What a record costs beside its bytes, so that empty records cannot wait in any number.
const RECORD_OVERHEAD: usize = 32;
const WAITING_REQUESTS: usize = 16 * 1024;

/// The log in this process, in one folder of segment files; one process at a time. Beside the folder
/// a file with the ending `mark` notes how much was acknowledged: a log that has lost some of it is
/// refused.
///
/// After a failed write it goes on with the next one, so it recovers once the disk does. Dropping it
/// waits for the writes handed in.
///
/// ```
/// use taghouse_log::{EmbeddedLog, EventLog};
/// use taghouse_model::AppId;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let log = EmbeddedLog::open(&folder.path().join("log"))?;
/// let shop = AppId::new("shop")?;
///
/// // On disk when it returns.
/// let last = log.append(&shop, vec![b"first".to_vec(), b"second".to_vec()]).await?;
/// assert_eq!(last, 2);
///
/// assert_eq!(log.read(&shop, 1, 10).await?, [(2, b"second".to_vec())]);
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedLog {
    contents: Arc<RwLock<Contents>>,
    options: Options,
    requests: Option<mpsc::Sender<Request>>,
    waiting: Arc<Semaphore>,
    syncs: Arc<AtomicU64>,
    slices: Arc<AtomicU64>,
    committer: Option<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the folder, making it where there is none.
    ///
    /// # Errors
    /// `Locked` where another process has it, `Corrupt` or `Lost` where it does not hold what was
    /// written, `OldForm` where an older version wrote it, `Unavailable` where the disk fails.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// For tests: with other limits.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_with(path: &Path, options: Options) -> Result<Self> {
        let (syncs, slices) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let opened = opening::open(path)?;
        let committer = Committer::new(path, opened, options, syncs.clone(), slices.clone())?;
        let contents = committer.contents.clone();
        let (requests, received) = mpsc::channel(WAITING_REQUESTS);
        let thread = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || committer.serve(received));
        let thread = thread.map_err(|e| Error::Unavailable(format!("no thread: {e}")))?;
        Ok(Self {
            contents,
            options,
            requests: Some(requests),
            waiting: Arc::new(Semaphore::new(WAITING_BYTES)),
            syncs,
            slices,
            committer: Some(thread),
        })
    }

    /// How many syncs it has done since it was opened: with many callers, far fewer than appends.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How many slices of live records it has carried out of old segments since it was opened: one at
    /// most between two groups of appends.
    pub fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    async fn submit(
        &self,
        app: &AppId,
        work: Work,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<u64> {
        let gone = || Error::Unavailable("its writer has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests
            .send(Request { app: app.clone(), work, reply, permit })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.committer.take()
            && thread.join().is_err()
        {
            tracing::error!("the event log's writer ended in a panic");
        }
    }
}

/// Checks the limits; gives the bytes that count against those waiting.
fn weigh(records: &[Vec<u8>]) -> Result<usize> {
    if let Some((index, record)) =
        records.iter().enumerate().find(|(_, record)| record.len() > MAX_RECORD_BYTES)
    {
        return Err(Error::RecordTooLong { index, bytes: record.len() });
    }
    let bytes: usize = records.iter().map(Vec::len).sum();
    if bytes > MAX_APPEND_BYTES || records.len() > MAX_APPEND_RECORDS {
        return Err(Error::AppendTooLarge { records: records.len(), bytes });
    }
    Ok(bytes + records.len() * RECORD_OVERHEAD)
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> Result<u64> {
        let weight = weigh(&records)?;
        if records.is_empty() {
            return self.end(app).await;
        }
        let weight = u32::try_from(weight).map_err(|e| Error::Internal(e.to_string()))?;
        let permit = self
            .waiting
            .clone()
            .acquire_many_owned(weight)
            .await
            .map_err(|e| Error::Internal(e.to_string()))?;
        self.submit(app, Work::Append(records), Some(permit)).await
    }

    async fn read(&self, app: &AppId, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let (contents, app) = (self.contents.clone(), app.clone());
        blocking(move || read_records(&contents, &app, from, limit)).await
    }

    async fn trim(&self, app: &AppId, through: u64) -> Result<()> {
        self.submit(app, Work::Trim(through), None).await.map(drop)
    }

    async fn end(&self, app: &AppId) -> Result<u64> {
        Ok(self.contents.read().mark(app).end)
    }

    async fn freeze(&self) -> Result<Box<dyn FrozenLog>> {
        let frozen = self.contents.read().clone();
        Ok(Box::new(Frozen::new(frozen, self.options)))
    }
}
