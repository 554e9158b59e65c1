//! Reads a feed from its files.

use crate::app_feed::AppFeed;
use crate::frame::{FeedFrames, Fields, records};
use crate::record::Record;
use crate::segment::{HEAD, Segment};
use crate::subscribers::Progress;
use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_journal::{FrameFormat, FrameHead, HEAD_BYTES};
use taghouse_model::TimestampMs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The longest payload of a frame: many times what is written.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With all that is kept.
    Earliest,
    /// With what comes from now on.
    Latest,
    /// Behind the record of this id.
    After(u64),
}

/// Reads an app's records in order, once they are on disk, from the files.
pub struct FeedReader {
    place: Option<Place>,
    feed: Arc<AppFeed>,
    end: watch::Receiver<u64>,
    ending: CancellationToken,
    /// Of a subscriber.
    progress: Option<Arc<Progress>>,
}

/// Where a reader is. It goes to a blocking thread and comes back.
struct Place {
    /// The id of the next record.
    next: u64,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    segment: Segment,
    file: File,
    offset: u64,
    /// The id of the first record at the offset.
    first: u64,
}

impl FeedReader {
    pub(crate) fn open(
        feed: Arc<AppFeed>,
        start: Start,
        ending: CancellationToken,
    ) -> Result<Self> {
        let end = feed.end();
        let (first, last) = (feed.first(), *end.borrow());
        let next = match start {
            Start::Earliest => first,
            Start::Latest => last + 1,
            Start::After(after) => {
                let past = feed.leaps.past(after);
                if past.saturating_add(1) < first || past > last || feed.leaps.lacks(after) {
                    return Err(gone(&feed, after));
                }
                past + 1
            }
        };
        Ok(Self { place: Some(Place { next, open: None }), feed, end, ending, progress: None })
    }

    /// The same, as a subscriber.
    pub(crate) fn counted(self) -> Self {
        let progress = self.feed.subscribers.add(self.after());
        Self { progress: Some(progress), ..self }
    }

    /// The id behind which this reads on.
    pub fn after(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.next - 1)
    }

    /// Some of the next records; none: there are no more on disk now.
    ///
    /// # Errors
    /// `Gone`: they were removed meanwhile; `Damaged`; `Disk`. Nothing follows an error.
    pub async fn read(&mut self) -> Result<Vec<Record>> {
        let last = *self.end.borrow_and_update();
        let Some(mut place) = self.place.take() else { return Ok(Vec::new()) };
        place.next = self.feed.leaps.past(place.next - 1) + 1;
        self.progress.iter().for_each(|progress| progress.took(place.next - 1));
        if place.next > last {
            self.place = Some(place);
            return Ok(Vec::new());
        }
        let feed = self.feed.clone();
        let (place, records) = blocking(move || {
            let records = place.read(&feed)?;
            Ok::<_, Error>((place, records))
        })
        .await?;
        self.place = Some(place);
        if let (Some(progress), Some(first)) = (&self.progress, records.first()) {
            progress.hands_over(first.at_ms);
        }
        Ok(records)
    }

    /// Waits until there is more; `false`: nothing more comes.
    pub async fn wait(&mut self) -> bool {
        if self.place.is_none() {
            return false;
        }
        tokio::select! {
            biased;
            () = self.ending.cancelled() => false,
            changed = self.end.changed() => changed.is_ok(),
        }
    }

    /// Whether the process is about to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }
}

/// When the record behind this id was appended; `None`: it is not kept any more.
///
/// # Errors
/// `Disk`; `Damaged`.
pub(crate) async fn appended_behind(feed: Arc<AppFeed>, after: u64) -> Result<Option<TimestampMs>> {
    let next = (feed.leaps.past(after) + 1).max(feed.first());
    let read = blocking(move || Place { next, open: None }.read(&feed)).await;
    match read {
        Ok(records) => Ok(records.first().map(|record| record.at_ms)),
        Err(Error::Gone { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Place {
    /// The records of the next frame that has any for us, which is on disk.
    fn read(&mut self, feed: &AppFeed) -> Result<Vec<Record>> {
        loop {
            let segment = feed.segment_of(self.next);
            // One that was removed is read to its end all the same.
            let moved = |open: &mut OpenSegment| {
                segment.as_ref().is_some_and(|segment| segment.first != open.segment.first)
            };
            if self.open.as_mut().is_none_or(moved) {
                let segment = segment.ok_or_else(|| gone(feed, self.next - 1))?;
                self.open = Some(OpenSegment::of(feed, segment, self.next)?);
            }
            let Some(open) = &mut self.open else { continue };
            // What a segment lacks of what comes before the next one is lost.
            let Some(head) = open.head()? else { return Err(gone(feed, self.next - 1)) };
            if head.fields.next() <= self.next {
                open.skip(&head);
                continue;
            }
            let mut records = open.records(&head)?;
            records.retain(|record| record.id >= self.next);
            self.next = head.fields.next();
            return Ok(records);
        }
    }
}

impl OpenSegment {
    fn of(feed: &AppFeed, segment: Segment, next: u64) -> Result<Self> {
        let file = match File::open(&segment.path) {
            Ok(file) => file,
            // It was removed just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(gone(feed, next - 1));
            }
            Err(error) => return Err(Error::disk(&segment.path)(error)),
        };
        Ok(Self { first: segment.first, segment, file, offset: HEAD })
    }

    /// The head of the next frame; `None`: the file has none.
    fn head(&self) -> Result<Option<FrameHead<Fields>>> {
        let mut bytes = [0; HEAD_BYTES];
        match self.file.read_exact_at(&mut bytes, self.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(Error::disk(&self.segment.path)(error)),
        }
        let head = FeedFrames::read_head(&bytes);
        head.filter(|head| {
            head.fields.first == self.first && head.payload_bytes <= MAX_PAYLOAD_BYTES
        })
        .map(Some)
        .ok_or_else(|| self.damaged())
    }

    fn skip(&mut self, head: &FrameHead<Fields>) {
        self.first = head.fields.next();
        self.offset += (HEAD_BYTES + head.payload_bytes) as u64;
    }

    fn records(&mut self, head: &FrameHead<Fields>) -> Result<Vec<Record>> {
        let mut payload = vec![0; head.payload_bytes];
        let at = self.offset + HEAD_BYTES as u64;
        self.file.read_exact_at(&mut payload, at).map_err(Error::disk(&self.segment.path))?;
        let whole = Some(payload).filter(|payload| head.is_of(payload));
        let found = whole.and_then(|payload| records(head.fields, &payload));
        let found = found.ok_or_else(|| self.damaged())?;
        self.skip(head);
        Ok(found)
    }

    fn damaged(&self) -> Error {
        Error::Damaged { path: self.segment.path.clone(), offset: self.offset }
    }
}

fn gone(feed: &AppFeed, after: u64) -> Error {
    let (first, last) = (feed.first(), *feed.end().borrow());
    let kept = if first > last {
        format!("none now; the last one had the id {last}")
    } else {
        format!("those from {first} to {last}")
    };
    Error::Gone { after, kept }
}
