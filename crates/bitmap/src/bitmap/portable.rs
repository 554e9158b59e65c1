//! The forms that every Roaring library reads: <https://github.com/RoaringBitmap/RoaringFormatSpec>.

use super::Bitmap;
use crate::file::{u32_at, u64_at};
use crate::{Error, Result, SHARD_BITS, SHARD_SIZE};
use croaring::{Bitmap as Roaring, Portable};
use std::sync::Arc;

/// Of the 64-bit form: how many parts there are, and the high half that the values of the first
/// part share.
const HEAD_64: usize = 8 + 4;

impl Bitmap {
    /// One portable 32-bit Roaring bitmap, as every Roaring library reads it.
    pub fn serialize_portable(&self) -> Vec<u8> {
        self.whole().serialize::<Portable>()
    }

    /// One portable 64-bit Roaring bitmap (Java's Roaring64NavigableMap, CRoaring's Roaring64Map,
    /// `groupBitmap` of 64 bits): the number of parts, and of each part the high half and a
    /// 32-bit bitmap. Ordinals have 32 bits, so there is one part at most.
    pub fn serialize_portable64(&self) -> Vec<u8> {
        let mut bytes = u64::from(!self.is_empty()).to_le_bytes().to_vec();
        if !self.is_empty() {
            bytes.extend_from_slice(&0_u32.to_le_bytes());
            let _ = self.whole().serialize_into_vec::<Portable>(&mut bytes);
        }
        bytes
    }

    /// Reads one portable 32-bit Roaring bitmap, from whatever library.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are none.
    pub fn from_portable(bytes: &[u8]) -> Result<Self> {
        let whole = Roaring::try_deserialize::<Portable>(bytes)
            .ok_or_else(|| Error::corrupt("no portable Roaring bitmap"))?;
        whole.internal_validate().map_err(Error::corrupt)?;
        let (Some(low), Some(high)) = (whole.minimum(), whole.maximum()) else {
            return Ok(Self::new());
        };
        Ok(Self::from_shards((low >> SHARD_BITS..=high >> SHARD_BITS).map(|number| {
            let first = number << SHARD_BITS;
            (number, whole.and(&Roaring::from_range(first..=first | (SHARD_SIZE - 1))))
        })))
    }

    /// Reads one portable 64-bit Roaring bitmap.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are none; `TooLarge` when there is a value of more than 32 bits,
    /// which no ordinal has.
    pub fn from_portable64(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < 8 {
            return Err(Error::corrupt("no portable 64-bit Roaring bitmap"));
        }
        let parts = u64_at(bytes, 0);
        if parts == 0 {
            return Ok(Self::new());
        }
        let first = bytes
            .get(HEAD_64..)
            .ok_or_else(|| Error::corrupt("a portable 64-bit Roaring bitmap is cut short"))?;
        if parts > 1 || u32_at(bytes, 8) != 0 {
            return Err(Error::TooLarge {
                what: "a value of a 64-bit bitmap".to_owned(),
                limit: u64::from(u32::MAX),
            });
        }
        Self::from_portable(first)
    }

    /// What [`Bitmap::serialize_portable`] gives (or, if it is `wide`,
    /// [`Bitmap::serialize_portable64`]), in pieces of 128 KiB and less but for the
    /// first, which has up to 8 bytes for each 2^16 users: for a reader who takes them slowly, or
    /// never.
    pub fn portable_pieces(self: &Arc<Self>, wide: bool) -> PortablePieces {
        PortablePieces { set: self.clone(), wide, next: None }
    }

    fn whole(&self) -> Roaring {
        let mut whole = Roaring::new();
        for shard in &self.shards {
            whole.or_inplace(&shard.set);
        }
        whole.run_optimize();
        whole
    }
}

/// The cookie of a bitmap without runs, and of one that may have some.
const NO_RUNS: u32 = 12346;
const RUNS: u32 = 12347;
/// With runs, a bitmap of fewer containers has no table of offsets.
const OFFSETS_FROM: usize = 4;
/// More users than that are not listed in a container.
const MOST_LISTED: usize = 4096;
const BITSET_BYTES: usize = 8192;

/// The bytes of a portable bitmap, piece by piece. Made by [`Bitmap::portable_pieces`].
pub struct PortablePieces {
    set: Arc<Bitmap>,
    wide: bool,
    /// The place of the next shard; `None`: the head comes first.
    next: Option<usize>,
}

/// One container of a serialized shard.
struct Container {
    key: u16,
    cardinality: usize,
    is_run: bool,
    bytes: std::ops::Range<usize>,
}

impl Iterator for PortablePieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self.next else {
            self.next = Some(0);
            return Some(self.head());
        };
        let shard = self.set.shards.get(at)?;
        self.next = Some(at + 1);
        let mut bytes = serialized(&shard.set);
        let containers = containers(&bytes);
        bytes.drain(..containers.first().map_or(0, |first| first.bytes.start));
        Some(bytes)
    }
}

impl PortablePieces {
    /// Whether there are more pieces.
    pub fn is_before_end(&self) -> bool {
        self.next.is_none_or(|at| at < self.set.shards.len())
    }

    /// Everything before the first container.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        if self.wide {
            head.extend_from_slice(&u64::from(!self.set.is_empty()).to_le_bytes());
            if self.set.is_empty() {
                return head;
            }
            head.extend_from_slice(&0_u32.to_le_bytes());
        }
        let all: Vec<Container> =
            self.set.shards.iter().flat_map(|shard| containers(&serialized(&shard.set))).collect();
        let has_runs = all.iter().any(|container| container.is_run);
        let begin = head.len();
        if has_runs {
            head.extend_from_slice(&(RUNS | (all.len() as u32 - 1) << 16).to_le_bytes());
            let mut flags = vec![0_u8; all.len().div_ceil(8)];
            all.iter()
                .enumerate()
                .filter(|(_, container)| container.is_run)
                .for_each(|(at, _)| flags[at / 8] |= 1 << (at % 8));
            head.extend_from_slice(&flags);
        } else {
            head.extend_from_slice(&NO_RUNS.to_le_bytes());
            head.extend_from_slice(&(all.len() as u32).to_le_bytes());
        }
        for container in &all {
            head.extend_from_slice(&container.key.to_le_bytes());
            head.extend_from_slice(&((container.cardinality - 1) as u16).to_le_bytes());
        }
        if !has_runs || all.len() >= OFFSETS_FROM {
            let mut offset = head.len() - begin + 4 * all.len();
            for container in &all {
                head.extend_from_slice(&(offset as u32).to_le_bytes());
                offset += container.bytes.len();
            }
        }
        head
    }
}

fn serialized(set: &Roaring) -> Vec<u8> {
    let mut set = set.clone();
    set.run_optimize();
    set.serialize::<Portable>()
}

/// The containers of what `serialized` gave.
fn containers(bytes: &[u8]) -> Vec<Container> {
    let word =
        |at: usize| bytes.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
    let cookie = u32_at(bytes, 0);
    let has_runs = cookie & 0xffff == RUNS;
    let count = if has_runs { (cookie >> 16) as usize + 1 } else { u32_at(bytes, 4) as usize };
    let flags = if has_runs { 4 } else { 8 };
    let keys = flags + if has_runs { count.div_ceil(8) } else { 0 };
    let offsets = if !has_runs || count >= OFFSETS_FROM { 4 * count } else { 0 };
    let mut start = keys + 4 * count + offsets;
    let container = |at: usize| {
        let (key, cardinality) = (word(keys + 4 * at), usize::from(word(keys + 4 * at + 2)) + 1);
        let is_run =
            has_runs && bytes.get(flags + at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        let len = match cardinality {
            _ if is_run => 2 + 4 * usize::from(word(start)),
            listed if listed <= MOST_LISTED => 2 * listed,
            _ => BITSET_BYTES,
        };
        start += len;
        Container { key, cardinality, is_run, bytes: start - len..start }
    };
    (0..count).map(container).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(set: Bitmap) {
        let set = Arc::new(set);
        assert!(set.portable_pieces(false).skip(1).all(|piece| piece.len() <= 128 << 10));
        assert_eq!(
            set.portable_pieces(false).flatten().collect::<Vec<_>>(),
            set.serialize_portable()
        );
        assert_eq!(
            set.portable_pieces(true).flatten().collect::<Vec<_>>(),
            set.serialize_portable64()
        );
    }

    #[test]
    fn the_pieces_are_the_whole() {
        check(Bitmap::new());
        check(Bitmap::from_range(0..=u32::MAX >> 4));
        check(Bitmap::from_range(5..=70_000));
        check((0..3_000_000).filter(|n| n % 3 == 0).collect());
        check((0..40_000_000).step_by(65_000).collect());
        check((0..3_000_000).filter(|n| n % 3 == 0 || (n / 1000) % 2 == 0).collect());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn of_any_set(runs in proptest::collection::vec((0_u32..5_000_000, 1_u32..9000, 1_u32..4), 0..12)) {
            check(runs.iter().flat_map(|(start, len, step)| (*start..start + len).step_by(*step as usize)).collect());
        }
    }
}
