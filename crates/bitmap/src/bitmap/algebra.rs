use super::{Bitmap, Shard};
use croaring::Bitmap as Roaring;

impl Bitmap {
    /// Those in both.
    pub fn and(&self, other: &Self) -> Self {
        Self::from_shards(pairs(self, other).filter_map(|(a, b)| {
            let (a, b) = (a?, b?);
            Some((a.number, a.set.and(&b.set)))
        }))
    }

    /// Those in either.
    pub fn or(&self, other: &Self) -> Self {
        Self::from_shards(pairs(self, other).filter_map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => Some((a.number, a.set.or(&b.set))),
            (Some(one), None) | (None, Some(one)) => Some((one.number, one.set.clone())),
            (None, None) => None,
        }))
    }

    /// Those in `self` and not in `other`.
    pub fn and_not(&self, other: &Self) -> Self {
        Self::from_shards(pairs(self, other).filter_map(|(a, b)| {
            let a = a?;
            Some((a.number, b.map_or_else(|| a.set.clone(), |b| a.set.andnot(&b.set))))
        }))
    }

    /// How many are in both; materialises nothing.
    pub fn and_len(&self, other: &Self) -> u64 {
        pairs(self, other).filter_map(|(a, b)| Some(a?.set.and_cardinality(&b?.set))).sum()
    }

    /// Whether all of it is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        pairs(self, other).all(|(a, b)| {
            a.is_none_or(|a| b.is_some_and(|b| a.len <= b.len && a.set.is_subset(&b.set)))
        })
    }

    /// Those in any of `all`.
    pub fn union<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut shards: Vec<&Shard> = all.into_iter().flat_map(|bitmap| &bitmap.shards).collect();
        shards.sort_by_key(|shard| shard.number);
        Self::from_shards(shards.chunk_by(|a, b| a.number == b.number).map(|same| {
            let sets: Vec<&Roaring> = same.iter().map(|shard| &shard.set).collect();
            (same[0].number, Roaring::fast_or(&sets))
        }))
    }
}

/// The shards of both by number, ascending.
fn pairs<'a>(
    a: &'a Bitmap,
    b: &'a Bitmap,
) -> impl Iterator<Item = (Option<&'a Shard>, Option<&'a Shard>)> {
    let (mut a, mut b) = (a.shards.iter().peekable(), b.shards.iter().peekable());
    std::iter::from_fn(move || {
        let (x, y) = (a.peek().map(|shard| shard.number), b.peek().map(|shard| shard.number));
        match (x, y) {
            (None, None) => None,
            (Some(x), Some(y)) if x == y => Some((a.next(), b.next())),
            (Some(x), Some(y)) if x > y => Some((None, b.next())),
            (None, Some(_)) => Some((None, b.next())),
            (Some(_), _) => Some((a.next(), None)),
        }
    })
}
