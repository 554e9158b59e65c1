//! Where a data folder was created. Iceberg's metadata names files by absolute paths, so the
//! metadata of a folder that was moved, copied or restored elsewhere is rewritten before anything
//! is read. The file `place` is written last: after a crash, the next opening does the rest.

use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use taghouse_catalog::Catalog;
use taghouse_lake::Lake;

/// The path of a data folder, now and before.
pub(crate) struct FolderLocation {
    file: PathBuf,
    pub(crate) here: String,
    /// The path that its tables name, if it is another one.
    pub(crate) former: Option<PathBuf>,
    is_new: bool,
}

impl FolderLocation {
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let file = folder.join("place");
        let here = std::fs::canonicalize(folder)?.display().to_string();
        let former = match std::fs::read_to_string(&file) {
            Ok(made) => Some(made),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let is_new = former.is_none();
        Ok(Self {
            file,
            former: former.filter(|former| *former != here).map(PathBuf::from),
            here,
            is_new,
        })
    }

    /// Rewrites all tables to name the present path.
    pub(crate) async fn settle(&self, catalog: &dyn Catalog, lake: &Lake) -> Result<()> {
        if let Some(former) = &self.former {
            for app in catalog.apps().await? {
                let tables = lake.relocate(&app, &former.join("lake")).await?;
                tracing::info!(%app, tables, former = %former.display(), "the data folder was moved: its tables name the new place now");
            }
        }
        if self.is_new || self.former.is_some() {
            let written = taghouse_disk::replace(&self.file, self.here.as_bytes());
            written.with_context(|| format!("writing {}", self.file.display()))?;
        }
        Ok(())
    }
}
