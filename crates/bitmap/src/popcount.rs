//! Counting the bits of long runs of words, or of little-endian bytes at any address.

use crate::vector::{Simd, VectorLoop, fastest};

/// How many bits are set.
pub(crate) fn count(words: &[u64]) -> u64 {
    fastest(One(words))
}

/// As [`count`], of the words of little-endian bytes; bytes after the last whole word do not count.
pub(crate) fn count_bytes(words: &[u8]) -> u64 {
    fastest(One(words.as_chunks::<8>().0))
}

/// Eight bytes that are a word.
trait Word: Copy {
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

impl<W: Word> VectorLoop for One<'_, W> {
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
        let bytes: Vec<u8> = (0..1_050).map(|_| next() as u8).collect();
        for (from, words) in
            (0..16).flat_map(|from| [0, 1, 7, 8, 9, 31, 64, 127].map(|words| (from, words)))
        {
            let bytes = &bytes[from..from + 8 * words];
            let naive: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
            let words: Vec<u64> =
                bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            assert_eq!((count(&words), count_bytes(bytes)), (naive, naive));
        }
    }
}
