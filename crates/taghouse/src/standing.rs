//! Watches for a data folder that vanishes under its server. Writes to deleted files succeed, but
//! their data is lost.

use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::Duration;
use taghouse_disk::Standing;

/// The interval of checks. The crates also check before they acknowledge anything.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The parts of a data folder that is being served.
const PARTS: [&str; 9] =
    ["", "lock", "catalog.db", "lake", "log", "live", "feed", "dictionary", "objects"];

/// The data folder as it was opened.
pub(crate) struct DataFolder {
    path: PathBuf,
    parts: Vec<Standing>,
}

impl DataFolder {
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let path = std::fs::canonicalize(path)
            .with_context(|| format!("finding the data folder {}", path.display()))?;
        let parts =
            PARTS.iter().map(|part| Standing::of(path.join(part))).collect::<std::io::Result<_>>();
        Ok(Self {
            parts: parts
                .with_context(|| format!("looking at the data folder {}", path.display()))?,
            path,
        })
    }

    /// Waits until a part is missing; tells which.
    pub(crate) async fn gone(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(problem) = self.parts.iter().find_map(|part| part.check().err()) {
                return anyhow!(
                    "the data folder {} is not there any more ({problem}): nothing more is taken, for it could not be found again; put the folder back, or restore a backup, and start again",
                    self.path.display()
                );
            }
        }
    }
}
