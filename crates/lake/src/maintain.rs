//! What keeps the lake small while it grows: small files joined, snapshots expired, files that
//! nothing names removed.
//!
//! 1. A commit drops old snapshots from the metadata it writes ([`crate::retention`]), and hands
//!    them to [`crate::removal`].
//! 2. Their files are removed once the grace has passed and no reader of this process holds them.
//! 3. [`Lake::maintain`], called now and then, joins small files ([`crate::compact`]).
//! 4. It also sweeps, once a day, for what a killed process left behind ([`crate::sweep`]).
//!
//! Each step moves a pointer first and removes files after it, so a crash leaves files too many,
//! never too few.

use crate::Result;
use crate::lake::Lake;
use taghouse_model::{AppId, ErrorKind};

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
    /// Joins small files of the app's tables, removes files whose time has come, and once a day
    /// sweeps files that nothing names. Cheap where there is nothing to do. Readers and writers
    /// go on meanwhile; one that is dropped half-way leaves what it has committed.
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
            self.warehouse().remove_due(table.location()).await;
            let Some(joined) = self.compact(&table).await? else { return Ok(()) };
            done.joined_files += joined.files;
            done.into_files += joined.into_files;
        }
        Ok(())
    }
}
