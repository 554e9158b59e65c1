//! What a backup is made of.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// The file whose presence makes a backup complete.
pub const LISTING: &str = "backup.listing";
const FORM: u32 = 1;
/// The first line, before a hash of the rest.
const HEAD: &str = "taghouse-backup";

/// The files of a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    form: u32,
    /// The moment that the backup shows, in milliseconds since 1970 UTC.
    pub(crate) taken_ms: i64,
    /// All of them, in their order.
    pub(crate) files: Vec<ListedFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListedFile {
    /// Below the backup's folder, with `/`.
    pub(crate) path: String,
    /// The length in bytes.
    pub(crate) bytes: u64,
    /// XXH3 of its bytes, 64 bits, in hexadecimal.
    pub(crate) xxh3: String,
}

impl Listing {
    pub(crate) fn new(taken_ms: i64, mut files: Vec<ListedFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { form: FORM, taken_ms, files }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Writes it into the folder: from then on it is a backup.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|e| Error::Internal(e.to_string()))?;
        let path = folder.join(LISTING);
        taghouse_disk::replace(
            &path,
            format!("{HEAD} {:016x}\n{json}\n", xxh3_64(json.as_bytes())).as_bytes(),
        )
        .map_err(Error::disk(&path))
    }

    /// # Errors
    /// `NoBackup` where there is none or it is not whole.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let no_backup = |problem: String| Error::NoBackup { path: folder.to_owned(), problem };
        let path = folder.join(LISTING);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) =>
            {
                return Err(no_backup(format!(
                    "it has no file {LISTING}, which is written when all else is there"
                )));
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(no_backup(format!("{LISTING} is damaged")));
            }
            Err(error) => return Err(Error::disk(&path)(error)),
        };
        let parts =
            text.split_once('\n').and_then(|(head, json)| Some((head, json.strip_suffix('\n')?)));
        let whole = parts
            .filter(|(head, json)| *head == format!("{HEAD} {:016x}", xxh3_64(json.as_bytes())));
        let (_, json) = whole.ok_or_else(|| no_backup(format!("{LISTING} is damaged")))?;
        let listing: Self = serde_json::from_str(json)
            .map_err(|e| no_backup(format!("{LISTING} cannot be read: {e}")))?;
        if listing.form != FORM {
            return Err(no_backup(format!(
                "it is of form {}, this program knows form {FORM}: run the one that wrote it",
                listing.form
            )));
        }
        Ok(listing)
    }
}
