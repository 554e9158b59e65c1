//! Files as bytes.
#![allow(unsafe_code)]

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;

/// The bytes of a file that is written once and never shortened: an object of a store, a cache's
/// copy of one, or what is about to be one. They are read from disk as they are touched, and the
/// system takes their memory back when it is short.
///
/// # Errors
/// Those of the system.
pub fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: a mapping is only unsound when the file is changed or cut while it is read. Objects
    // are put in place whole and later at most moved or unlinked, which leaves the mapping
    // whole; a cache's copy is a file of full length from the start, whose bytes are written
    // once, before anything reads them (`Region::load`). Both lie in folders that this process has
    // locked for itself.
    let map: Mmap = unsafe { MmapOptions::new().map(file)? };
    // A profile touches thousands of places. Where the file system keeps large pages, what it reads
    // from now on comes in them, and finding a page takes less; blocks of a megabyte are
    // verified whole, so little is read that is not needed. Elsewhere nothing changes.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(Bytes::from_owner(map))
}
