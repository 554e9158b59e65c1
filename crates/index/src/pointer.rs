//! The catalog's pointer to an app's index: a few bytes that lead to the manifest, an object of the
//! store.

use crate::apps::Known;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::manifest::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_128;

const KIND: &str = "index";
const NAME: &str = "current";
/// How often a reader follows the pointer again when objects vanish under it.
pub(crate) const ATTEMPTS: usize = 5;
/// The manifests' folder beside the tags' folders; no tag can be called so.
const FOLDER: &str = "manifest-json";

/// What the pointer holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pointer {
    /// The manifest's path.
    pub(crate) manifest: String,
    /// The manifest's generation, so that it is known without it.
    pub(crate) generation: u64,
    /// Of the manifest's bytes, as hex.
    xxh3: String,
}

/// Data folders from before the manifest was an object have it in the pointer, until the next
/// publication.
enum Form {
    Object(Pointer),
    Inline(Manifest),
}

/// A manifest, ready to be written and pointed to.
pub(crate) struct WrittenManifest {
    pub(crate) pointer: Pointer,
    pub(crate) content: Vec<u8>,
}

impl WrittenManifest {
    /// `publication` as in [`crate::apps::App::publication`].
    pub(crate) fn of(
        app: &AppId,
        manifest: &Manifest,
        revision: u64,
        publication: u64,
    ) -> Result<Self> {
        let content = serde_json::to_vec(manifest).map_err(|e| Error::Internal(e.to_string()))?;
        let path = crate::store::path_of(app, FOLDER, revision, publication, "json", &content);
        let pointer =
            Pointer { manifest: path, generation: manifest.generation, xxh3: checksum(&content) };
        Ok(Self { pointer, content })
    }

    /// The change that makes it current.
    pub(crate) fn change(
        &self,
        app: &AppId,
        expected: Option<u64>,
    ) -> Result<taghouse_catalog::Change> {
        let value =
            serde_json::to_value(&self.pointer).map_err(|e| Error::Internal(e.to_string()))?;
        let (kind, name) = (KIND.to_owned(), NAME.to_owned());
        Ok(taghouse_catalog::Change::PutPointer { kind, app: app.clone(), name, expected, value })
    }
}

impl Index {
    /// What is published, from memory or else as the catalog says it.
    pub(crate) async fn known(&self, app: &AppId) -> Result<Known> {
        match self.apps.get(app).known() {
            Some(known) => Ok(known),
            None => self.ask(app).await,
        }
    }

    /// What is published, as the catalog says it.
    pub(crate) async fn ask(&self, app: &AppId) -> Result<Known> {
        let known = self.read_known(app).await?;
        self.apps.get(app).know(known.clone());
        Ok(known)
    }

    async fn read_known(&self, app: &AppId) -> Result<Known> {
        let mut missing: Option<u64> = None;
        for _ in 0..ATTEMPTS {
            let (revision, at) = match self.form(app).await? {
                None => return Ok(Known::default()),
                Some((revision, Form::Inline(manifest))) => {
                    return Ok(Known {
                        revision: Some(revision),
                        manifest: Arc::new(manifest),
                        object: None,
                    });
                }
                Some((revision, Form::Object(at))) => (revision, at),
            };
            if let Some(bytes) = self.objects.read(&at.manifest).await? {
                let manifest = Arc::new(parsed(&at, &bytes)?);
                return Ok(Known { revision: Some(revision), manifest, object: Some(at.manifest) });
            }
            // One that is gone was deleted by a later publication, unless the pointer still leads
            // to it.
            if missing.replace(revision) == Some(revision) {
                return Err(Error::corrupt(&at.manifest, "it is missing"));
            }
        }
        Err(Error::Internal(format!(
            "the index of app {app} was published {ATTEMPTS} times while its manifest was being read"
        )))
    }

    /// What is known of an index whose manifest is lost, if a publication of `generation` needs
    /// nothing of it.
    pub(crate) async fn replaceable(&self, app: &AppId, generation: u64) -> Result<Option<Known>> {
        let Some((revision, Form::Object(at))) = self.form(app).await? else { return Ok(None) };
        let manifest = Arc::new(Manifest { generation: at.generation, ..Manifest::default() });
        Ok((generation > at.generation).then_some(Known {
            revision: Some(revision),
            manifest,
            object: Some(at.manifest),
        }))
    }

    /// The dictionary's generation that the index is of, also where its manifest is lost; `None`
    /// when nothing was published for the app.
    ///
    /// # Errors
    /// `Catalog` when that does not answer, `Corrupt` when its record cannot be read.
    pub async fn generation(&self, app: &AppId) -> Result<Option<u64>> {
        if let Some(known) = self.apps.get(app).known() {
            return Ok(known.revision.map(|_| known.manifest.generation));
        }
        Ok(self.form(app).await?.map(|(_, form)| match form {
            Form::Object(at) => at.generation,
            Form::Inline(manifest) => manifest.generation,
        }))
    }

    /// The pointer's revision, without what it holds.
    pub(crate) async fn revision(&self, app: &AppId) -> Result<Option<u64>> {
        let revisions = self.catalog.pointer_revisions(KIND, app).await?;
        Ok(revisions.into_iter().find_map(|(name, revision)| (name == NAME).then_some(revision)))
    }

    async fn form(&self, app: &AppId) -> Result<Option<(u64, Form)>> {
        let Some(pointer) = self.catalog.pointer(KIND, app, NAME).await? else { return Ok(None) };
        let form = match pointer.value.get("manifest") {
            Some(Json::String(_)) => serde_json::from_value(pointer.value).map(Form::Object),
            _ => serde_json::from_value(pointer.value).map(Form::Inline),
        };
        let form = form.map_err(|e| {
            Error::corrupt(&format!("pointer {KIND}/{app}/{NAME} of the catalog"), e.to_string())
        })?;
        Ok(Some((pointer.revision, form)))
    }
}

fn parsed(at: &Pointer, bytes: &[u8]) -> Result<Manifest> {
    if checksum(bytes) != at.xxh3 {
        return Err(Error::corrupt(&at.manifest, "its bytes are not those that were written"));
    }
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|e| Error::corrupt(&at.manifest, e.to_string()))?;
    if manifest.generation != at.generation {
        let found = format!(
            "it is of generation {}, the catalog says {}",
            manifest.generation, at.generation
        );
        return Err(Error::corrupt(&at.manifest, found));
    }
    Ok(manifest)
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}
