//! Slices where they are stored, one shard and one container of it at a time.

use super::BitSlices;
use super::candidates::{Bits, Candidates, NONE, Read, Sink, bits_of};
use crate::blob::{Blob, Container};
use croaring::{Bitmap as Roaring, Portable};
use std::cell::RefCell;

/// The slices of one shard.
pub(super) struct Shard<'a> {
    existence: Blob<'a>,
    slices: Vec<Option<Blob<'a>>>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room { crowd: Vec::new(), bits: Box::new(NONE), candidates: Box::new(Candidates::none()) });
}

/// Room for what is worked out on the way.
struct Room {
    /// The crowd's containers.
    crowd: Vec<u8>,
    /// A slice's container that is not stored as bits.
    bits: Box<Bits>,
    candidates: Box<Candidates>,
}

impl BitSlices {
    /// One shard, which was loaded; `None` where nobody has a number.
    pub(super) fn shard(&self, number: u32) -> Option<Shard<'_>> {
        let (_, existence) = self.bundle.blob(0, number)?;
        let slices = (0..self.slices).map(|bit| self.bundle.blob(bit + 1, number).map(|(_, blob)| blob)).collect();
        Some(Shard { existence, slices })
    }
}

impl Shard<'_> {
    /// Calls `each` for every container in which there are candidates: those in `within`, or all who have a number. Only if `existing` it is
    /// made sure that those in `within` have one.
    pub(super) fn for_each_column(
        &self,
        within: Option<&Roaring>,
        existing: bool,
        mut each: impl FnMut(u16, &mut Column<'_, '_>, &mut Candidates),
    ) {
        ROOM.with_borrow_mut(|Room { crowd, bits, candidates }| {
            let crowd = match within {
                None => self.existence,
                Some(within) => {
                    crowd.clear();
                    let _ = within.serialize_into_vec::<Portable>(crowd);
                    Blob::checked(crowd)
                }
            };
            for (key, _, container) in crowd.containers() {
                candidates.fill(&container, bits);
                let mut column = Column { shard: self, key, room: bits };
                if existing && within.is_some() {
                    column.keep_existing(candidates);
                }
                if !candidates.is_empty() {
                    each(key, &mut column, candidates);
                }
            }
        });
    }
}

/// All slices of one container.
pub(super) struct Column<'a, 'r> {
    shard: &'r Shard<'a>,
    key: u16,
    room: &'r mut Bits,
}

impl Column<'_, '_> {
    /// Slice number `bit`, and ahead of time number `next`.
    pub(super) fn read(&mut self, bit: u32, next: Option<u32>) -> Read<'_> {
        let shard = self.shard;
        let container = |bit: u32| shard.slices.get(bit as usize).copied().flatten()?.container(self.key);
        let next = next.and_then(container).and_then(|container| container.in_place());
        let bits = bits_of(container(bit).as_ref(), self.room);
        Read { bits, next: next.unwrap_or(bits) }
    }

    /// Keeps those candidates who have a number.
    fn keep_existing(&mut self, candidates: &mut Candidates) {
        let existence = self.shard.existence.container(self.key);
        if !existence.as_ref().is_some_and(Container::is_full) {
            candidates.keep(Read::only(bits_of(existence.as_ref(), self.room)), false);
        }
    }

    /// Keeps those whose offset has in bit `bit` what `offset` has there.
    pub(super) fn keep_bit(&mut self, candidates: &mut Candidates, bit: u32, offset: u64) {
        candidates.keep(self.read(bit, bit.checked_sub(1)), offset >> bit & 1 == 0);
    }

    /// Gives `sink` those candidates whose offset is `bound` or more in its lowest `bits` bits. Flipped, both are complemented: those
    /// whose offset is the complement of `bound` or less. From the highest bit down, as far as somebody is undecided.
    pub(super) fn at_least(&mut self, candidates: &mut Candidates, bits: u32, bound: u64, flip: bool, sink: &mut impl Sink) {
        for bit in (0..bits).rev() {
            if candidates.is_empty() {
                return;
            }
            if bound & (u64::MAX >> (63 - bit)) == 0 {
                break;
            }
            // Where the bound has a bit, the offset needs it too; where it has none, a bit in the offset is enough.
            if bound >> bit & 1 == 1 {
                candidates.keep(self.read(bit, bit.checked_sub(1)), flip);
            } else {
                candidates.take(self.read(bit, bit.checked_sub(1)), flip, sink);
            }
        }
        sink.all(candidates);
    }

    /// Gives `sink` those candidates whose offset is `low` to `high`, of all `bits` bits. Candidates without a number have offset 0.
    pub(super) fn between(&mut self, candidates: &mut Candidates, bits: u32, low: u64, high: u64, sink: &mut impl Sink) {
        let same = (low ^ high).leading_zeros().saturating_sub(64 - bits);
        for bit in (bits - same.min(bits)..bits).rev() {
            if candidates.is_empty() {
                return;
            }
            self.keep_bit(candidates, bit, low);
        }
        let Some(bit) = (bits - same.min(bits)).checked_sub(1) else {
            return sink.all(candidates);
        };
        // From here on offsets with a 0 are below `high`, those with a 1 above `low`.
        let mut upper = Candidates::none();
        candidates.split(self.read(bit, bit.checked_sub(1)), &mut upper);
        self.at_least(candidates, bit, low, false, sink);
        self.at_least(&mut upper, bit, !high, true, sink);
    }
}
