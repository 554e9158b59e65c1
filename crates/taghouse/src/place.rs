//! Where a data folder was made: Iceberg's metadata names files by absolute paths, so one that was
//! moved, copied or restored to another place is settled there before anything is read. The file
//! `place` is written last: what a crash leaves is settled by the next opening.

use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use taghouse_catalog::Catalog;
use taghouse_lake::Lake;

/// A data folder's place, now and formerly.
pub(crate) struct Place {
    file: PathBuf,
    pub(crate) here: String,
    /// The place that its tables name, if it is another.
    pub(crate) former: Option<PathBuf>,
    is_new: bool,
}

impl Place {
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

    /// Makes all tables name the present place.
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
