//! The only unsafe code of Taghouse: Roaring views over bytes that someone else owns.
#![allow(unsafe_code)]

use crate::blob::Blob;
use croaring::{Bitmap as Roaring, BitmapView, Portable};
use std::cell::RefCell;
use std::mem::{ManuallyDrop, take};
use std::ops::Deref;

/// A view on one shard, in place. Making it costs about 50 ns, whatever its size.
pub(crate) fn view(blob: Blob<'_>) -> BitmapView<'_> {
    // SAFETY: croaring wants bytes that its own serialisation could have written. A `Blob` is
    // either made by `BlobWriter`, or was part of a file whose checksums matched what this
    // crate wrote, and `Blob::check` has seen that all its containers lie within the slice. The
    // view borrows the slice, so it cannot outlive it, and nothing changes bytes behind a shared
    // borrow.
    unsafe { BitmapView::deserialize::<Portable>(blob.bytes()) }
}

/// Reusable buffers of one thread for computed shards.
#[derive(Default)]
pub(crate) struct BufferPool(RefCell<Vec<Vec<u8>>>);

impl BufferPool {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, buffer: Vec<u8>) {
        self.0.borrow_mut().push(buffer);
    }
}

/// A view together with its buffer, which goes back to its pool at the end.
pub(crate) struct PooledView<'p> {
    view: ManuallyDrop<BitmapView<'static>>,
    buffer: Vec<u8>,
    pool: &'p BufferPool,
}

impl<'p> PooledView<'p> {
    /// `buffer` holds what a `BlobWriter` with at least one value has written.
    pub(crate) fn new(buffer: Vec<u8>, pool: &'p BufferPool) -> Self {
        // SAFETY: the slice is valid as long as `buffer` is neither changed nor freed. It is a
        // private field that nothing touches until `drop`, which ends the view first;
        // moving the Vec does not move its heap bytes. The lifetime 'static never
        // leaves this type: `deref` hands the view out under the lifetime of `self`.
        let bytes: &'static [u8] =
            unsafe { std::slice::from_raw_parts(buffer.as_ptr(), buffer.len()) };
        Self { view: ManuallyDrop::new(view(Blob::checked(bytes))), buffer, pool }
    }
}

impl Deref for PooledView<'_> {
    type Target = Roaring;
    fn deref(&self) -> &Roaring {
        &self.view
    }
}

impl Drop for PooledView<'_> {
    fn drop(&mut self) {
        // SAFETY: dropped exactly once, here, and not used afterwards; before the buffer that it
        // looks at is handed on.
        unsafe { ManuallyDrop::drop(&mut self.view) };
        self.pool.give(take(&mut self.buffer));
    }
}
