//! Comparing. Per container of 2^16 ordinals the words of all slices run once through one accumulator in the first-level cache,
//! which is several times faster than a set operation a slice.

use super::BitSlices;
use crate::blob::{BlobWriter, CONTAINER_BITS, Container, WORDS, Words};
use crate::part::{Part, Scope};
use crate::view::Held;
use croaring::Bitmap as Roaring;

/// Up to this many candidates in a shard each is looked up by itself.
const FEW: u64 = 128;

impl BitSlices {
    /// Those of one shard whose offset is `low` to `high`; only right for those in `within`, if that is given.
    pub(crate) fn range<'a>(&self, scope: &Scope<'a>, low: u64, high: u64, within: Option<&Roaring>) -> Part<'a> {
        if let Some(few) = within.filter(|within| within.cardinality() <= FEW) {
            let found: Vec<u32> = few
                .iter()
                .filter(|ordinal| self.offset_of(*ordinal).is_ok_and(|offset| offset.is_some_and(|offset| (low..=high).contains(&offset))))
                .collect();
            return scope.owned(Roaring::of(&found));
        }
        let Some((_, existence)) = self.bundle.blob(0, scope.number) else {
            return Part::Empty;
        };
        let blobs: Vec<_> = (0..self.slices).map(|bit| self.bundle.blob(bit + 1, scope.number).map(|(_, blob)| blob)).collect();
        let mut buffer = scope.pool.take();
        let mut writer = BlobWriter::new(&mut buffer);
        let mut slices = Vec::with_capacity(blobs.len());
        for (key, _, existence) in existence.containers() {
            let first = u32::from(key) << CONTAINER_BITS;
            if within.is_some_and(|within| !within.intersect_with_range(first..=first | 0xFFFF)) {
                continue;
            }
            slices.clear();
            slices.extend(blobs.iter().map(|blob| blob.and_then(|blob| blob.container(key))));
            writer.push(key, &compare(&existence, &slices, low, high, self.span()));
        }
        match writer.finish() {
            0 => {
                scope.pool.give(buffer);
                Part::Empty
            }
            len if len == scope.users_len => {
                scope.pool.give(buffer);
                Part::Full
            }
            _ => Part::Held(Held::new(buffer, scope.pool)),
        }
    }
}

/// One container. `low <= high <= span`, and not all of it.
fn compare(existence: &Container<'_>, slices: &[Option<Container<'_>>], low: u64, high: u64, span: u64) -> Words {
    if low == high {
        return equal(existence, slices, low);
    }
    let mut result = if low == 0 { existence.words() } else { at_least(slices, low) };
    if high < span {
        let above = at_least(slices, high + 1);
        result.iter_mut().zip(&above).for_each(|(a, b)| *a &= !b);
    }
    result
}

/// Offsets of `bound` or more, which is not 0. From the lowest bit of the bound upwards: where the bound has a bit, the offset needs
/// it too; where it has none, a bit in the offset is enough.
fn at_least(slices: &[Option<Container<'_>>], bound: u64) -> Words {
    let lowest = bound.trailing_zeros() as usize;
    let mut result = slices.get(lowest).and_then(Option::as_ref).map_or([0; WORDS], Container::words);
    for (bit, slice) in slices.iter().enumerate().skip(lowest + 1) {
        match (bound >> bit & 1 == 1, slice) {
            (true, Some(slice)) => slice.and_into(&mut result),
            (true, None) => result = [0; WORDS],
            (false, Some(slice)) => slice.or_into(&mut result),
            (false, None) => {}
        }
    }
    result
}

fn equal(existence: &Container<'_>, slices: &[Option<Container<'_>>], offset: u64) -> Words {
    let mut result = existence.words();
    for (bit, slice) in slices.iter().enumerate() {
        match (offset >> bit & 1 == 1, slice) {
            (true, Some(slice)) => slice.and_into(&mut result),
            (true, None) => return [0; WORDS],
            (false, Some(slice)) => slice.and_not_into(&mut result),
            (false, None) => {}
        }
    }
    result
}
