//! Events that could not be delivered: kept in files until they are sent again, or are too old or
//! too many.

use crate::line_files::{FileLimits, LineFiles};
use crate::{Error, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_model::TimestampMs;

const LIMITS: FileLimits =
    FileLimits { file_bytes: 8 << 20, total_bytes: 64 << 20, age_ms: 30 * 24 * 60 * 60 * 1000 };

/// An event that could not be delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was given up.
    pub at_ms: TimestampMs,
    /// Why.
    pub reason: String,
    /// Of the last answer; `None`: there was none.
    pub status: Option<u16>,
    /// How often it was tried to send it.
    pub attempts: u32,
    /// The CloudEvent.
    pub event: serde_json::Value,
}

impl DeadLetter {
    /// The id of the event.
    pub fn id(&self) -> &str {
        self.event["id"].as_str().unwrap_or_default()
    }

    /// The id of the user whose data it holds; `None`: it holds nobody's. That somebody was deleted is
    /// still to be told.
    pub(crate) fn user(&self) -> Option<&str> {
        let tells_of_deletion = self.event["type"] == "taghouse.user.deleted";
        self.event["subject"].as_str().filter(|_| !tells_of_deletion)
    }

    /// When what its event says came about; what cannot be read is old.
    fn of_ms(&self) -> TimestampMs {
        let time =
            self.event["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        time.map_or(TimestampMs::MIN, jiff::Timestamp::as_millisecond)
    }
}

/// Some of a sink's dead letters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadLetterList {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    /// How many there are.
    pub total: u64,
}

/// The dead letters of one sink.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    folder: PathBuf,
    files: Arc<Mutex<Option<LineFiles>>>,
    /// Held by who sends them again.
    pub(crate) sending: Arc<tokio::sync::Mutex<()>>,
}

impl DeadLetters {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, files: Arc::default(), sending: Arc::default() }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LineFiles) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (folder, files) = (self.folder.clone(), self.files.clone());
        blocking(move || {
            let mut files = files.lock();
            let files = match &mut *files {
                Some(files) => files,
                none => none.insert(LineFiles::open(folder, "dead-letters", LIMITS, written_at)?),
            };
            work(files)
        })
        .await
    }

    /// Appends letters: they are on disk when this returns. How many old ones were removed for it.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn append(&self, letters: &[DeadLetter], now_ms: TimestampMs) -> Result<u64> {
        let lines: Vec<String> = letters
            .iter()
            .map(|letter| serde_json::to_string(letter).map_err(std::io::Error::from))
            .collect::<std::io::Result<_>>()
            .map_err(Error::disk(&self.folder))?;
        self.with(move |files| files.append(&lines, now_ms)).await
    }

    /// Removes those that are too old; how many.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn trim(&self, now_ms: TimestampMs) -> Result<u64> {
        self.with(move |files| files.trim(now_ms)).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn count(&self) -> Result<u64> {
        self.with(|files| Ok(files.lines())).await
    }

    /// The oldest of them.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn first(&self, limit: usize) -> Result<DeadLetterList> {
        self.with(move |files| {
            let mut letters = Vec::new();
            for line in files.first(limit)? {
                match serde_json::from_str(&line) {
                    Ok(letter) => letters.push(letter),
                    // It stays in its file, where people can read it.
                    Err(error) => tracing::warn!(%error, line, "a dead letter cannot be read"),
                }
            }
            Ok(DeadLetterList { letters, total: files.lines() })
        })
        .await
    }

    /// The ids of users of whom there are letters.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn users(&self) -> Result<BTreeSet<String>> {
        let letters = self.first(usize::MAX).await?.letters;
        Ok(letters.iter().filter_map(|letter| Some(letter.user()?.to_owned())).collect())
    }

    /// Removes those of users who were deleted at, or after, the time that the letter's event speaks
    /// of; how many.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn erase(&self, gone: Arc<HashMap<String, TimestampMs>>) -> Result<u64> {
        self.with(move |files| {
            let before = files.lines();
            files.remove(|line| {
                let letter: Option<DeadLetter> = serde_json::from_str(line).ok();
                let gone_ms = |letter: &DeadLetter| gone.get(letter.user()?).copied();
                letter.is_some_and(|letter| gone_ms(&letter).is_some_and(|at| letter.of_ms() <= at))
            })?;
            Ok(before - files.lines())
        })
        .await
    }

    /// Removes those with these ids of their events.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) async fn remove(&self, ids: HashSet<String>) -> Result<()> {
        self.with(move |files| {
            files.remove(|line| {
                let letter: Option<DeadLetter> = serde_json::from_str(line).ok();
                letter.is_some_and(|letter| ids.contains(letter.id()))
            })
        })
        .await
    }
}

fn written_at(line: &str) -> Option<TimestampMs> {
    serde_json::from_str::<serde_json::Value>(line).ok()?["at_ms"].as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn letter(number: u64, user: &str, kind: &str, second: u32) -> DeadLetter {
        DeadLetter {
            at_ms: 100_000,
            reason: "the receiver answered 422".to_owned(),
            status: Some(422),
            attempts: 1,
            event: json!({
                "id": format!("t-{number}"),
                "type": kind,
                "subject": user,
                "time": format!("1970-01-01T00:00:{second:02}Z"),
            }),
        }
    }

    #[tokio::test]
    async fn what_is_a_deleted_users_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dead = DeadLetters::at(folder.path().to_owned());
        let changed = "taghouse.tag.changed";
        let letters = [
            letter(1, "ann", changed, 1),
            letter(2, "bob", changed, 2),
            letter(3, "ann", changed, 10),
            letter(4, "ann", "taghouse.user.deleted", 10),
            letter(5, "ann", changed, 11),
        ];
        dead.append(&letters, 100_000).await.unwrap();
        assert_eq!(dead.users().await.unwrap(), ["ann", "bob"].map(str::to_owned).into());
        let gone = Arc::new(HashMap::from([("ann".to_owned(), 10_000)]));
        assert_eq!(dead.erase(gone.clone()).await.unwrap(), 2);
        let left = DeadLetters::at(folder.path().to_owned()).first(9).await.unwrap();
        let ids: Vec<&str> = left.letters.iter().map(DeadLetter::id).collect();
        assert_eq!((ids, left.total), (vec!["t-2", "t-4", "t-5"], 3));
        assert_eq!(dead.erase(gone).await.unwrap(), 0);
    }
}
