//! The file form: a head with the checksum of every block of the body, so that a damaged place can
//! be named.
//!
//! ```text
//! magic 8 | xxh3 of the head from here on 8 | version 4 | block size 4 | body length 8 | xxh3 per block 8 each | zeros to 64 | body
//! ```

use crate::{Error, Result};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// 2: the tables of bundles name a range of entries for each bitmap.
pub(crate) const VERSION: u32 = 2;
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
const FIXED_HEAD: usize = 32;
/// Checksum of the head from [`CHECKED_FROM`] on.
const CHECKSUM_AT: usize = 8;
const CHECKED_FROM: usize = VERSION_AT;
const VERSION_AT: usize = 16;
const BLOCK_BYTES_AT: usize = 20;
const BODY_LEN_AT: usize = 24;
/// The body begins at a multiple of this, and so do large blobs within it: a cache line.
pub(crate) const ALIGN: usize = 64;

/// Puts `body` into the file form, under a magic of 8 bytes for the kind of file.
pub fn seal(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    let body_start = body_start_of(body.len());
    let mut file = Vec::with_capacity(body_start + body.len());
    file.extend_from_slice(magic);
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    file.extend_from_slice(&(body.len() as u64).to_le_bytes());
    for block in body.chunks(BLOCK_BYTES) {
        file.extend_from_slice(&xxh3_64(block).to_le_bytes());
    }
    file.resize(body_start, 0);
    put_checksum(&mut file);
    file.extend_from_slice(body);
    file
}

/// Writes the checksum of a head.
pub(crate) fn put_checksum(head: &mut [u8]) {
    let checksum = xxh3_64(&head[CHECKED_FROM..]);
    head[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// The fields of a file's head.
pub(crate) struct FileHeader {
    pub(crate) body_start: usize,
    pub(crate) body_len: usize,
}

impl FileHeader {
    /// The checksum of a block of the body, as the head has it.
    pub(crate) fn checksum(&self, file: &[u8], block: usize) -> u64 {
        u64_at(file, FIXED_HEAD + 8 * block)
    }
}

/// Reads and checks the head of a file of which `need` makes the bytes present that are read.
///
/// # Errors
/// `Corrupt` when it is not one that [`seal`] made under this magic and for this length; those of
/// `need`.
pub(crate) fn header_of(
    magic: &[u8; 8],
    file: &[u8],
    need: &dyn Fn(std::ops::Range<usize>) -> Result<()>,
) -> Result<FileHeader> {
    if file.len() < FIXED_HEAD {
        return Err(Error::corrupt(format!("{} bytes are too short for a head", file.len())));
    }
    need(0..FIXED_HEAD)?;
    if &file[..8] != magic {
        return Err(Error::corrupt(format!(
            "it does not begin with {}",
            String::from_utf8_lossy(magic)
        )));
    }
    let body_len = usize::try_from(u64_at(file, BODY_LEN_AT))
        .map_err(|_| Error::corrupt("the head's length is impossible"))?;
    // Checked against the file's length first, for the sums below must not overflow.
    if body_len > file.len() {
        return Err(Error::corrupt(format!(
            "{} bytes hold less than the {body_len} that the head states",
            file.len()
        )));
    }
    let body_start = body_start_of(body_len);
    if file.len() != body_start + body_len {
        return Err(Error::corrupt(format!(
            "{} bytes instead of {}",
            file.len(),
            body_start + body_len
        )));
    }
    need(0..body_start)?;
    if xxh3_64(&file[CHECKED_FROM..body_start]) != u64_at(file, CHECKSUM_AT) {
        return Err(Error::corrupt("the head's checksum does not match"));
    }
    let version = u32_at(file, VERSION_AT);
    if version != VERSION || u32_at(file, BLOCK_BYTES_AT) as usize != BLOCK_BYTES {
        return Err(Error::corrupt(format!("form version {version} is not known here")));
    }
    Ok(FileHeader { body_start, body_len })
}

/// Checks the file form and every checksum, and gives the body without copying it.
/// [`crate::Region::open`] does so piece by piece.
///
/// # Errors
/// `Corrupt` when the bytes are not what [`seal`] made under this magic: another magic, cut short,
/// longer, or changed anywhere.
pub fn unseal(magic: &[u8; 8], file: &Bytes) -> Result<Bytes> {
    let head = header_of(magic, file, &|_| Ok(()))?;
    let body = file.slice(head.body_start..);
    for (number, block) in body.chunks(BLOCK_BYTES).enumerate() {
        if xxh3_64(block) != head.checksum(file, number) {
            let from = head.body_start + number * BLOCK_BYTES;
            return Err(Error::corrupt(format!(
                "the checksum of bytes {from} to {} does not match",
                from + block.len()
            )));
        }
    }
    Ok(body)
}

pub(crate) fn body_start_of(body_len: usize) -> usize {
    (FIXED_HEAD + 8 * body_len.div_ceil(BLOCK_BYTES)).next_multiple_of(ALIGN)
}

/// Little-endian at `at`; zero where the bytes end before, which callers rule out by length checks.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// See [`u64_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// See [`u64_at`].
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}
