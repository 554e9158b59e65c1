//! Reads stored slices, one shard at a time, for the requested users in it.
//!
//! What reads many slices goes through a whole slice of the shard before the next: 128 KiB in a
//! row, which memory gives twice as fast as pieces of 8 KiB here and there.

use super::BitSlices;
use super::candidates::{Bits, Candidates, NONE, bits_of};
use crate::blob::{Blob, Container};
use croaring::{Bitmap as Roaring, Portable};
use std::cell::RefCell;

/// The slices of one shard.
pub(super) struct Shard<'a> {
    existence: Blob<'a>,
    slices: Vec<Option<Blob<'a>>>,
}

/// The requested users of one container.
pub(super) struct Asked {
    pub(super) key: u16,
    pub(super) candidates: Candidates,
    /// Room for some of them apart.
    pub(super) apart: Candidates,
}

/// Reads slices by bit and container.
pub(super) struct Reader<'a, 'r> {
    shard: &'r Shard<'a>,
    /// For a container that is not stored as bits.
    room: &'r mut Bits,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room { crowd: Vec::new(), bits: Box::new(NONE), asked: Vec::new() });
}

/// Room for what is worked out on the way, some 400 KiB.
struct Room {
    /// The crowd's containers.
    crowd: Vec<u8>,
    bits: Box<Bits>,
    asked: Vec<Asked>,
}

impl BitSlices {
    /// One shard, which was loaded; `None` where nobody has a number.
    pub(super) fn shard(&self, number: u32) -> Option<Shard<'_>> {
        let (_, existence) = self.bundle.blob(0, number)?;
        let slices = (0..self.slices)
            .map(|bit| self.bundle.blob(bit + 1, number).map(|(_, blob)| blob))
            .collect();
        Some(Shard { existence, slices })
    }
}

impl Shard<'_> {
    /// Hands over all containers in which somebody is asked for: those in `within`, or all who have
    /// a number. Only if `existing` it is made sure that those in `within` have one.
    pub(super) fn ask<T>(
        &self,
        within: Option<&Roaring>,
        existing: bool,
        work: impl FnOnce(&mut [Asked], &mut Reader<'_, '_>) -> T,
    ) -> T {
        ROOM.with_borrow_mut(|Room { crowd, bits, asked }| {
            let crowd = match within {
                None => self.existence,
                Some(within) => {
                    crowd.clear();
                    let _ = within.serialize_into_vec::<Portable>(crowd);
                    Blob::checked(crowd)
                }
            };
            let mut used = 0;
            for (key, _, container) in crowd.containers() {
                if asked.len() == used {
                    asked.push(Asked {
                        key,
                        candidates: Candidates::none(),
                        apart: Candidates::none(),
                    });
                }
                let here = &mut asked[used];
                here.key = key;
                here.candidates.fill(&container, bits);
                here.apart.clear();
                if existing && within.is_some() {
                    let existence = self.existence.container(key);
                    if !existence.as_ref().is_some_and(Container::is_full) {
                        here.candidates.keep(bits_of(existence.as_ref(), bits), false);
                    }
                }
                used += usize::from(!here.candidates.is_empty());
            }
            work(&mut asked[..used], &mut Reader { shard: self, room: bits })
        })
    }
}

impl Reader<'_, '_> {
    /// Container `key` of slice number `bit`.
    pub(super) fn bits(&mut self, bit: u32, key: u16) -> &Bits {
        let blob = self.shard.slices.get(bit as usize).copied().flatten();
        bits_of(blob.and_then(|blob| blob.container(key)).as_ref(), self.room)
    }
}
