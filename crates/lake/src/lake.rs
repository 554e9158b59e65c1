use crate::known_tables::KnownTables;
use crate::manifest::ManifestCache;
use crate::objects::Objects;
use crate::removal::{KeptFiles, Removal};
use crate::sql::limits::SqlLimits;
use crate::sql::runtime::SqlRuntime;
use crate::table::Table;
use crate::upkeep::Upkeep;
use crate::warehouse::Warehouse;
use crate::{Error, Result, metadata};
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_model::{AppId, Clock};

/// How often a change is tried again when other writers are faster.
pub(crate) const MAX_RETRIES: usize = 10;

/// All tables of all apps. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    warehouse: Arc<Warehouse>,
    known: Arc<KnownTables>,
}

impl Lake {
    /// Opens the lake whose objects lie under the folder `warehouse` (made if it is not there) and
    /// whose pointers are in `catalog`. Snapshots are stamped by `clock`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder cannot be made or its path is not UTF-8.
    pub fn open(
        catalog: Arc<dyn Catalog>,
        warehouse: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Self::open_kept(catalog, warehouse, clock, Upkeep::default())
    }

    /// As [`Lake::open`], kept small in another way.
    ///
    /// # Errors
    /// As [`Lake::open`].
    pub fn open_kept(
        catalog: Arc<dyn Catalog>,
        warehouse: &Path,
        clock: Arc<dyn Clock>,
        upkeep: Upkeep,
    ) -> Result<Self> {
        let shown = warehouse.display();
        let failed = |e: std::io::Error| {
            Error::Unavailable(format!("cannot use {shown} as the lake's folder: {e}"))
        };
        std::fs::create_dir_all(warehouse).map_err(failed)?;
        let absolute = warehouse.canonicalize().map_err(failed)?;
        let path = absolute.to_str().ok_or_else(|| {
            Error::Unavailable(format!(
                "the lake's folder {shown} is not named in UTF-8: choose another"
            ))
        })?;
        let warehouse = Warehouse {
            catalog,
            objects: Objects::local(absolute.clone()),
            manifests: ManifestCache::default(),
            root: path.trim_end_matches('/').to_owned(),
            opened_ms: clock.now_ms(),
            clock,
            sql: SqlRuntime::default(),
            upkeep,
            pins: Arc::default(),
            removal: Removal::default(),
        };
        Ok(Self { warehouse: Arc::new(warehouse), known: Arc::default() })
    }

    /// Sets what queries may use; to be called before the first one.
    pub fn limit_queries(&self, limits: SqlLimits) {
        self.warehouse.sql.limit(limits);
    }

    pub(crate) fn warehouse(&self) -> &Arc<Warehouse> {
        &self.warehouse
    }

    pub(crate) fn known(&self) -> &KnownTables {
        &self.known
    }

    /// The table as it is now; `None` if the app has none of that name.
    ///
    /// # Errors
    /// The catalog's, and [`Error::Corrupt`] if the metadata cannot be read.
    pub async fn table(&self, app: &AppId, name: &str) -> Result<Option<Table>> {
        let mut pointer = self.warehouse.catalog.table_location(app, name).await?;
        while let Some(location) = pointer {
            if let Some(table) =
                self.known.newest(app, name).filter(|t| t.metadata_location() == location)
            {
                return Ok(Some(table));
            }
            let read = self.read_table(app, name, &location).await;
            // What it names is held from here on. A commit may have taken its place before, and
            // after a long pause its files may be gone.
            pointer = self.warehouse.catalog.table_location(app, name).await?;
            if pointer.as_ref() == Some(&location) {
                let table = read?;
                self.known.keep(&table);
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    async fn read_table(&self, app: &AppId, name: &str, location: &str) -> Result<Table> {
        let metadata = metadata::read(&self.warehouse.objects, location).await?;
        Table::new(self.warehouse.clone(), app, name, location.to_owned(), metadata)
    }

    /// The names of the app's tables, in order.
    ///
    /// # Errors
    /// Errors of the catalog.
    pub async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        let mut names = self.warehouse.catalog.tables(app).await?;
        names.sort();
        Ok(names)
    }

    /// Keeps what tables name now, and will name, until the result is dropped: for a copy of the
    /// files.
    pub fn keep_files(&self) -> KeptFiles {
        self.warehouse.removal.keep()
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lake({})", self.warehouse.root)
    }
}
