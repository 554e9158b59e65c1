//! Comparing: from the highest slice down, for those only who are asked for, until nobody is
//! undecided.

use super::BitSlices;
use super::candidates::{Bits, Candidates, Sink, Tally};
use super::reader::{Asked, Reader};
use crate::blob::{BlobWriter, CONTAINERS, WORDS, Words};
use crate::part::{Part, Scope};
use crate::view::Held;
use croaring::Bitmap as Roaring;
use std::cell::RefCell;

thread_local! {
    /// Those found in the containers of a shard.
    static FOUND: RefCell<Vec<Words>> = RefCell::new(vec![[0; WORDS]; CONTAINERS]);
}

impl BitSlices {
    /// Those of one shard whose offset is `low` to `high`; of those in `within` only, if that is
    /// given.
    pub(crate) fn range<'a>(
        &self,
        scope: &Scope<'a>,
        low: u128,
        high: u128,
        within: Option<&Roaring>,
    ) -> Part<'a> {
        let Some(shard) = self.shard(scope.number) else { return Part::Empty };
        let mut buffer = scope.pool.take();
        // Somebody without a number has offset 0, which only a range from 0 on takes for one.
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
                Part::Empty
            }
            len if len == scope.users_len => {
                scope.pool.give(buffer);
                Part::Full
            }
            _ => Part::Held(Held::new(buffer, scope.pool)),
        }
    }

    /// How many there are in [`BitSlices::range`]; nothing is written out.
    pub(crate) fn range_len(
        &self,
        shard: u32,
        low: u128,
        high: u128,
        within: Option<&Roaring>,
    ) -> u64 {
        let Some(shard) = self.shard(shard) else { return 0 };
        shard.ask(within, low == 0, |asked, slices| {
            let mut found: [Tally; CONTAINERS] = Default::default();
            between(asked, slices, self.slices, (low, high), &mut found);
            found.iter().map(Tally::total).sum()
        })
    }
}

/// Finds those whose offset of `bits` bits is `low` to `high`, both included.
fn between(
    asked: &mut [Asked],
    slices: &mut Reader<'_, '_>,
    bits: u32,
    (low, high): (u128, u128),
    found: &mut [impl Sink],
) {
    // The highest bit in which the bounds differ. Above it an offset has to have their bits. With a
    // 0 in it, it is below `high`, and with a 1 (those `apart`) above `low`.
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

/// The step of bit `bit` in comparing with a lower bound or, flipped, the complements with that of
/// an upper one: where the bound has a bit, the offset needs it too; where it has none, a bit in
/// the offset is enough.
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
