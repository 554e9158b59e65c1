use bytes::Bytes;
use std::fs::File;
use std::io;
use std::path::Path;

/// The bytes of an immutable file, which is not empty; they stay valid when the file is removed.
///
/// Files that are mapped are written whole under another name, synced, renamed and never written
/// again, and the folder's lock keeps other processes of ours out: so the bytes do not change.
pub(crate) fn map(path: &Path) -> io::Result<Bytes> {
    taghouse_bitmap::map(&File::open(path)?)
}
