//! What is said of the ids one thing after the other, in a log: what was noted, which runs there are.
//!
//! A file of it begins with all that held until then. The ids that are in no run stand in it too.
//!
//! ```text
//! frame:   payload bytes 4, -, number 8, checksum of the payload 8, of the head 8
//! payload: bytes of the JSON 4, JSON of [`Said`], entries of 32
//! ```

use super::entry::{ENTRY_BYTES, Entry};
use super::failure::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use taghouse_journal::{FrameFormat, FrameHead, HEAD_BYTES};
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

/// One thing that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// All that held; what follows comes on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) all: Option<Standing>,
    /// Kept time.
    pub(super) kept_ms: i64,
    /// The app whose log is noted through a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Marked>,
    /// A run that is there from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added: Option<RunOfHour>,
    /// Numbers of runs that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) removed: Vec<u64>,
    /// Ids that do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) void: Option<Void>,
    /// The hour of the entries that stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hour: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marked {
    pub(super) app: AppId,
    pub(super) through: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunOfHour {
    pub(super) number: u64,
    pub(super) hour: u32,
}

/// Ids of an app with positions in `after..=through`, in runs before a number: their records were
/// never committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Void {
    /// The hash of the app.
    pub(super) app: u64,
    pub(super) after: u64,
    pub(super) through: u64,
    pub(super) before_run: u64,
}

impl Void {
    /// Whether an entry of a run does not count by this.
    pub(super) fn has(&self, run: u64, entry: &Entry) -> bool {
        run < self.before_run && self.has_in_memory(entry)
    }

    /// Whether an entry that is in no run does not count, where it was there before this.
    pub(super) fn has_in_memory(&self, entry: &Entry) -> bool {
        entry.key.app == self.app && self.after < entry.position && entry.position <= self.through
    }
}

/// What holds, without the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) kept_ms: i64,
    /// Position noted through, by app.
    pub(super) marks: BTreeMap<AppId, u64>,
    /// The hour of each run, by number.
    pub(super) runs: BTreeMap<u64, u32>,
    pub(super) voids: Vec<Void>,
    /// The number of the next run.
    pub(super) next_run: u64,
}

impl Standing {
    pub(super) fn hear(&mut self, said: &Said) {
        if let Some(all) = &said.all {
            self.clone_from(all);
        }
        self.kept_ms = self.kept_ms.max(said.kept_ms);
        if let Some(Marked { app, through }) = &said.mark {
            self.marks.insert(app.clone(), *through);
        }
        if let Some(RunOfHour { number, hour }) = said.added {
            self.runs.insert(number, hour);
            self.next_run = self.next_run.max(number + 1);
        }
        for number in &said.removed {
            self.runs.remove(number);
        }
        self.voids.extend(said.void.clone());
        let oldest = self.runs.keys().next().copied().unwrap_or(self.next_run);
        self.voids.retain(|void| oldest < void.before_run);
    }
}

/// The frames, by number.
pub(super) struct SaidFrames {
    pub(super) next: u64,
}

impl FrameFormat for SaidFrames {
    type Fields = u64;

    fn head(number: &u64, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        head[8..16].copy_from_slice(&number.to_le_bytes());
        head[16..24].copy_from_slice(&xxh3_64(payload).to_le_bytes());
        let checksum = xxh3_64(&head[..24]);
        head[24..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<u64>> {
        let number = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        (number(24)? == xxh3_64(&bytes[..24])).then_some(FrameHead {
            fields: number(8)?,
            payload_bytes: usize::try_from(number(0)?).ok()?,
            payload_checksum: number(16)?,
            payload_seed: 0,
        })
    }

    fn is_next(&self, number: &u64) -> bool {
        *number == self.next
    }

    fn is_later(&self, number: &u64) -> bool {
        *number > self.next
    }

    fn pass(&mut self, number: &u64) {
        self.next = number + 1;
    }
}

impl Said {
    /// The payload of its frame.
    pub(super) fn payload(&self, entries: impl Iterator<Item = Entry>) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|error| Failure::Damaged(error.to_string()))?;
        let mut payload = (json.len() as u32).to_le_bytes().to_vec();
        payload.extend(json);
        entries.for_each(|entry| entry.write(&mut payload));
        Ok(payload)
    }

    /// What [`Said::payload`] wrote; `None` for other bytes.
    pub(super) fn read(payload: &[u8]) -> Option<(Self, Vec<Entry>)> {
        let (length, rest) = payload.split_first_chunk()?;
        let (json, entries) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (entries, []) = entries.as_chunks::<ENTRY_BYTES>() else { return None };
        let said = serde_json::from_slice(json).ok()?;
        Some((said, entries.iter().map(Entry::read).collect()))
    }
}
