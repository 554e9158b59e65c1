//! What keeps the lake small while it grows: small files joined, snapshots expired, files that nothing names removed.
//!
//! 1. A commit drops old snapshots from the metadata it writes ([`crate::retention`]), and hands them to [`crate::removal`].
//! 2. Their files are removed once the grace has passed and no reader of this process holds them.
//! 3. [`Lake::maintain`], called now and then, joins small files ([`crate::compact`]).
//! 4. It also sweeps, once a day, for what a killed process left behind ([`crate::sweep`]).
//!
//! Each step moves a pointer first and removes files after it, so a crash leaves files too many, never too few.

use crate::Result;
use crate::lake::Lake;
use taghouse_model::{AppId, ErrorKind};

/// How the lake is kept small.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// A snapshot stays in the metadata for so long after it was superseded, …
    pub kept_ms: i64,
    /// … but no more than so many beside the current one.
    pub kept_snapshots: usize,
    /// Files that the current snapshot does not name stay for so long after the snapshot that did was superseded: other engines may be reading.
    pub grace_ms: i64,
    /// A file that no table names is swept when it has not been written to for so long; other engines must have committed theirs by then.
    pub orphan_ms: i64,
    /// How often it is swept.
    pub sweep_every_ms: i64,
    /// Files of three quarters of this or more are large enough; what is joined of smaller ones is of this size at most.
    pub target_bytes: u64,
    /// So many small files of one partition are joined.
    pub min_files: usize,
}

impl Default for Upkeep {
    fn default() -> Self {
        const MINUTE_MS: i64 = 60_000;
        Self {
            kept_ms: 60 * MINUTE_MS,
            kept_snapshots: 32,
            grace_ms: 10 * MINUTE_MS,
            orphan_ms: 24 * 60 * MINUTE_MS,
            sweep_every_ms: 24 * 60 * MINUTE_MS,
            target_bytes: 64 << 20,
            min_files: 8,
        }
    }
}

/// What [`Lake::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Small files that were joined.
    pub joined_files: u64,
    /// The files that they became.
    pub into_files: u64,
    /// Files that nothing named, removed by the sweep.
    pub swept_files: u64,
}

impl Lake {
    /// Joins small files of the app's tables, removes files whose time has come, and once a day sweeps files that nothing names. Cheap where
    /// there is nothing to do. Readers and writers go on meanwhile; one that is dropped half-way leaves what it has committed.
    ///
    /// # Errors
    /// The first table's; the others were still looked at.
    pub async fn maintain(&self, app: &AppId) -> Result<Maintained> {
        let names = self.tables(app).await?;
        self.maintain_some(app, &names.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// As [`Lake::maintain`], where only these tables may have small files.
    ///
    /// # Errors
    /// As [`Lake::maintain`].
    pub async fn maintain_some(&self, app: &AppId, tables: &[&str]) -> Result<Maintained> {
        let mut done = Maintained::default();
        let mut outcome = Ok(());
        match self.sweep_in_turn(app).await {
            Ok(swept) => done.swept_files = swept,
            Err(e) => outcome = Err(e),
        }
        for name in tables {
            match self.maintain_table(app, name, &mut done).await {
                // Overwritten or replaced meanwhile, or another engine's: there is another turn.
                Err(e) if matches!(e.kind(), ErrorKind::Conflict | ErrorKind::Invalid) => {
                    tracing::debug!(%app, table = name, error = %e, "small files are not joined this time");
                }
                other => outcome = outcome.and(other),
            }
        }
        outcome.map(|()| done)
    }

    async fn maintain_table(&self, app: &AppId, name: &str, done: &mut Maintained) -> Result<()> {
        while let Some(table) = self.table(app, name).await? {
            self.shared().removal.remove_due(self.shared(), table.location()).await;
            let Some(joined) = self.compact(&table).await? else { return Ok(()) };
            done.joined_files += joined.files;
            done.into_files += joined.into_files;
        }
        Ok(())
    }
}
