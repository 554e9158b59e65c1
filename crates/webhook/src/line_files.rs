//! Lines of JSON in files, oldest first, bounded by bytes and age. A line is on disk when
//! [`LineFiles::append`] returns. What a crash left of a line without its end was never there.

use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use taghouse_model::TimestampMs;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLimits {
    /// A file that reaches this gets a successor.
    pub(crate) file_bytes: u64,
    /// Beyond it the oldest files are removed.
    pub(crate) total_bytes: u64,
    /// Files are removed when their newest line is as old.
    pub(crate) age_ms: i64,
}

struct LineFile {
    number: u64,
    /// Of whole lines.
    bytes: u64,
    lines: u64,
    newest_ms: TimestampMs,
}

pub(crate) struct LineFiles {
    folder: PathBuf,
    prefix: &'static str,
    limits: FileLimits,
    files: Vec<LineFile>,
}

impl LineFiles {
    /// Looks at what is there; the folder need not be. `time` reads when a line was written.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn open(
        folder: PathBuf,
        prefix: &'static str,
        limits: FileLimits,
        time: impl Fn(&str) -> Option<TimestampMs>,
    ) -> Result<Self> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { folder, prefix, limits, files });
            }
            Err(error) => return Err(Error::disk(&folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(Error::disk(&folder))?.path();
            let Some(number) = number_of(&path, prefix) else { continue };
            let content = whole_lines(&path)?;
            let newest_ms = content.lines().last().and_then(&time).unwrap_or(0);
            let (bytes, lines) = (content.len() as u64, content.lines().count() as u64);
            files.push(LineFile { number, bytes, lines, newest_ms });
        }
        files.sort_by_key(|file| file.number);
        Ok(Self { folder, prefix, limits, files })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}-{number:08}.jsonl", self.prefix))
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> u64 {
        self.files.iter().map(|file| file.lines).sum()
    }

    /// Appends lines and syncs them; how many old ones were removed for it.
    ///
    /// # Errors
    /// `Disk`: none of the lines counts then.
    pub(crate) fn append(&mut self, lines: &[String], now_ms: TimestampMs) -> Result<u64> {
        if self.files.last().is_none_or(|file| file.bytes >= self.limits.file_bytes) {
            taghouse_disk::make_folder(&self.folder).map_err(Error::disk(&self.folder))?;
            let number = self.files.last().map_or(1, |file| file.number + 1);
            let path = self.path(number);
            File::create(&path).map_err(Error::disk(&path))?;
            taghouse_disk::sync_folder(&self.folder).map_err(Error::disk(&self.folder))?;
            self.files.push(LineFile { number, bytes: 0, lines: 0, newest_ms: now_ms });
        }
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        if let Some((number, bytes)) = self.files.last().map(|file| (file.number, file.bytes)) {
            let path = self.path(number);
            write_at(&path, bytes, text.as_bytes()).map_err(Error::disk(&path))?;
        }
        if let Some(file) = self.files.last_mut() {
            file.bytes += text.len() as u64;
            file.lines += lines.len() as u64;
            file.newest_ms = now_ms;
        }
        self.trim(now_ms)
    }

    /// Removes the files that are too old or too many, but not the newest for its bytes; how many
    /// lines.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn trim(&mut self, now_ms: TimestampMs) -> Result<u64> {
        let mut removed = 0;
        while let Some(oldest) = self.files.first() {
            let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
            let is_old = now_ms - oldest.newest_ms >= self.limits.age_ms;
            let is_much = bytes > self.limits.total_bytes && self.files.len() > 1;
            if !is_old && !is_much {
                break;
            }
            let path = self.path(oldest.number);
            removed += oldest.lines;
            remove(&path)?;
            self.files.remove(0);
        }
        Ok(removed)
    }

    /// Some of the lines, oldest first.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn first(&self, limit: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for file in &self.files {
            if found.len() >= limit {
                break;
            }
            let content = whole_lines(&self.path(file.number))?;
            found.extend(content.lines().take(limit - found.len()).map(str::to_owned));
        }
        Ok(found)
    }

    /// Removes the lines of which `is_done`, one file after the other.
    ///
    /// # Errors
    /// `Disk`; files before the one that failed are done.
    pub(crate) fn remove(&mut self, is_done: impl Fn(&str) -> bool) -> Result<()> {
        let mut i = 0;
        while i < self.files.len() {
            let path = self.path(self.files[i].number);
            let content = whole_lines(&path)?;
            let kept: Vec<&str> = content.lines().filter(|line| !is_done(line)).collect();
            if kept.is_empty() {
                remove(&path)?;
                self.files.remove(i);
                continue;
            }
            if kept.len() as u64 != self.files[i].lines {
                let text: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
                taghouse_disk::replace(&path, text.as_bytes()).map_err(Error::disk(&path))?;
                self.files[i].bytes = text.len() as u64;
                self.files[i].lines = kept.len() as u64;
            }
            i += 1;
        }
        Ok(())
    }
}

fn number_of(path: &Path, prefix: &str) -> Option<u64> {
    let rest = path.file_name()?.to_str()?.strip_prefix(prefix)?;
    rest.strip_prefix('-')?.strip_suffix(".jsonl")?.parse().ok()
}

/// The lines of a file that have an end.
fn whole_lines(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::disk(path))?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Writes behind the whole lines; what an attempt that failed left there is cut off.
fn write_at(path: &Path, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    taghouse_disk::sync_data(&file, path)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::disk(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FileLimits = FileLimits { file_bytes: 40, total_bytes: 100, age_ms: 1_000 };

    fn time(line: &str) -> Option<i64> {
        line.split(' ').next()?.parse().ok()
    }

    fn open(folder: &Path) -> LineFiles {
        LineFiles::open(folder.to_owned(), "dead", LIMITS, time).unwrap()
    }

    fn lines(range: std::ops::Range<i64>) -> Vec<String> {
        range.map(|number| format!("{number} is a line")).collect()
    }

    #[test]
    fn lines_come_back_and_torn_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = open(folder.path());
        assert_eq!(files.append(&lines(0..2), 1).unwrap(), 0);
        let path = files.path(1);
        let mut whole = std::fs::read(&path).unwrap();
        whole.extend(b"2 is torn");
        std::fs::write(&path, &whole).unwrap();
        let mut files = open(folder.path());
        assert_eq!((files.lines(), files.first(9).unwrap()), (2, lines(0..2)));
        files.append(&lines(2..3), 3).unwrap();
        assert_eq!(open(folder.path()).first(9).unwrap(), lines(0..3));
        assert_eq!(files.first(2).unwrap(), lines(0..2));
    }

    #[test]
    fn the_oldest_go_by_bytes_and_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = open(folder.path());
        let mut removed = 0;
        for number in 0..12 {
            removed += files.append(&lines(number..number + 1), number).unwrap();
        }
        let left = files.first(99).unwrap();
        assert_eq!(removed as usize + left.len(), 12, "{left:?}");
        assert!(removed > 0 && left.last() == lines(11..12).last(), "{left:?}");
        let mut files = open(folder.path());
        assert_eq!(files.trim(2_000).unwrap() as usize, left.len(), "all are old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_done_is_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = open(folder.path());
        for number in 0..5 {
            files.append(&lines(number..number + 1), number).unwrap();
        }
        files.remove(|line| line.starts_with(['0', '1', '2', '3'])).unwrap();
        assert_eq!(files.first(9).unwrap(), lines(4..5));
        assert_eq!(open(folder.path()).lines(), 1);
        files.append(&lines(5..6), 6).unwrap();
        assert_eq!(open(folder.path()).first(9).unwrap(), lines(4..6));
    }
}
