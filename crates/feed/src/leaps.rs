//! Ids that no record of a feed has, because another feed may have given them.
//!
//! A data folder that is made of a backup goes on where the backup was taken, and so does its feed.
//! But the folder that was backed up went on too, and subscribers know ids of what came then. So a
//! restored feed leaps over as many ids as that can have been. Who has read up to the leap goes on
//! behind it, with no gap; whose last id lies within it is told that it is gone.

use crate::{Error, Result};
use std::path::Path;
use taghouse_model::TimestampMs;

/// Beside the apps' folders: that the folder was restored.
const RESTORED: &str = "restored";
/// In an app's folder: a line for each leap.
const LEAPS: &str = "leaps";

/// Ids for each ms since a backup was taken: more than a feed ever gives.
const IDS_A_MS: u64 = 1_000;
/// As if the backup had been taken earlier by so much: clocks differ.
const MORE_MS: u64 = 60_000;

/// Ids that were never given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leap {
    /// The id before the first of them.
    after: u64,
    /// The last of them.
    to: u64,
    /// When the folder was restored.
    restored_ms: TimestampMs,
}

/// The leaps of one feed, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaps(Vec<Leap>);

/// Notes in the folder of all feeds that it is of a backup: each feed leaps when it is opened.
///
/// # Errors
/// `Disk`.
pub fn note_restored(feeds: &Path, taken_ms: TimestampMs, now_ms: TimestampMs) -> Result<()> {
    let since_ms = u64::try_from(now_ms.saturating_sub(taken_ms)).unwrap_or(0);
    let ids = since_ms.saturating_add(MORE_MS).saturating_mul(IDS_A_MS);
    taghouse_disk::make_folder(feeds).map_err(Error::disk(feeds))?;
    let path = feeds.join(RESTORED);
    taghouse_disk::replace(&path, format!("{now_ms} {ids}\n").as_bytes()).map_err(Error::disk(path))
}

impl Leaps {
    /// The leaps of the feed in a folder; `end`: the id of its last record. Of a feed that was
    /// restored since it was opened last, it is one more, which is on disk on return.
    ///
    /// # Errors
    /// `Disk`; `Damaged`.
    pub(crate) fn open(folder: &Path, end: u64) -> Result<Self> {
        let mut leaps = Self(Vec::new());
        for [after, to, restored] in numbers(&folder.join(LEAPS))? {
            let restored_ms = i64::try_from(restored).unwrap_or(i64::MAX);
            leaps.0.push(Leap { after, to, restored_ms });
        }
        let Some(above) = folder.parent() else { return Ok(leaps) };
        for [restored, ids] in numbers(&above.join(RESTORED))? {
            let restored_ms = i64::try_from(restored).unwrap_or(i64::MAX);
            if leaps.0.iter().all(|leap| leap.restored_ms != restored_ms) {
                let after = end.max(leaps.end());
                leaps.0.push(Leap { after, to: after.saturating_add(ids), restored_ms });
                leaps.write(folder)?;
            }
        }
        Ok(leaps)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        taghouse_disk::make_folder(folder).map_err(Error::disk(folder))?;
        let line = |leap: &Leap| format!("{} {} {}\n", leap.after, leap.to, leap.restored_ms);
        let text: String = self.0.iter().map(line).collect();
        let path = folder.join(LEAPS);
        taghouse_disk::replace(&path, text.as_bytes()).map_err(Error::disk(path))
    }

    /// The last id that is never given; 0 without a leap.
    pub(crate) fn end(&self) -> u64 {
        self.0.iter().map(|leap| leap.to).max().unwrap_or(0)
    }

    /// Where somebody is who has read up to this id.
    pub(crate) fn past(&self, mut id: u64) -> u64 {
        for leap in &self.0 {
            if leap.after == id {
                id = leap.to;
            }
        }
        id
    }

    /// Whether the id is another feed's: it was never given here.
    pub(crate) fn lacks(&self, id: u64) -> bool {
        self.0.iter().any(|leap| leap.after < id && id < leap.to)
    }
}

/// What a backup has of the folder of all feeds, and of one: small files that are replaced whole.
pub(crate) const COPIED: [&str; 2] = [RESTORED, LEAPS];

/// Lines of numbers; none where there is no file.
fn numbers<const COUNT: usize>(path: &Path) -> Result<Vec<[u64; COUNT]>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::disk(path)(error)),
    };
    let line = |line: &str| -> Option<[u64; COUNT]> {
        let numbers: Option<Vec<u64>> = line.split(' ').map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let damaged = || Error::Damaged { path: path.to_owned(), offset: 0 };
    text.lines().map(|text| line(text).ok_or_else(damaged)).collect()
}
