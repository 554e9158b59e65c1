//! A point as one word.

use super::CODE_BITS;
use taghouse_bitmap::{SHARD_BITS, SHARD_SIZE};

/// A point of a tag of values: tag, code and the ordinal within its shard.
pub(super) fn code_key(tag: u32, code: u32) -> u64 {
    u64::from(tag) << (CODE_BITS + SHARD_BITS) | u64::from(code) << SHARD_BITS
}

/// Back from [`code_key`]: the tag, the code, the ordinal within the shard.
#[inline]
pub(super) fn of_code_key(key: u64) -> (usize, u32, u32) {
    (
        (key >> (CODE_BITS + SHARD_BITS)) as usize,
        (key >> SHARD_BITS) as u32 & ((1 << CODE_BITS) - 1),
        low_of(key),
    )
}

/// A point of a tag of numbers: tag and the ordinal within its shard.
pub(super) fn number_key(tag: u32, low: u32) -> u64 {
    u64::from(tag) << SHARD_BITS | u64::from(low)
}

/// The tag of a [`number_key`].
#[inline]
pub(super) fn tag_of_number(key: u64) -> usize {
    (key >> SHARD_BITS) as usize
}

#[inline]
pub(super) fn low_of(key: u64) -> u32 {
    key as u32 & (SHARD_SIZE - 1)
}
