//! Counting the bits of long runs of words, or of little-endian bytes at any address.
#![allow(dead_code, reason = "counts of both forms, for whichever loop wants them")]

use crate::vector::{Kernel, Simd, fastest};

/// How many bits are set.
pub(crate) fn count(words: &[u64]) -> u64 {
    fastest(One(words))
}

/// How many bits are set in both; what is longer counts as far as the other goes.
pub(crate) fn and_count(a: &[u64], b: &[u64]) -> u64 {
    fastest(Two(a, b, |a: u64, b: u64| a & b))
}

/// How many bits are set in `a` and not in `b`; `a` is no longer than `b`.
pub(crate) fn andnot_count(a: &[u64], b: &[u64]) -> u64 {
    fastest(Two(a, b, |a: u64, b: u64| a & !b))
}

/// As [`count`], of the words of little-endian bytes; bytes after the last whole word do not count.
pub(crate) fn count_bytes(words: &[u8]) -> u64 {
    fastest(One(words.as_chunks::<8>().0))
}

/// As [`and_count`], of bytes.
pub(crate) fn and_count_bytes(a: &[u8], b: &[u8]) -> u64 {
    fastest(Two(a.as_chunks::<8>().0, b.as_chunks::<8>().0, |a: u64, b: u64| a & b))
}

/// As [`andnot_count`], of bytes.
pub(crate) fn andnot_count_bytes(a: &[u8], b: &[u8]) -> u64 {
    fastest(Two(a.as_chunks::<8>().0, b.as_chunks::<8>().0, |a: u64, b: u64| a & !b))
}

/// Eight bytes that are a word.
pub(crate) trait Word: Copy {
    fn word(self) -> u64;
}

impl Word for u64 {
    #[inline(always)]
    fn word(self) -> u64 {
        self
    }
}

impl Word for [u8; 8] {
    #[inline(always)]
    fn word(self) -> u64 {
        u64::from_le_bytes(self)
    }
}

struct One<'a, W>(&'a [W]);

impl<W: Word> Kernel for One<'_, W> {
    type Out = u64;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        let mut sum = 0;
        for word in self.0 {
            sum += u64::from(word.word().count_ones());
        }
        sum
    }
}

struct Two<'a, A, B, F>(&'a [A], &'a [B], F);

impl<A: Word, B: Word, F: Fn(u64, u64) -> u64> Kernel for Two<'_, A, B, F> {
    type Out = u64;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        let Self(a, b, op) = self;
        let mut sum = 0;
        for (a, b) in a.iter().zip(b) {
            sum += u64::from(op(a.word(), b.word()).count_ones());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_plain_loop_at_any_length_and_address() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            state ^ state >> 29
        };
        let bytes: Vec<u8> = (0..2_100).map(|_| next() as u8).collect();
        for (from, words) in (0..16).flat_map(|from| [0, 1, 7, 8, 9, 31, 64, 127].map(|words| (from, words))) {
            let (a, b) = (&bytes[from..from + 8 * words], &bytes[1_050 + from..][..8 * words]);
            let naive = |op: fn(u8, u8) -> u8| a.iter().zip(b).map(|(a, b)| u64::from(op(*a, *b).count_ones())).sum::<u64>();
            let of = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>();
            let (x, y) = (of(a), of(b));
            assert_eq!((count(&x), count_bytes(a)), (naive(|a, _| a), naive(|a, _| a)));
            assert_eq!((and_count(&x, &y), and_count_bytes(a, b)), (naive(|a, b| a & b), naive(|a, b| a & b)));
            assert_eq!((andnot_count(&x, &y), andnot_count_bytes(a, b)), (naive(|a, b| a & !b), naive(|a, b| a & !b)));
        }
    }
}
