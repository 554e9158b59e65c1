//! What was acknowledged is still there: the number of commits, noted beside the file, and the
//! files under their names.
//!
//! SQLite drops what stands behind a damaged frame of its write-ahead log without a word, and goes
//! on writing to a file that was deleted.

use crate::{Error, Result};
use parking_lot::Mutex;
use sqlx::sqlite::SqliteConnection;
use std::path::{Path, PathBuf};
use taghouse_disk::{Mark, Standing};

#[derive(Debug)]
pub(super) struct Acknowledged {
    mark: Mutex<Mark>,
    file: Standing,
    /// Made by the first connection that writes, and removed by the last that closes: it may be
    /// another one later, but not none.
    log: PathBuf,
}

impl Acknowledged {
    /// Compares the file with its mark.
    pub(super) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
        // The mark first: another process may commit meanwhile, and then the file's number is the
        // greater.
        let (mut mark, acknowledged) = Mark::open(mark_of(path)).map_err(failed)?;
        let found = commits(connection).await?;
        if let Some(missing) = acknowledged
            .and_then(|acknowledged| acknowledged.checked_sub(found))
            .filter(|missing| *missing > 0)
        {
            return Err(Error::Lost {
                path: path.to_owned(),
                log: log_of(path),
                missing,
                mark: mark.path().to_owned(),
            });
        }
        mark.set(found);
        let file = Standing::of(path.to_owned()).map_err(failed)?;
        Ok(Self { mark: Mutex::new(mark), file, log: log_of(path) })
    }

    /// Notes a commit. An error where it could not be found again.
    pub(super) fn note(&self, commit: u64) -> Result<()> {
        let gone = |what: String| Error::Gone(what);
        self.file.check().map_err(|error| gone(error.to_string()))?;
        if let Err(error) = std::fs::metadata(&self.log) {
            return Err(gone(format!("{}: {error}", self.log.display())));
        }
        self.mark.lock().set(commit);
        Ok(())
    }
}

/// How many commits the mark beside the file says that there were.
pub(super) fn noted(path: &Path) -> u64 {
    Mark::read(&mark_of(path)).unwrap_or(0)
}

/// How many commits the file says that there were.
async fn commits(connection: &mut SqliteConnection) -> Result<u64> {
    let number: i64 =
        sqlx::query_scalar("SELECT number FROM commits").fetch_one(connection).await?;
    u64::try_from(number).map_err(|_| Error::Corrupt(format!("the number of commits is {number}")))
}

pub(super) fn mark_of(path: &Path) -> PathBuf {
    path.with_extension("mark")
}

/// The write-ahead log.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
