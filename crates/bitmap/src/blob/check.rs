//! What has to be true of a blob's bytes so that no reader leaves them, and none counts other users
//! than another.

use super::{Blob, CONTAINER_BITS, CONTAINERS, Container};
use crate::file::{u16_at, u32_at};
use crate::popcount;
use crate::vector::{Simd, VectorLoop, fastest};
use crate::{Error, Result, SHARD_BITS, SHARD_SIZE};

impl<'a> Blob<'a> {
    /// Checks all that a reader relies on: containers in bounds, keys ascending and of the shard,
    /// values and runs ascending, cardinalities those of the containers. Checksums say that the
    /// bytes are what was written; this, that what was written is a shard. It runs once a blob,
    /// as fast as memory gives the bytes.
    pub(crate) fn check(bytes: &'a [u8], shard: u32, cardinality: u32) -> Result<Self> {
        let blob = Self(bytes);
        let bad = |what: &str| Error::corrupt(format!("shard {shard}: {what}"));
        let head = blob.head().ok_or_else(|| bad("no Roaring head"))?;
        if head.containers == 0 || head.containers > CONTAINERS || head.data > bytes.len() {
            return Err(bad("impossible number of containers"));
        }
        let (mut sequential, mut sum, mut next_key) =
            (head.data, 0, shard << (SHARD_BITS - CONTAINER_BITS));
        let last_key = next_key + CONTAINERS as u32 - 1;
        for index in 0..head.containers {
            let (key, count) = blob.descriptor(&head, index);
            if u32::from(key) < next_key || u32::from(key) > last_key {
                return Err(bad("a container is out of order or of another shard"));
            }
            next_key = u32::from(key) + 1;
            let at = head
                .offsets
                .map_or(sequential, |offsets| u32_at(bytes, offsets + 4 * index) as usize);
            let len = blob.len_at(&head, index, count, at);
            if at < head.data || at.checked_add(len).is_none_or(|end| end > bytes.len()) {
                return Err(bad("a container lies outside the bytes"));
            }
            if !blob
                .container_at(&head, index)
                .is_some_and(|container| container.has_cardinality(count))
            {
                return Err(bad("a container is out of order or of another size"));
            }
            sequential = at + len;
            sum += count;
        }
        if sum != cardinality as usize || cardinality > SHARD_SIZE {
            return Err(bad("the number of users does not match"));
        }
        Ok(blob)
    }
}

impl Container<'_> {
    /// Whether it is in order and holds `count` values.
    fn has_cardinality(&self, count: usize) -> bool {
        match self {
            Self::Bits(bits) => popcount::count_bytes(bits) == count as u64,
            Self::Array(values) => fastest(Ascending(values.as_chunks().0)),
            Self::Runs(runs) => {
                let (mut next, mut sum) = (0, 0);
                for run in runs.as_chunks::<4>().0 {
                    let (start, last) = (
                        u32::from(u16_at(run, 0)),
                        u32::from(u16_at(run, 0)) + u32::from(u16_at(run, 2)),
                    );
                    if start < next || last > u32::from(u16::MAX) {
                        return false;
                    }
                    sum += (last - start) as usize + 1;
                    // Runs that touch would have been one.
                    next = last + 2;
                }
                sum == count
            }
        }
    }
}

/// Whether values ascend, each once.
struct Ascending<'a>(&'a [[u8; 2]]);

impl VectorLoop for Ascending<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        let after = self.0.get(1..).unwrap_or_default();
        // Without a way out in the middle, so that it becomes vectors.
        let mut wrong = 0_u16;
        for (value, next) in self.0.iter().zip(after) {
            wrong |= u16::from(u16::from_le_bytes(*value) >= u16::from_le_bytes(*next));
        }
        wrong == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croaring::{Bitmap as Roaring, Portable};

    /// One container: a head without runs and without offsets' worth of doubt.
    fn array(values: &[u16], count: usize) -> Vec<u8> {
        let mut bytes = [12346_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
        bytes.extend([0, 0]);
        bytes.extend((count as u16 - 1).to_le_bytes());
        bytes.extend(16_u32.to_le_bytes());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes
    }

    fn runs(runs: &[(u16, u16)], count: usize) -> Vec<u8> {
        let mut bytes = 12347_u32.to_le_bytes().to_vec();
        bytes.extend([1, 0, 0]);
        bytes.extend((count as u16 - 1).to_le_bytes());
        bytes.extend((runs.len() as u16).to_le_bytes());
        runs.iter().for_each(|(start, more)| {
            [start.to_le_bytes(), more.to_le_bytes()].iter().for_each(|half| bytes.extend(half))
        });
        bytes
    }

    fn bits(flip: usize) -> Vec<u8> {
        let mut bytes = Roaring::from_range_with_step(0..60_000, 3).serialize::<Portable>();
        bytes[16 + flip / 8] ^= 1 << (flip % 8);
        bytes
    }

    #[test]
    fn what_checksums_cannot_see() {
        let fits = |bytes: &[u8], count: u32| Blob::check(bytes, 0, count).is_ok();
        for (values, right) in [
            (vec![0, 1, 2], true),
            (vec![0, 2, 2], false),
            (vec![5, 4, 9], false),
            (vec![7, 8, 65_535], true),
            (vec![9, 1, 0], false),
        ] {
            assert_eq!(
                fits(&array(&values, values.len()), values.len() as u32),
                right,
                "{values:?}"
            );
        }
        let long: Vec<u16> = (0..4000).map(|value| value * 3).collect();
        assert!(fits(&array(&long, 4000), 4000));
        for at in [0, 1, 31, 32, 1999, 3998] {
            let mut wrong = long.clone();
            wrong.swap(at, at + 1);
            assert!(!fits(&array(&wrong, 4000), 4000), "{at}");
        }
        for (given, count, right) in [
            (vec![(0, 9)], 10, true),
            (vec![(0, 9)], 11, false),
            (vec![(0, 9), (11, 0)], 11, true),
            (vec![(0, 9), (10, 0)], 11, false),
            (vec![(0, 9), (5, 9)], 20, false),
            (vec![(20, 0), (5, 0)], 2, false),
            (vec![(65_530, 5)], 6, true),
            (vec![(65_530, 6)], 7, false),
            (vec![], 1, false),
        ] {
            assert_eq!(fits(&runs(&given, count), count as u32), right, "{given:?}");
        }
        assert!(!fits(&bits(1), 20_000) && !fits(&bits(0), 20_000) && !fits(&bits(65_535), 20_001));
        let right = Roaring::from_range_with_step(0..60_000, 3).serialize::<Portable>();
        assert!(fits(&right, 20_000));
    }
}
