//! `Bitmap::from_bytes`: one stored set, below its checksums.

use crate::LISTED;
use taghouse_bitmap::{Bitmap, seal, unseal};

const MAGIC: &[u8; 8] = b"TAGHBMAP";

pub fn read(body: &[u8]) {
    if let Ok(bitmap) = Bitmap::from_bytes(seal(MAGIC, body)) {
        walk(&bitmap);
        let _ = bitmap.to_bytes();
    }
}

/// Everything that is asked of a set.
pub(crate) fn walk(bitmap: &Bitmap) {
    if bitmap.len() < LISTED {
        let _ = bitmap.iter().count();
    }
    let _ = (bitmap.min(), bitmap.max(), bitmap.select(bitmap.len() / 2), bitmap.contains(70_000));
    let _ = bitmap.page(70_000, 100);
    let other = Bitmap::from_range(5..=80_000);
    let _ = (
        bitmap.and(&other).len(),
        bitmap.or(&other).len(),
        bitmap.and_not(&other).len(),
        bitmap.and_len(&other),
    );
    let _ = bitmap.serialize_portable();
}

pub fn seeds() -> Vec<Vec<u8>> {
    let stored = crate::seeds::bitmaps().into_iter().filter_map(|bitmap| bitmap.to_bytes().ok());
    stored.filter_map(|file| unseal(MAGIC, &file.into()).ok()).map(Into::into).collect()
}
