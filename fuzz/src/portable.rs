//! `Bitmap::from_portable`: sets that others wrote, so all of it is checked, and what is read is
//! what is written again.

use crate::bitmap::walk;
use taghouse_bitmap::Bitmap;

pub fn read(data: &[u8]) {
    let Ok(bitmap) = Bitmap::from_portable(data) else { return };
    walk(&bitmap);
    let again = Bitmap::from_portable(&bitmap.serialize_portable()).expect("what we write is read");
    assert_eq!(again, bitmap);
    let again = bitmap.to_bytes().and_then(Bitmap::from_bytes).expect("what we store is read");
    assert_eq!(again, bitmap);
}

pub fn seeds() -> Vec<Vec<u8>> {
    crate::seeds::bitmaps().iter().map(Bitmap::serialize_portable).collect()
}
