//! Files as memory. The only `unsafe` of this room.
#![allow(unsafe_code)]

use bytes::Bytes;
use std::fs::File;
use std::io;
use std::path::Path;

/// The bytes of an immutable file, which is not empty; they stay valid when the file is removed.
pub(crate) fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: the bytes do not change and the file does not shrink while it is mapped. Files that are mapped are written whole under
    // another name, synced, renamed and never written again; the folder's lock keeps other processes of ours out.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
