//! Which files have landed since: what was made of the lake before lacks their rows.

use std::collections::BTreeMap;
use taghouse_catalog::{Catalog, IngestedFile, Pointer, Result};
use taghouse_model::Name;
use taghouse_rules::Definitions;

/// The kind of the pointer that counts a source's batches: value `{"batch": n, "replaced": m}`.
pub(crate) const BATCH_POINTER: &str = "ingest";

/// The batches of files that a source has brought, numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileBatches {
    /// The last one.
    pub landed: u64,
    /// The last one that took rows out that a file had brought before; 0 if none did.
    pub replaced: u64,
}

/// A file that has landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedFile {
    /// Whose it is.
    pub source: Name,
    /// What became of it.
    pub file: IngestedFile,
}

impl FileBatches {
    pub(crate) fn of(pointer: Option<&Pointer>) -> Self {
        let number = |key: &str| pointer.and_then(|pointer| pointer.value.get(key)?.as_u64());
        let landed = number("batch").unwrap_or(0);
        // Of a batch from before this was noted nobody knows.
        Self { landed, replaced: number("replaced").unwrap_or(landed) }
    }

    pub(crate) fn to_value(self) -> serde_json::Value {
        serde_json::json!({ "batch": self.landed, "replaced": self.replaced })
    }

    /// The batches of each source that brought any.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn of_sources(
        catalog: &dyn Catalog,
        definitions: &Definitions,
    ) -> Result<BTreeMap<String, Self>> {
        let mut batches = BTreeMap::new();
        for source in definitions.sources.keys() {
            let pointer =
                catalog.pointer(BATCH_POINTER, &definitions.app.id, source.as_str()).await?;
            if pointer.is_some() {
                batches.insert(source.to_string(), Self::of(pointer.as_ref()));
            }
        }
        Ok(batches)
    }
}

impl LandedFile {
    /// The files of all batches behind these numbers, by source; a source that is not named has
    /// none before.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn behind(
        catalog: &dyn Catalog,
        definitions: &Definitions,
        batches: &BTreeMap<String, u64>,
    ) -> Result<Vec<Self>> {
        let mut landed = Vec::new();
        for source in definitions.sources.keys() {
            let known = batches.get(source.as_str()).copied().unwrap_or(0);
            let files = catalog.ingested_files(&definitions.app.id, source).await?;
            let more = files.into_iter().filter(|file| file.batch > known);
            landed.extend(more.map(|file| Self { source: source.clone(), file }));
        }
        Ok(landed)
    }
}
