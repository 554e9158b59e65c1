//! What files an app's generations are made of: the one small file that is replaced, and by that
//! everything changes at once.

use crate::block_file::replace;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use taghouse_model::Ordinal;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) const MANIFEST: &str = "manifest.json";
const FORM: &str = "taghouse-dictionary 1";

/// An app's generations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) current: GenerationFiles,
    /// A re-packed generation that is being published.
    pub(crate) prepared: Option<GenerationFiles>,
}

/// One generation's files, in a folder of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationFiles {
    pub(crate) generation: u64,
    pub(crate) folder: String,
    /// Number of the next file: no name comes twice.
    pub(crate) next: u64,
    pub(crate) ids: Vec<IdsEntry>,
    pub(crate) runs: Vec<RunEntry>,
    pub(crate) deleted: Option<String>,
    pub(crate) tail: TailEntry,
}

/// An ids file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdsEntry {
    pub(crate) file: String,
    pub(crate) first: Ordinal,
    pub(crate) count: u32,
}

/// A run over the ordinals from `first` up to `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunEntry {
    pub(crate) file: String,
    pub(crate) first: Ordinal,
    pub(crate) end: Ordinal,
}

/// The log of the newest ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailEntry {
    pub(crate) file: String,
    pub(crate) first: Ordinal,
}

impl GenerationFiles {
    /// A name for a new file of this kind.
    pub(crate) fn name(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}-{}", self.next)
    }

    /// All files named.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        let ids = self.ids.iter().map(|entry| entry.file.as_str());
        let runs = self.runs.iter().map(|entry| entry.file.as_str());
        ids.chain(runs).chain(self.deleted.as_deref()).chain([self.tail.file.as_str()])
    }

    /// Ids files follow one another from 0 to the tail, and so do runs.
    fn is_whole(&self) -> bool {
        let follow = |mut parts: Box<dyn Iterator<Item = (Ordinal, u64)> + '_>| {
            parts
                .try_fold(0, |at, (first, end)| (u64::from(first) == at && end > at).then_some(end))
                == Some(u64::from(self.tail.first))
        };
        let ids = self
            .ids
            .iter()
            .map(|entry| (entry.first, u64::from(entry.first) + u64::from(entry.count)));
        follow(Box::new(ids))
            && follow(Box::new(self.runs.iter().map(|entry| (entry.first, u64::from(entry.end)))))
    }
}

impl Manifest {
    /// Replaces the app's manifest; durable on return.
    pub(crate) fn write(&self, app_folder: &Path) -> Result<()> {
        let path = app_folder.join(MANIFEST);
        let json = serde_json::to_string_pretty(self).map_err(|e| Error::io(&path)(e.into()))?;
        replace(&path, format!("{FORM} {:016x}\n{json}\n", xxh3_64(json.as_bytes())).as_bytes())
    }

    /// The app's manifest; `None` where there is none.
    pub(crate) fn read(app_folder: &Path) -> Result<Option<Self>> {
        let path = app_folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(bytes) => {
                String::from_utf8(bytes).map_err(|_| Error::corrupt(&path, "it is not UTF-8"))?
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let Some((head, json)) =
            text.split_once('\n').and_then(|(head, json)| Some((head, json.strip_suffix('\n')?)))
        else {
            return Err(Error::corrupt(&path, "it is short"));
        };
        if head != format!("{FORM} {:016x}", xxh3_64(json.as_bytes())) {
            return Err(Error::corrupt(&path, "its checksum"));
        }
        let manifest: Self =
            serde_json::from_str(json).map_err(|e| Error::corrupt(&path, e.to_string()))?;
        let whole = manifest.current.is_whole()
            && manifest.prepared.as_ref().is_none_or(GenerationFiles::is_whole);
        if whole {
            Ok(Some(manifest))
        } else {
            Err(Error::corrupt(&path, "its files do not follow one another"))
        }
    }
}
