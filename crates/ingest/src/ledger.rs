//! What is known of a source's files: which have landed, which are not what they were.

use crate::folder::FoundFile;
use crate::input_bytes::{Fingerprint, Stopped, fingerprint};
use std::collections::HashMap;
use std::io;
use taghouse_catalog::IngestedFile;

/// The files of a source that have landed, by name.
#[derive(Clone, Default)]
pub(crate) struct Ledger(HashMap<String, IngestedFile>);

/// How a file stands to the ledger.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not landed.
    New,
    /// It has landed as it is.
    Unchanged,
    /// It has landed with other bytes: what to tell.
    Changed(String),
}

impl Ledger {
    pub(crate) fn new(files: Vec<IngestedFile>) -> Self {
        Self(files.into_iter().map(|file| (file.name.clone(), file)).collect())
    }

    /// What landed under this name.
    pub(crate) fn get(&self, name: &str) -> Option<&IngestedFile> {
        self.0.get(name)
    }

    /// Compares a file with what landed under its name: by size, then by checksum. The checksum's
    /// reading is all that an unchanged file costs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn standing(&self, file: &FoundFile, stopped: &Stopped) -> io::Result<Standing> {
        let Some(known) = self.0.get(&file.name) else { return Ok(Standing::New) };
        let size_bytes = std::fs::metadata(&file.path)?.len();
        if size_bytes != known.size_bytes {
            return Ok(Standing::Changed(changed(known, size_bytes)));
        }
        let Fingerprint { checksum, size_bytes } = fingerprint(&file.path, stopped)?;
        Ok(if checksum == known.checksum {
            Standing::Unchanged
        } else {
            Standing::Changed(changed(known, size_bytes))
        })
    }
}

fn changed(known: &IngestedFile, size_bytes: u64) -> String {
    let how = if size_bytes < known.size_bytes { "was cut" } else { "has changed" };
    format!(
        "the file {how} since it was ingested: it had {} bytes and has {size_bytes} now; restore it, give the new one another name, or take it in its place with --replace",
        known.size_bytes
    )
}
