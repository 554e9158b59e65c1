//! Range predicates, evaluated from the highest slice down, for the requested users only, until
//! none is undecided.
//!
//! This is the range evaluation of O'Neil and Quass, "Improved query performance with variant
//! indexes" (SIGMOD 1997, <https://doi.org/10.1145/253260.253268>), for both bounds in one pass, and
//! by cache lines, so that lines without undecided users are not read again. It costs O(b) reads of
//! a container for numbers of b bits.

use super::BitSlices;
use super::candidates::{Bits, Candidates, MatchCount, Sink};
use super::reader::{Asked, Reader};
use crate::blob::{BlobWriter, CONTAINERS, WORDS, Words};
use crate::shard_set::{Scope, ShardSet};
use crate::view::PooledView;
use croaring::Bitmap as Roaring;
use std::cell::RefCell;

thread_local! {
    /// The users found, one bitset for each container of a shard.
    static FOUND: RefCell<Vec<Words>> = RefCell::new(vec![[0; WORDS]; CONTAINERS]);
}

impl BitSlices {
    /// The users of one shard whose offset is from `low` to `high`, of `within` only if given.
    pub(crate) fn range<'a>(
        &self,
        scope: &Scope<'a>,
        low: u128,
        high: u128,
        within: Option<&Roaring>,
    ) -> ShardSet<'a> {
        let Some(shard) = self.shard(scope.number) else { return ShardSet::Empty };
        let mut buffer = scope.pool.take();
        // A user without a number has no bit in any slice, so reads as offset 0: the existence
        // bitmap matters only when the range begins at 0.
        let len = shard.ask(within, low == 0, |asked, slices| {
            FOUND.with_borrow_mut(|found| {
                let found = &mut found[..asked.len()];
                found.fill([0; WORDS]);
                between(asked, slices, self.slices, (low, high), found);
                let mut writer = BlobWriter::new(&mut buffer);
                asked.iter().zip(found).for_each(|(asked, found)| writer.push(asked.key, found));
                writer.finish()
            })
        });
        match len {
            0 => {
                scope.pool.give(buffer);
                ShardSet::Empty
            }
            len if len == scope.users_len => {
                scope.pool.give(buffer);
                ShardSet::Full
            }
            _ => ShardSet::Pooled(PooledView::new(buffer, scope.pool)),
        }
    }

    /// The size of [`BitSlices::range`], without materialising it.
    pub(crate) fn range_len(
        &self,
        shard: u32,
        low: u128,
        high: u128,
        within: Option<&Roaring>,
    ) -> u64 {
        let Some(shard) = self.shard(shard) else { return 0 };
        shard.ask(within, low == 0, |asked, slices| {
            let mut found: [MatchCount; CONTAINERS] = Default::default();
            between(asked, slices, self.slices, (low, high), &mut found);
            found.iter().map(MatchCount::total).sum()
        })
    }
}

/// Finds the users whose offset of `bits` bits is from `low` to `high`, both included.
fn between(
    asked: &mut [Asked],
    slices: &mut Reader<'_, '_>,
    bits: u32,
    (low, high): (u128, u128),
    found: &mut [impl Sink],
) {
    // `parting` is the highest bit in which the bounds differ.
    // 1. Above it, an offset must equal both bounds: only users with the same bit are kept.
    // 2. At it, users split: with a 0 they are below `high` (`candidates`), with a 1 they are above
    //    `low` (`apart`).
    // 3. Below it, each half is compared with the one bound that is still open.
    // 4. Users that are left undecided after the last bit equal a bound, and so are in the range.
    let parting = (low != high).then(|| 127 - (low ^ high).leading_zeros());
    for bit in (0..bits).rev() {
        let mut undecided = false;
        for (asked, found) in asked.iter_mut().zip(found.iter_mut()) {
            if asked.candidates.is_empty() && asked.apart.is_empty() {
                continue;
            }
            let bits = slices.bits(bit, asked.key);
            match parting {
                Some(parting) if bit == parting => asked.candidates.split(bits, &mut asked.apart),
                Some(parting) if bit < parting => {
                    at_least(&mut asked.candidates, bits, bit, (low, false), found);
                    at_least(&mut asked.apart, bits, bit, (!high, true), found);
                }
                _ => asked.candidates.keep(bits, low >> bit & 1 == 0),
            }
            undecided |= !asked.candidates.is_empty() || !asked.apart.is_empty();
        }
        if !undecided {
            return;
        }
    }
    for (asked, found) in asked.iter().zip(found) {
        found.all(&asked.candidates);
        found.all(&asked.apart);
    }
}

/// One bit of a comparison with a lower bound: where the bound has a 1, the offset needs it too;
/// where it has a 0, a 1 in the offset decides. With `flip` it compares complements, which turns an
/// upper bound into a lower one.
fn at_least(
    candidates: &mut Candidates,
    bits: &Bits,
    bit: u32,
    (bound, flip): (u128, bool),
    found: &mut impl Sink,
) {
    if bound & (u128::MAX >> (127 - bit)) == 0 {
        found.all(candidates);
        candidates.clear();
    } else if bound >> bit & 1 == 1 {
        candidates.keep(bits, flip);
    } else {
        candidates.take(bits, flip, found);
    }
}
