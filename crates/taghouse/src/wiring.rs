//! A data folder opened: every room over its own part of the folder.
//!
//! ```text
//! DATA/catalog.db    definitions, pointers, keys, runs, Iceberg's catalog   ground truth
//! DATA/lake/         Iceberg tables                                         ground truth
//! DATA/log/          live calls that are not landed yet                     ground truth
//! DATA/dictionary/   user ids and ordinals                                  derived from the lake
//! DATA/objects/      index segments and crowd versions                      derived from the lake
//! DATA/live/         changes of tag values that are in no segment yet       ground truth
//! DATA/uploads/      files on their way into the lake
//! DATA/place         where the folder was made
//! DATA/lock          who holds the folder
//! ```

use crate::system::{OsEntropy, SystemClock};
use anyhow::{Context, Result, ensure};
use object_store::local::LocalFileSystem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_api::{House, KeyRing, Memory};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_index::{Index, LiveOptions};
use taghouse_ingest::{FileIngest, Landing};
use taghouse_lake::Lake;
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::{Clock, Entropy};
use taghouse_produce::Producer;
use taghouse_schedule::Scheduler;
use taghouse_users::Users;

/// Opens every room. The caller holds the folder's lock.
pub(crate) async fn open(folder: &Path, local_key: &str) -> Result<Arc<House>> {
    let part = |name: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(std::fs::canonicalize(path)?)
    };
    keep_place(folder)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let catalog: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    let lake = Arc::new(Lake::open(catalog.clone(), &part("lake")?, clock.clone())?);
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&part("log")?)?);
    let objects = part("objects")?;
    let store = Arc::new(LocalFileSystem::new_with_prefix(&objects)?);
    let index = Arc::new(Index::new(store.clone(), catalog.clone()).local(objects).with_live(part("live")?, LiveOptions::default()));
    index.fold_in_background();
    let dictionary = Arc::new(Dictionary::open(&part("dictionary")?)?);
    let crowds = Arc::new(Crowds::new(store, catalog.clone(), index.clone(), dictionary.clone(), clock.clone()));
    let users = Arc::new(Users::new(catalog.clone(), index.clone(), dictionary.clone(), crowds.clone(), clock.clone()));
    users.settle().await?;
    let scheduler = Arc::new(Scheduler::new(catalog.clone(), clock.clone()));
    scheduler.recover().await?;
    Ok(Arc::new(House {
        producer: Arc::new(Producer::new(catalog.clone(), lake.clone(), index.clone(), dictionary.clone())),
        files: Arc::new(FileIngest::new(catalog.clone(), lake.clone(), clock.clone())),
        landing: Arc::new(Landing::new(catalog.clone(), lake.clone(), log.clone(), clock.clone())),
        keys: KeyRing::load(catalog.as_ref(), local_key).await?,
        uploads: swept(&part("uploads")?)?,
        memory: Memory::default(),
        catalog,
        lake,
        log,
        index,
        dictionary,
        crowds,
        users,
        scheduler,
        clock,
        entropy,
    }))
}

/// Iceberg's metadata names files by absolute paths, so a copied folder would write into the original, and a moved one would miss its
/// files: both are refused before anything is touched.
fn keep_place(folder: &Path) -> Result<()> {
    let file = folder.join("place");
    let here = std::fs::canonicalize(folder)?.display().to_string();
    match std::fs::read_to_string(&file) {
        Ok(made) => ensure!(
            made == here,
            "the data folder {here} was made at {made}, and its tables name that place: move it back there, or start a new folder and ingest again"
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&file, here).with_context(|| format!("writing {}", file.display()))?;
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    }
    Ok(())
}

/// Removes uploads of an earlier process: nobody can ingest them any more, for the folder is ours.
fn swept(uploads: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(uploads)? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(&path).with_context(|| format!("removing old uploads in {}", path.display()))?;
        }
    }
    Ok(uploads.to_owned())
}
