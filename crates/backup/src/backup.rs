use crate::copy::{copy, files_below, listed, make_parent, name, sync_folders};
use crate::freeze::{Frozen, freeze};
use crate::listing::{ListedFile, Listing};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_dictionary::Dictionary;
use taghouse_disk::blocking;
use taghouse_feed::Feeds;
use taghouse_index::Index;
use taghouse_ingest::Landing;
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::Clock;
use taghouse_users::Users;

/// What the names of folders in which a backup is put together begin with.
const STAGE: &str = ".backup-";

/// The parts of a data folder that is served.
pub struct BackupParts {
    /// Copied at the moment that the backup shows.
    pub catalog: Arc<dyn Catalog>,
    /// Its files are copied.
    pub lake: Arc<Lake>,
    /// Calls that have not landed are copied.
    pub log: Arc<dyn EventLog>,
    /// Flushed first, then held.
    pub index: Arc<Index>,
    /// Copied into the backup.
    pub dictionary: Arc<Dictionary>,
    /// Held still while the copy begins.
    pub users: Arc<Users>,
    /// Copied: what subscribers and sinks go on with.
    pub feeds: Arc<Feeds>,
    /// Held still while the copy begins.
    pub landing: Arc<Landing>,
    /// Says when it was.
    pub clock: Arc<dyn Clock>,
    /// The folder of segments and crowd versions.
    pub objects: PathBuf,
    /// The folder of what webhooks could not deliver. It need not be there.
    pub webhooks: PathBuf,
    /// The data folder.
    pub folder: PathBuf,
}

/// Backups of one data folder; one is written at a time.
pub struct Backup {
    parts: BackupParts,
    one: tokio::sync::Mutex<()>,
}

/// A backup that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub folder: PathBuf,
    /// The moment that it shows, in milliseconds since 1970 UTC.
    pub taken_ms: i64,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How long writers waited.
    pub held: Duration,
}

impl Backup {
    /// Of these parts.
    pub fn new(parts: BackupParts) -> Self {
        Self { parts, one: tokio::sync::Mutex::default() }
    }

    /// Removes what a process that was killed left of a backup in the data folder. Call it before
    /// anybody writes one.
    ///
    /// # Errors
    /// `Disk`.
    pub fn sweep(data: &Path) -> Result<()> {
        for entry in std::fs::read_dir(data).map_err(Error::disk(data))? {
            let entry = entry.map_err(Error::disk(data))?;
            if entry.file_name().to_string_lossy().starts_with(STAGE) {
                std::fs::remove_dir_all(entry.path()).map_err(Error::disk(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Writes a backup into a folder that is not there yet, or empty. Answers and writers go on,
    /// but for a moment.
    ///
    /// # Errors
    /// `Place` for a folder that cannot take it, `Busy` where another backup is written, `Held`
    /// where an app is being compacted for long, those of the parts; what was written is
    /// removed again.
    pub async fn write(&self, target: &Path) -> Result<Written> {
        let _one = self.one.try_lock().map_err(|_| Error::Busy)?;
        let target = self.taken(target)?;
        let outcome = self.write_into(&target).await;
        if outcome.is_err()
            && let Err(error) = std::fs::remove_dir_all(&target)
        {
            tracing::warn!(folder = %target.display(), %error, "what was written of a backup that failed could not be removed");
        }
        outcome
    }

    /// Makes the folder for a backup.
    fn taken(&self, target: &Path) -> Result<PathBuf> {
        let is_empty = |folder: &Path| {
            std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
        };
        if target.exists() && !is_empty(target) {
            return Err(Error::place(
                target,
                "holds something already: name a folder that is empty or not there yet",
            ));
        }
        std::fs::create_dir_all(target).map_err(Error::disk(target))?;
        let target = target.canonicalize().map_err(Error::disk(target))?;
        let data = self.parts.folder.canonicalize().map_err(Error::disk(&self.parts.folder))?;
        if target.starts_with(&data) {
            std::fs::remove_dir(&target).map_err(Error::disk(&target))?;
            return Err(Error::place(
                &target,
                "is in the data folder itself: name one elsewhere, best on another disk",
            ));
        }
        Ok(target)
    }

    async fn write_into(&self, target: &Path) -> Result<Written> {
        let parts = &self.parts;
        let folder = &parts.folder;
        let stage = tempfile::Builder::new()
            .prefix(STAGE)
            .tempdir_in(folder)
            .map_err(Error::disk(folder))?;
        let _files = parts.lake.keep_files();
        let Frozen { log, taken_ms, held } = freeze(parts, stage.path()).await?;

        let (of, to) = (stage.path().to_owned(), target.to_owned());
        let mut files = blocking(move || copy_stage(&of, &to)).await?;
        let to = target.join("log");
        blocking::<_, Error>(move || Ok(log.write(&to)?)).await?;
        files.extend(self.copy_lake(target).await?);

        let (place, to) = (folder.join("place"), target.to_owned());
        let listing = blocking::<_, Error>(move || {
            files.push(copy(&place, &to.join("place"), "place".to_owned())?);
            for inner in files_below(&to.join("log"))? {
                files.push(listed(&to.join("log").join(&inner), format!("log/{}", name(&inner)?))?);
            }
            sync_folders(&to)?;
            let listing = Listing::new(taken_ms, files);
            listing.write(&to)?;
            Ok(listing)
        })
        .await?;
        Ok(Written {
            folder: target.to_owned(),
            taken_ms,
            files: listing.files.len() as u64,
            bytes: listing.bytes(),
            held,
        })
    }

    /// Copies the files of all tables that the catalog in `target` names.
    async fn copy_lake(&self, target: &Path) -> Result<Vec<ListedFile>> {
        let warehouse =
            self.parts.folder.canonicalize().map_err(Error::disk(&self.parts.folder))?.join("lake");
        let path = target.join("catalog.db");
        let catalog = Arc::new(SqliteCatalog::open(&path).await?);
        let lake = Lake::open(catalog.clone(), &warehouse, self.parts.clock.clone())?;
        let mut all = BTreeSet::new();
        for app in catalog.apps().await? {
            all.extend(lake.files(&app).await?);
        }
        catalog.close().await;

        let to = target.to_owned();
        blocking::<_, Error>(move || {
            let mut files = Vec::new();
            for file in all {
                let inner = file.strip_prefix(&warehouse).map_err(|_| {
                    Error::place(
                        &file,
                        "belongs to a table and is not in the data folder: another engine put it there, and it is not backed up",
                    )
                })?;
                let inner = Path::new("lake").join(inner);
                let copied = to.join(&inner);
                make_parent(&copied)?;
                files.push(copy(&file, &copied, name(&inner)?)?);
            }
            // What the opening left beside the catalog says nothing.
            for name in ["catalog.mark", "catalog.db-wal", "catalog.db-shm"] {
                match std::fs::remove_file(to.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::disk(&to.join(name))(error)),
                    _ => {}
                }
            }
            files.push(listed(&to.join("catalog.db"), "catalog.db".to_owned())?);
            Ok(files)
        })
        .await
    }
}

/// Copies what was taken, the catalog aside: it is opened there once.
fn copy_stage(stage: &Path, target: &Path) -> Result<Vec<ListedFile>> {
    let mut files = Vec::new();
    for inner in files_below(stage)? {
        let copied = target.join(&inner);
        make_parent(&copied)?;
        let file = copy(&stage.join(&inner), &copied, name(&inner)?)?;
        if file.path != "catalog.db" {
            files.push(file);
        }
    }
    Ok(files)
}
