//! `Bitmap::from_portable64`: as `portable`, with the head of the 64-bit form.

use crate::bitmap::walk;
use taghouse_bitmap::Bitmap;

pub fn read(data: &[u8]) {
    let Ok(bitmap) = Bitmap::from_portable64(data) else { return };
    walk(&bitmap);
    let again =
        Bitmap::from_portable64(&bitmap.serialize_portable64()).expect("what we write is read");
    assert_eq!(again, bitmap);
}

pub fn seeds() -> Vec<Vec<u8>> {
    crate::seeds::bitmaps().iter().map(Bitmap::serialize_portable64).collect()
}
