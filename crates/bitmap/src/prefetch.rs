//! Memory asked for before it is read.
#![allow(unsafe_code)]

/// Bytes that memory gives at a time.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line at `at`, so that it is on its way while others are asked for. Nothing
/// happens beyond the end.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = bytes.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program could see, and the address is of a byte
        // that is borrowed here.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

/// Asks for the cache line that many bytes after the beginning of `bytes`, whatever lies there: for
/// what is read in a row, and soon.
#[inline(always)]
pub(crate) fn prefetch_beyond<T>(bytes: &[T], further: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program could see, and no address makes it fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().cast::<i8>().wrapping_add(further)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, further);
}
