use crate::crowds::off_thread;
use crate::ids::ids;
use crate::{CrowdVersion, Crowds, Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_model::{AppId, Ordinal};

/// User ids of one chunk of [`Members::ids`].
const CHUNK: usize = 8192;

/// The members of one version of a crowd: never changing, whatever is published meanwhile.
#[derive(Clone)]
pub struct Members {
    app: AppId,
    version: CrowdVersion,
    set: Arc<Bitmap>,
    dictionary: View,
}

impl Crowds {
    /// The members of a version, by default the current one.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`], [`Error::NotComputed`], [`Error::UnknownVersion`], [`Error::OldGeneration`]; of the catalog and the
    /// store; [`Error::Corrupt`].
    pub async fn members(&self, app: &AppId, crowd: &str, version: Option<u64>) -> Result<Members> {
        let versions = self.known_versions(app, crowd).await?;
        let chosen = match version {
            None => versions.current()?,
            Some(number) => versions.versions.iter().find(|v| v.version == number).ok_or_else(|| {
                let kept: Vec<String> = versions.versions.iter().map(|v| v.version.to_string()).collect();
                Error::UnknownVersion { crowd: crowd.to_owned(), version: number, kept: kept.join(", ") }
            })?,
        };
        let dictionary = self.view_of(app, crowd, chosen)?;
        let set = self.set(app, crowd, chosen).await?;
        let set = off_thread(move || set.bitmap()).await?;
        Ok(Members { app: app.clone(), version: chosen.clone(), set, dictionary })
    }
}

impl Members {
    /// The version whose members these are; its `size` is their number.
    pub fn version(&self) -> &CrowdVersion {
        &self.version
    }

    /// The user ids in the order of their ordinals, a few thousand at a time. Reads files: not for a thread that answers requests.
    ///
    /// # Errors
    /// Of the dictionary; [`Error::Corrupt`] for a member without an id. Nothing follows an error.
    pub fn ids(&self) -> impl Iterator<Item = Result<Vec<String>>> + '_ {
        let mut ordinals = self.set.iter();
        let mut failed = false;
        std::iter::from_fn(move || {
            let chunk: Vec<Ordinal> = ordinals.by_ref().take(CHUNK).collect();
            if chunk.is_empty() || failed {
                return None;
            }
            let ids = self.resolve(&chunk);
            failed = ids.is_err();
            Some(ids)
        })
    }

    /// The ordinals as one portable 32-bit Roaring bitmap, as CRoaring, pyroaring and others read it.
    pub fn roaring(&self) -> Vec<u8> {
        self.set.serialize_portable()
    }

    /// The same as a portable 64-bit Roaring bitmap.
    pub fn roaring64(&self) -> Vec<u8> {
        self.set.serialize_portable64()
    }

    fn resolve(&self, chunk: &[Ordinal]) -> Result<Vec<String>> {
        ids(&self.app, &self.dictionary, chunk)
    }
}
