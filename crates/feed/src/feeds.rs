//! The feeds of all apps.

use crate::Result;
use crate::app_feed::AppFeed;
use crate::reader::{FeedReader, Start, appended_behind};
use crate::record::Change;
use crate::subscribers::Lag;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Clock, TimestampMs};
use tokio_util::sync::CancellationToken;

/// Where so much waits to be written, an append waits for it.
const WAITING_BYTES: usize = 32 << 20;

/// How long and how much of a feed is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records are kept for so many ms, and up to an eighth longer.
    pub age_ms: i64,
    /// Bytes that each app's feed takes on disk, about.
    pub bytes: u64,
}

impl Default for Retention {
    /// A week, 1 GiB.
    fn default() -> Self {
        Self { age_ms: 7 * 24 * 60 * 60 * 1000, bytes: 1 << 30 }
    }
}

/// What a feed has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The id of the first record kept; `end` + 1 if none is.
    pub first: u64,
    /// The id of the last record on disk; 0 before the first.
    pub end: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The feeds of all apps of a data folder.
pub struct Feeds {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    retention: Retention,
    apps: Mutex<HashMap<AppId, Arc<AppFeed>>>,
    opening: tokio::sync::Mutex<()>,
    ending: CancellationToken,
}

impl Feeds {
    /// Feeds in a folder, one folder for each app. Nothing is opened or made yet.
    pub fn new(folder: PathBuf, retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder,
            clock,
            retention,
            apps: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            ending: CancellationToken::new(),
        }
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) async fn feed(&self, app: &AppId) -> Result<Arc<AppFeed>> {
        let known = || self.apps.lock().get(app).cloned();
        if let Some(feed) = known() {
            return Ok(feed);
        }
        let _opening = self.opening.lock().await;
        if let Some(feed) = known() {
            return Ok(feed);
        }
        let folder = self.folder.join(app.as_str());
        let feed = Arc::new(blocking(move || AppFeed::open(folder)).await?);
        self.apps.lock().insert(app.clone(), feed.clone());
        Ok(feed)
    }

    /// Appends changes as of an instant and a log position. They are on disk, and seen by readers,
    /// a moment later; [`Feeds::flush`] waits for that.
    ///
    /// # Errors
    /// `Disk`: the feed cannot be opened, or too much waits that cannot be written. Nothing was
    /// appended then.
    pub async fn append(
        &self,
        app: &AppId,
        at_ms: TimestampMs,
        position: u64,
        changes: &[Change],
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let feed = self.feed(app).await?;
        if feed.waiting_bytes() > WAITING_BYTES {
            self.write(feed.clone()).await?;
        }
        feed.append(at_ms, position, changes);
        // Of those who append meanwhile, one write takes all.
        if !feed.scheduled.swap(true, Ordering::AcqRel) {
            let (now_ms, retention, app) = (self.clock.now_ms(), self.retention, app.clone());
            tokio::task::spawn_blocking(move || {
                feed.scheduled.store(false, Ordering::Release);
                if let Err(error) = feed.write(now_ms, &retention) {
                    tracing::error!(%app, %error, "changes wait in memory; it is tried again");
                }
            });
        }
        Ok(())
    }

    /// Waits until all that was appended is on disk.
    ///
    /// # Errors
    /// `Disk`; what is not on disk waits for the next attempt.
    pub async fn flush(&self, app: &AppId) -> Result<()> {
        let known = self.apps.lock().get(app).cloned();
        match known {
            Some(feed) => self.write(feed).await,
            None => Ok(()),
        }
    }

    /// The same for all apps, at the end of a process. What fails is logged: the stream shows it
    /// again.
    pub async fn leave(&self) {
        let feeds: Vec<_> =
            self.apps.lock().iter().map(|(app, f)| (app.clone(), f.clone())).collect();
        for (app, feed) in feeds {
            if let Err(error) = self.write(feed).await {
                tracing::warn!(%app, %error, "the last changes are not in the change feed yet");
            }
        }
    }

    async fn write(&self, feed: Arc<AppFeed>) -> Result<()> {
        let (now_ms, retention) = (self.clock.now_ms(), self.retention);
        blocking(move || feed.write(now_ms, &retention)).await
    }

    /// A reader of the records behind `start`.
    ///
    /// # Errors
    /// `Gone`: they are not kept any more, or there never were any; `Disk`.
    pub async fn reader(&self, app: &AppId, start: Start) -> Result<FeedReader> {
        FeedReader::open(self.feed(app).await?, start, self.ending.clone())
    }

    /// The same for somebody outside, of whom [`Feeds::lag`] tells.
    ///
    /// # Errors
    /// As [`Feeds::reader`].
    pub async fn subscribe(&self, app: &AppId, start: Start) -> Result<FeedReader> {
        Ok(self.reader(app, start).await?.counted())
    }

    /// How many subscribers an app's feed has, and how far behind the slowest is.
    ///
    /// # Errors
    /// `Disk`; `Damaged`.
    pub async fn lag(&self, app: &AppId) -> Result<Lag> {
        let feed = self.feed(app).await?;
        let Some(slowest) = feed.subscribers.slowest() else { return Ok(Lag::default()) };
        let records = feed.end().borrow().saturating_sub(slowest.taken);
        let lag = Lag { subscribers: slowest.subscribers, records, age_ms: 0 };
        if records == 0 {
            return Ok(lag);
        }
        let since_ms = match slowest.since_ms {
            Some(since_ms) => Some(since_ms),
            None => appended_behind(feed, slowest.taken).await?,
        };
        let age_ms = since_ms.map_or(0, |since_ms| self.clock.now_ms() - since_ms);
        Ok(Lag { age_ms: u64::try_from(age_ms).unwrap_or(0), ..lag })
    }

    /// What an app's feed has.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn extent(&self, app: &AppId) -> Result<Extent> {
        Ok(self.feed(app).await?.extent())
    }

    /// Gives no id up to this one any more: another feed of the app gave them, which is lost.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn begin_behind(&self, app: &AppId, id: u64) -> Result<()> {
        self.feed(app).await?.begin_behind(id);
        Ok(())
    }

    /// Keeps an app's records behind this id, however old they are and up to four times as many,
    /// until the holder calls it with a higher one. Of several holders the slowest counts.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn hold(&self, app: &AppId, holder: &str, id: u64) -> Result<()> {
        self.feed(app).await?.hold(holder, id);
        Ok(())
    }

    /// Keeps nothing for the holder any more.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn release(&self, app: &AppId, holder: &str) -> Result<()> {
        self.feed(app).await?.release(holder);
        Ok(())
    }

    /// Removes what is too old or too much, of feeds that were opened: call it every minute.
    ///
    /// # Errors
    /// `Disk`, after all feeds were looked at.
    pub async fn trim(&self) -> Result<()> {
        let feeds: Vec<_> = self.apps.lock().values().cloned().collect();
        let (now_ms, retention) = (self.clock.now_ms(), self.retention);
        blocking(move || {
            let trim = |feed: &Arc<AppFeed>| feed.trim(now_ms, &retention);
            let outcomes: Vec<Result<()>> = feeds.iter().map(trim).collect();
            outcomes.into_iter().collect::<Result<()>>()
        })
        .await
    }

    /// Tells all readers that nothing more comes, for the process ends.
    pub fn end_readers(&self) {
        self.ending.cancel();
    }
}
