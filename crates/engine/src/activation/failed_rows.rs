//! Users whom destinations did not take: a CSV file for each delivery that has some.

use crate::{Error, Result};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_activate::Failed;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, TimestampMs};

const HEADER: [&str; 4] = ["user_id", "change", "at_ms", "reason"];

/// The files, in a folder for each app and activation.
#[derive(Clone)]
pub struct FailedRows {
    folder: PathBuf,
    /// Held by whoever writes, or removes rows: the latter moves another file into the place.
    writing: Arc<Mutex<()>>,
    written: Arc<AtomicU64>,
}

impl FailedRows {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, writing: Arc::default(), written: Arc::default() }
    }

    /// How many rows this process has written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn file(&self, app: &AppId, activation: &Name, number: u64) -> PathBuf {
        let folder = self.folder.join(app.as_str()).join(activation.as_str());
        folder.join(format!("{number}.csv"))
    }

    /// Adds rows behind so many bytes, and gives how many there are then: on disk when this returns.
    /// What stands behind those bytes is of a piece that will be, or was, sent again.
    pub(crate) async fn add(
        &self,
        app: &AppId,
        activation: &Name,
        number: u64,
        after_bytes: u64,
        rows: Vec<Failed>,
        at_ms: TimestampMs,
    ) -> Result<u64> {
        let path = self.file(app, activation, number);
        self.written.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let writing = self.writing.clone();
        blocking(move || {
            let _writing = writing.lock();
            if let Some(parent) = path.parent() {
                taghouse_disk::make_folder(parent).map_err(failed_at(parent))?;
            }
            let options = OpenOptions::new().create(true).truncate(false).write(true).clone();
            let mut file = options.open(&path).map_err(failed_at(&path))?;
            // It is shorter where rows of deleted users were removed.
            let length = file.metadata().map_err(failed_at(&path))?.len();
            let after_bytes = after_bytes.min(length);
            file.set_len(after_bytes).map_err(failed_at(&path))?;
            let mut bytes = csv::Writer::from_writer(Vec::new());
            if after_bytes == 0 {
                bytes.write_record(HEADER).map_err(|e| failed_at(&path)(e.into()))?;
            }
            for Failed { user_id, change, reason } in &rows {
                let cells = [user_id.as_str(), change.as_str(), &at_ms.to_string(), reason];
                bytes.write_record(cells).map_err(|e| failed_at(&path)(e.into()))?;
            }
            let bytes = bytes.into_inner().map_err(|e| failed_at(&path)(e.into_error()))?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(failed_at(&path))?;
            file.write_all(&bytes).map_err(failed_at(&path))?;
            file.sync_all().map_err(failed_at(&path))?;
            if let Some(parent) = path.parent() {
                taghouse_disk::sync_folder(parent).map_err(failed_at(parent))?;
            }
            Ok(after_bytes + bytes.len() as u64)
        })
        .await
    }

    /// The file of a delivery; empty: it has none, or it is too old.
    pub(crate) async fn read(
        &self,
        app: &AppId,
        activation: &Name,
        number: u64,
    ) -> Result<Vec<u8>> {
        let path = self.file(app, activation, number);
        blocking(move || {
            let mut bytes = Vec::new();
            match File::open(&path) {
                Ok(mut file) => _ = file.read_to_end(&mut bytes).map_err(failed_at(&path))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed_at(&path)(error)),
            }
            Ok(bytes)
        })
        .await
    }

    /// The ids of the users whom the destination did not take.
    pub(crate) async fn ids(
        &self,
        app: &AppId,
        activation: &Name,
        number: u64,
    ) -> Result<Vec<String>> {
        let bytes = self.read(app, activation, number).await?;
        Ok(rows(&bytes).filter_map(|row| row.get(0).map(str::to_owned)).collect())
    }

    /// Removes the files of deliveries other than these.
    pub(crate) async fn keep(
        &self,
        app: &AppId,
        activation: &Name,
        numbers: BTreeSet<u64>,
    ) -> Result<()> {
        let folder = self.folder.join(app.as_str()).join(activation.as_str());
        blocking(move || {
            for path in files(&folder)? {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                if stem.and_then(|stem| stem.parse().ok()).is_some_and(|n| !numbers.contains(&n)) {
                    std::fs::remove_file(&path).map_err(failed_at(&path))?;
                }
            }
            Ok(())
        })
        .await
    }

    fn of_app(&self, app: &AppId) -> Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for folder in files(&self.folder.join(app.as_str()))? {
            all.extend(files(&folder)?);
        }
        Ok(all)
    }

    /// The ids of all users who stand in files of an app. Reads files.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn users(&self, app: &AppId) -> Result<BTreeSet<String>> {
        let mut users = BTreeSet::new();
        for path in self.of_app(app)? {
            let bytes = std::fs::read(&path).map_err(failed_at(&path))?;
            users.extend(rows(&bytes).filter_map(|row| row.get(0).map(str::to_owned)));
        }
        Ok(users)
    }

    /// Removes the rows of users who were deleted since they were written; how many. Reads and writes files.
    ///
    /// # Errors
    /// They cannot be read or written.
    pub(crate) fn erase(&self, app: &AppId, gone: &HashMap<String, TimestampMs>) -> Result<u64> {
        let _writing = self.writing.lock();
        let mut erased = 0;
        for path in self.of_app(app)? {
            let bytes = std::fs::read(&path).map_err(failed_at(&path))?;
            let mut kept = csv::Writer::from_writer(Vec::new());
            kept.write_record(HEADER).map_err(|e| failed_at(&path)(e.into()))?;
            let before = erased;
            for row in rows(&bytes) {
                let at_ms = row.get(2).and_then(|at_ms| at_ms.parse::<i64>().ok());
                let is_gone = row.get(0).and_then(|id| gone.get(id));
                if is_gone.zip(at_ms).is_some_and(|(gone_ms, at_ms)| at_ms <= *gone_ms) {
                    erased += 1;
                } else {
                    kept.write_record(&row).map_err(|e| failed_at(&path)(e.into()))?;
                }
            }
            if erased > before {
                let kept = kept.into_inner().map_err(|e| failed_at(&path)(e.into_error()))?;
                taghouse_disk::replace(&path, &kept).map_err(failed_at(&path))?;
            }
        }
        Ok(erased)
    }
}

/// A file without rows.
pub(crate) fn header() -> Vec<u8> {
    format!("{}\n", HEADER.join(",")).into_bytes()
}

fn rows(bytes: &[u8]) -> impl Iterator<Item = csv::StringRecord> + '_ {
    // What a crash left behind the last whole row is cut off before more is written.
    csv::Reader::from_reader(bytes).into_records().filter_map(std::result::Result::ok)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed_at(folder)(error)),
    };
    let path =
        |entry: std::io::Result<std::fs::DirEntry>| Ok(entry.map_err(failed_at(folder))?.path());
    entries.map(path).collect()
}

fn failed_at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::FailedRows { path, source }
}
