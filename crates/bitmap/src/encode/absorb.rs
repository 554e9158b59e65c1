use super::shard_encoder::{ShardEncoder, TOUCHED_PER_CONTAINER};
use crate::blob::{Blob, CONTAINER_BITS, CONTAINERS, Container, WORDS};
use crate::file::{u16_at, u64_at};

/// From this many values of an array on, all words of its container are taken for touched.
const ALL_TOUCHED_FROM: usize = 256;

impl ShardEncoder {
    /// Adds the set of one shard in the portable form, as it was written here: other bytes than
    /// those add anything or nothing.
    pub fn absorb(&mut self, blob: &[u8]) {
        for (key, cardinality, container) in Blob::checked(blob).containers() {
            let number = usize::from(key) % CONTAINERS;
            match container {
                Container::Array(values) if cardinality < ALL_TOUCHED_FROM => {
                    let first = (number as u32) << CONTAINER_BITS;
                    values.as_chunks::<2>().0.iter().for_each(|value| {
                        self.insert(first | u32::from(u16::from_le_bytes(*value)))
                    });
                }
                _ => {
                    container.or_into(&mut self.words.as_chunks_mut::<WORDS>().0[number]);
                    self.touched[number * TOUCHED_PER_CONTAINER..][..TOUCHED_PER_CONTAINER]
                        .fill(!0);
                }
            }
        }
    }
}

/// Gives `each` the ordinals of one shard in the portable form, counted from the shard's first,
/// ascending. As [`ShardEncoder::absorb`], it takes bytes that were written here.
pub fn for_each_low(blob: &[u8], mut each: impl FnMut(u32)) {
    for (key, _, container) in Blob::checked(blob).containers() {
        let first = (u32::from(key) % CONTAINERS as u32) << CONTAINER_BITS;
        match container {
            Container::Array(values) => {
                values
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .for_each(|value| each(first | u32::from(u16::from_le_bytes(*value))));
            }
            Container::Bits(bits) => {
                for at in 0..WORDS {
                    let mut rest = u64_at(bits, at * 8);
                    while rest != 0 {
                        each(first + at as u32 * 64 + rest.trailing_zeros());
                        rest &= rest - 1;
                    }
                }
            }
            Container::Runs(runs) => {
                for run in runs.as_chunks::<4>().0 {
                    let start = first + u32::from(u16_at(run, 0));
                    (start..=start + u32::from(u16_at(run, 2))).for_each(&mut each);
                }
            }
        }
    }
}
