//! Crowds that files say: each import makes a version, of the one before or of the file alone.

use crate::compute::Edit;
use crate::crowds::POINTER_KIND;
use crate::known::versions_of;
use crate::rollout::unknown;
use crate::{CrowdVersion, CrowdVersions, Crowds, Error, GivenUsers, Result};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::Snapshot;
use taghouse_model::AppId;
use taghouse_rules::{CrowdDefinition, Definitions, IMPORTED_TEXT};

/// How many names of batches are remembered.
const KEPT_BATCHES: usize = 1000;
/// The longest name of a batch, in characters.
pub const MAX_BATCH_NAME_CHARS: usize = 128;

/// What an import does to those who are in the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportMode {
    /// The users of the file are in it, and nobody else.
    #[default]
    Replace,
    /// They are in it besides.
    Append,
    /// They are not in it any more.
    Remove,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// What becomes of those who are in the crowd.
    pub mode: ImportMode,
    /// A name by which the sender knows it: what was imported under it once is not again.
    pub batch: Option<String>,
    /// What is kept with the version of the rows that gave no user; `None`: there were none.
    pub rows: Option<Bytes>,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It made this version.
    Version(Box<CrowdVersion>),
    /// A batch of this name made a version before. Nothing was changed.
    Before {
        /// The number of that version, which may have been deleted since.
        version: u64,
    },
}

/// The batches of a crowd, by their names, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batches(VecDeque<Batch>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Batch {
    name: String,
    version: u64,
}

impl Batches {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The version that a batch made.
    pub(crate) fn version_of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|batch| batch.name == name).map(|batch| batch.version)
    }

    pub(crate) fn add(&mut self, name: String, version: u64) {
        self.0.push_back(Batch { name, version });
        if self.0.len() > KEPT_BATCHES {
            self.0.pop_front();
        }
    }
}

/// Those to whom, or from whom, the users of a file come.
pub(crate) struct Base {
    mode: ImportMode,
    users: Arc<Bitmap>,
}

impl Base {
    /// The users of the crowd, given those of the file.
    pub(crate) fn with(&self, given: Bitmap, snapshot: &Snapshot) -> Bitmap {
        let all = match self.mode {
            ImportMode::Replace => given,
            ImportMode::Append => self.users.or(&given),
            ImportMode::Remove => self.users.and_not(&given),
        };
        // It holds users who were deleted since it was written.
        all.and(snapshot.users())
    }
}

impl CrowdVersions {
    /// The version that the next import adds to or takes from: the newest if it waits, for it is
    /// meant to answer; else the one that answers or is being rolled out. Once somebody chose another
    /// version, those that were there are left behind. So are versions from before the crowd was one
    /// of files: `None` then.
    ///
    /// # Errors
    /// As [`CrowdVersions::current`].
    fn imported_last(&self) -> Result<Option<&CrowdVersion>> {
        let is_of_files = |version: &&CrowdVersion| version.expression == IMPORTED_TEXT;
        let whole = |version: &&CrowdVersion| version.blend.is_none();
        let newest = self.versions.iter().rev().filter(is_of_files).find(whole);
        let waits =
            |version: &&CrowdVersion| version.waits.is_some() && version.version > self.passed_over;
        if let Some(waiting) = newest.filter(waits) {
            return Ok(Some(waiting));
        }
        let answers = match &self.rollout {
            Some(rollout) => self.get(rollout.to),
            None if self.current == 0 => None,
            None => Some(self.current()?),
        };
        Ok(answers.filter(is_of_files))
    }
}

impl Crowds {
    /// Imports users into a crowd that files say. The version answers from then on, unless it
    /// [waits](CrowdVersion::waits).
    ///
    /// # Errors
    /// [`Error::Argument`] for a crowd that is made in another way, and for a name of a batch that
    /// is too long or empty; as [`Crowds::compute_given`]. Nothing is changed then.
    pub async fn import(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: &GivenUsers,
        import: &Import,
    ) -> Result<Imported> {
        check_imported(crowd)?;
        check_batch(import.batch.as_deref())?;
        let state = self.state(&definitions.app.id);
        let _one = state.importing.lock().await;
        self.make(definitions, crowd, Some(given), Some(import)).await
    }

    /// The version that a batch of this name made before.
    ///
    /// # Errors
    /// As [`Crowds::import`], of the batch; of the catalog.
    pub async fn imported_before(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
        batch: Option<&str>,
    ) -> Result<Option<u64>> {
        check_imported(crowd)?;
        check_batch(batch)?;
        let Some(batch) = batch else { return Ok(None) };
        let name = crowd.name.as_str();
        let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, name).await? else {
            return Ok(None);
        };
        Ok(versions_of(name, pointer.value)?.batches.version_of(batch))
    }

    /// What is kept with a version of the rows that gave no user; `None`: there were none, or no file
    /// made it.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`], [`Error::UnknownCrowd`], [`Error::NotComputed`]; of the catalog and
    /// the store.
    pub async fn import_rows(
        &self,
        app: &AppId,
        crowd: &str,
        version: u64,
    ) -> Result<Option<Bytes>> {
        let versions = self.versions(app, crowd).await?;
        let found = versions.get(version).ok_or_else(|| unknown(crowd, version, &versions))?;
        let Some(object) = &found.rows else { return Ok(None) };
        match self.store.get(&ObjectPath::from(object.as_str())).await {
            Ok(rows) => Ok(Some(rows.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => {
                Err(Error::corrupt(object, "it is missing"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The users whom an import adds to or takes from.
    pub(crate) async fn base(
        &self,
        edit: &Edit<'_>,
        import: &Import,
        generation: u64,
    ) -> Result<Base> {
        let mode = import.mode;
        let last = match mode {
            ImportMode::Replace => None,
            ImportMode::Append | ImportMode::Remove => edit.versions.imported_last()?,
        };
        let Some(last) = last else { return Ok(Base { mode, users: Arc::default() }) };
        if last.generation != generation {
            let (crowd, version) = (edit.crowd.to_owned(), last.version);
            let now = self.snapshot(edit.app).await?.generation();
            return Err(match now == generation {
                true => Error::OldGeneration { crowd, version },
                // What was read of the file is.
                false => Error::Renumbered { crowd },
            });
        }
        let set = self.set(&self.state(edit.app).known_version(edit.crowd, last)).await?;
        let users = taghouse_disk::blocking(move || set.bitmap_without(None)).await?;
        Ok(Base { mode, users })
    }
}

fn check_imported(crowd: &CrowdDefinition) -> Result<()> {
    if crowd.is_imported() {
        return Ok(());
    }
    let (name, kind) = (&crowd.name, crowd.source.kind());
    Err(Error::Argument(format!(
        "crowd {name} is made by its `{kind}`, not by files: define one with `import: {{}}`"
    )))
}

fn check_batch(batch: Option<&str>) -> Result<()> {
    match batch.map(|batch| batch.chars().count()) {
        None | Some(1..=MAX_BATCH_NAME_CHARS) => Ok(()),
        Some(0) => Err(Error::Argument("the name of the batch is empty: give one".to_owned())),
        Some(chars) => Err(Error::Argument(format!(
            "the name of the batch has {chars} characters, more than {MAX_BATCH_NAME_CHARS}"
        ))),
    }
}
