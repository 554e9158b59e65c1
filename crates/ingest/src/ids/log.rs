//! The log of what was said, in files of which the newest counts.

use super::entry::Entry;
use super::failure::{Failure, Result};
use super::said::{Said, SaidFrames, Standing};
use std::path::{Path, PathBuf};
use taghouse_disk::sync_folder;
use taghouse_journal::{AppendFile, FrameReader, TornEnd, frame_bytes};

const ENDING: &str = "log";

/// The log, open for appending.
pub(super) struct SaidLog {
    file: AppendFile,
    /// The number of the file.
    number: u64,
    /// The number of the next frame.
    next: u64,
}

/// Ids that are in no run.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) hour: u32,
    pub(super) entries: Vec<Entry>,
}

/// What a log was found to say.
pub(super) struct Heard {
    pub(super) log: SaidLog,
    pub(super) standing: Standing,
    pub(super) tail: Tail,
}

impl SaidLog {
    /// Opens the newest file of the folder; `None` where there is none.
    pub(super) fn open(folder: &Path) -> Result<Option<Heard>> {
        let mut numbers = files(folder)?;
        numbers.sort_unstable();
        while let Some(number) = numbers.pop() {
            let path = path(folder, number);
            if let Some(heard) = hear(&path, number)? {
                for older in numbers {
                    remove(&self::path(folder, older))?;
                }
                return Ok(Some(heard));
            }
            // Its maker was killed, and the one before it is still there; or it was the first.
            remove(&path)?;
        }
        Ok(None)
    }

    /// Makes the next file, which begins with all that holds; those before it go.
    pub(super) fn renewed(
        folder: &Path,
        before: Option<&Self>,
        standing: &Standing,
        tail: &Tail,
    ) -> Result<Self> {
        let number = before.map_or(0, |log| log.number + 1);
        let path = path(folder, number);
        let said = Said {
            all: Some(standing.clone()),
            kept_ms: standing.kept_ms,
            hour: Some(tail.hour),
            ..Said::default()
        };
        let frame = frame_bytes::<SaidFrames>(&0, &said.payload(tail.entries.iter().copied())?);
        let file = AppendFile::create(path.clone(), &frame).map_err(Failure::disk(&path))?;
        sync_folder(folder).map_err(Failure::disk(folder))?;
        if let Some(before) = before {
            remove(before.file.path())?;
        }
        Ok(Self { file, number, next: 1 })
    }

    /// Says something, on disk when this returns.
    pub(super) fn say(&mut self, said: &Said, entries: &[Entry]) -> Result<()> {
        let payload = said.payload(entries.iter().copied())?;
        let frame = frame_bytes::<SaidFrames>(&self.next, &payload);
        let written = self.file.write(&frame).and_then(|()| self.file.sync());
        written.map_err(Failure::disk(self.file.path()))?;
        self.next += 1;
        Ok(())
    }
}

/// `None`: not even what held at its beginning is there.
fn hear(path: &Path, number: u64) -> Result<Option<Heard>> {
    let content = std::fs::read(path).map_err(Failure::disk(path))?;
    let mut frames = FrameReader::new(path, &content, 0, TornEnd::Missing, SaidFrames { next: 0 });
    let (mut standing, mut tail) = (Standing::default(), Tail::default());
    while let Some(frame) = frames.next().map_err(|error| Failure::Damaged(error.to_string()))? {
        let Some((said, entries)) = Said::read(frame.payload) else {
            return Err(Failure::damaged(path, &format!("frame {} is damaged", frame.fields)));
        };
        standing.hear(&said);
        if let Some(void) = &said.void {
            tail.entries.retain(|entry| !void.has_in_memory(entry));
        }
        if let Some(hour) = said.hour {
            tail.hour = hour;
            tail.entries.extend(entries);
        }
    }
    let (end, next) = (frames.end(), frames.format().next);
    if next == 0 {
        return Ok(None);
    }
    let (file, _) = AppendFile::open(path.to_owned(), end).map_err(Failure::disk(path))?;
    Ok(Some(Heard { log: SaidLog { file, number, next }, standing, tail }))
}

fn files(folder: &Path) -> Result<Vec<u64>> {
    let entries = std::fs::read_dir(folder).map_err(Failure::disk(folder))?;
    let mut numbers = Vec::new();
    for entry in entries {
        let path = entry.map_err(Failure::disk(folder))?.path();
        if path.extension().is_some_and(|ending| ending == ENDING)
            && let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok())
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{ENDING}"))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(Failure::disk(path))
}
