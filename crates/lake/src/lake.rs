use crate::commit::Commit;
use crate::manifest::ManifestCache;
use crate::objects::Objects;
use crate::pin::Pins;
use crate::removal::{KeptFiles, Removal};
use crate::sql::{SqlLimits, SqlRuntime};
use crate::table::Table;
use crate::upkeep::Upkeep;
use crate::write::DataFile;
use crate::{Error, Result, metadata};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_model::{AppId, Clock, TimestampMs};

/// How often a change is tried again when other writers are faster.
pub(crate) const MAX_RETRIES: usize = 10;

/// All tables of all apps. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

/// What handles, writers, commits and scans of one lake share.
pub(crate) struct Shared {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) objects: Objects,
    pub(crate) manifests: ManifestCache,
    /// Absolute, without a slash at the end.
    pub(crate) warehouse: String,
    clock: Arc<dyn Clock>,
    tables: Mutex<HashMap<(AppId, String), Table>>,
    pub(crate) sql: SqlRuntime,
    pub(crate) upkeep: Upkeep,
    pub(crate) pins: Arc<Pins>,
    pub(crate) removal: Removal,
    /// When this process began with the lake.
    pub(crate) opened_ms: TimestampMs,
    /// By table location the snapshot in which nothing was left to be joined.
    compact: Mutex<HashMap<String, i64>>,
    /// By table location: who takes rows out of the table or joins its files.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Shared {
    /// The turn of whoever replaces files of the table at `location`.
    pub(crate) fn turn_of(&self, location: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().entry(location.to_owned()).or_default().clone()
    }

    pub(crate) fn now_ms(&self) -> TimestampMs {
        self.clock.now_ms()
    }

    /// The table as it is now; metadata is read only when the pointer has moved.
    pub(crate) async fn table(self: &Arc<Self>, app: &AppId, name: &str) -> Result<Option<Table>> {
        let Some(location) = self.catalog.table_location(app, name).await? else { return Ok(None) };
        let kept = self.tables().get(&(app.clone(), name.to_owned())).cloned();
        if let Some(table) = kept.filter(|t| t.metadata_location() == location) {
            return Ok(Some(table));
        }
        let metadata = metadata::read(&self.objects, &location).await?;
        let table = Table::new(self.clone(), app, name, location, metadata)?;
        self.keep(&table);
        Ok(Some(table))
    }

    /// Remembers the newest handle of a table.
    pub(crate) fn keep(&self, table: &Table) {
        self.tables().insert((table.app().clone(), table.name().to_owned()), table.clone());
    }

    /// Whether the table's small files were looked at and left as they are.
    pub(crate) fn is_compact(&self, table: &Table) -> bool {
        let Some(snapshot_id) = table.snapshot_id() else { return true };
        self.compact.lock().get(table.location()) == Some(&snapshot_id)
    }

    pub(crate) fn set_compact(&self, table: &Table) {
        let Some(snapshot_id) = table.snapshot_id() else { return };
        self.compact.lock().insert(table.location().to_owned(), snapshot_id);
    }

    fn tables(&self) -> parking_lot::MutexGuard<'_, HashMap<(AppId, String), Table>> {
        self.tables.lock()
    }
}

impl Lake {
    /// Opens the lake whose objects lie under the folder `warehouse` (made if it is not there) and whose pointers are in `catalog`.
    /// Snapshots are stamped by `clock`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder cannot be made or its path is not UTF-8.
    pub fn open(catalog: Arc<dyn Catalog>, warehouse: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_kept(catalog, warehouse, clock, Upkeep::default())
    }

    /// As [`Lake::open`], kept small in another way.
    ///
    /// # Errors
    /// As [`Lake::open`].
    pub fn open_kept(catalog: Arc<dyn Catalog>, warehouse: &Path, clock: Arc<dyn Clock>, upkeep: Upkeep) -> Result<Self> {
        let shown = warehouse.display();
        let failed = |e: std::io::Error| Error::Unavailable(format!("cannot use {shown} as the lake's folder: {e}"));
        std::fs::create_dir_all(warehouse).map_err(failed)?;
        let absolute = warehouse.canonicalize().map_err(failed)?;
        let path = absolute
            .to_str()
            .ok_or_else(|| Error::Unavailable(format!("the lake's folder {shown} is not named in UTF-8: choose another")))?;
        let shared = Shared {
            catalog,
            objects: Objects::local(absolute.clone()),
            manifests: ManifestCache::default(),
            warehouse: path.trim_end_matches('/').to_owned(),
            opened_ms: clock.now_ms(),
            clock,
            tables: Mutex::default(),
            sql: SqlRuntime::default(),
            upkeep,
            pins: Arc::default(),
            removal: Removal::default(),
            compact: Mutex::default(),
            turns: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sets what queries may use; to be called before the first one.
    pub fn limit_queries(&self, limits: SqlLimits) {
        self.shared.sql.limit(limits);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The table as it is now; `None` if the app has none of that name.
    ///
    /// # Errors
    /// The catalog's, and [`Error::Corrupt`] if the metadata cannot be read.
    pub async fn table(&self, app: &AppId, name: &str) -> Result<Option<Table>> {
        self.shared.table(app, name).await
    }

    /// The names of the app's tables, in order.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        let mut names = self.shared.catalog.tables(app).await?;
        names.sort();
        Ok(names)
    }

    /// Begins a commit: changes of several tables of one app, seen all at once or not at all.
    pub fn begin(&self, app: &AppId) -> Commit {
        Commit::new(self.shared.clone(), app.clone())
    }

    /// Keeps what tables name now, and will name, until the result is dropped: for a copy of the files.
    pub fn keep_files(&self) -> KeptFiles {
        self.shared.removal.keep()
    }

    /// Removes files that were written and will not be committed.
    pub async fn discard(&self, files: Vec<DataFile>) {
        self.shared.objects.remove(files.into_iter().map(|f| f.path().to_owned())).await;
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lake({})", self.shared.warehouse)
    }
}
