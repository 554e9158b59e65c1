//! An overlay as a file, so that the log before its position can go and opening stays short.
//!
//! `overlay-<position>.bin`: the sealed form of `bitmap`, and in it: generation 8 | position 8 |
//! items (see `codec`), tags stamped.

use super::codec::{put_added, put_deleted, put_tag};
use super::overlay::Overlay;
use crate::error::{Error, Result};
use bytes::Bytes;
use std::fs;
use std::path::{Path, PathBuf};
use taghouse_model::Ordinal;

const MAGIC: &[u8; 8] = b"TAGHOVER";
const PREFIX: &str = "overlay-";
const ENDING: &str = ".bin";

/// A checkpoint, read back.
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) generation: u64,
    pub(crate) position: u64,
    /// See `codec`.
    pub(crate) items: Bytes,
}

/// Writes the overlay's checkpoint and removes older ones.
pub(crate) fn write(folder: &Path, overlay: &Overlay) -> Result<()> {
    let mut body = Vec::with_capacity(16 + 20 * overlay.len());
    body.extend_from_slice(&overlay.generation.to_le_bytes());
    body.extend_from_slice(&overlay.position.to_le_bytes());
    put_added(&mut body, &overlay.added.iter().collect::<Vec<Ordinal>>());
    put_deleted(&mut body, &overlay.deleted.iter().collect::<Vec<Ordinal>>());
    for tag in overlay.tags.values().filter(|tag| !tag.is_empty()) {
        put_tag(&mut body, &tag.tag, &tag.merged(), true);
    }
    let path = folder.join(format!("{PREFIX}{:020}{ENDING}", overlay.position));
    taghouse_disk::replace(&path, &taghouse_bitmap::seal(MAGIC, &body))
        .map_err(|e| Error::disk(&path, &e))?;
    for (position, path) in list(folder)? {
        if position < overlay.position
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(file = %path.display(), %error, "an old checkpoint could not be removed");
        }
    }
    Ok(())
}

/// The newest checkpoint, if there is one.
pub(crate) fn read(folder: &Path) -> Result<Option<Checkpoint>> {
    let Some((position, path)) = list(folder)?.pop() else {
        return Ok(None);
    };
    let file = Bytes::from(fs::read(&path).map_err(|e| Error::disk(&path, &e))?);
    let body =
        taghouse_bitmap::unseal(MAGIC, &file).map_err(|e| Error::log(&path, e.to_string()))?;
    let number = |at: usize| {
        body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    };
    match (number(0), number(8)) {
        (Some(generation), Some(found)) if found == position => {
            Ok(Some(Checkpoint { path, generation, position, items: body.slice(16..) }))
        }
        _ => Err(Error::log(&path, "its position is not that of its name")),
    }
}

/// By position, ascending.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::disk(folder, &e))? {
        let path = entry.map_err(|e| Error::disk(folder, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(position) = name
            .strip_prefix(PREFIX)
            .and_then(|name| name.strip_suffix(ENDING))
            .and_then(|number| number.parse().ok())
        {
            files.push((position, path));
        }
    }
    files.sort();
    Ok(files)
}
