//! The sets of each user of a container, turned round so that one look finds a user's.

use super::gather::Piece;
use crate::blob::Words;

/// Users of a container.
const SPAN: usize = 1 << 16;
/// Sets that a user's word has places for.
const PLACES: usize = 4;
/// Bits of a place.
const PLACE: u32 = u64::BITS / PLACES as u32;
/// In the last place, with the number of the user's list in the lower ones.
const LISTED: u64 = 0xFFFF;
/// Sets' numbers end below: a place holds the number + 1, and 0 while it is free.
pub(super) const MOST_SETS: usize = LISTED as usize - 1;
/// Bytes of places that are found before they are counted.
const FOUND: usize = 4096;

/// Half a megabyte, for the second-level cache. Users in more sets than a word has places for have
/// a list each.
pub(super) struct Slots {
    words: Box<[u64; SPAN]>,
    /// The first `listed` are in use; kept from container to container.
    lists: Vec<Vec<u16>>,
    listed: usize,
    found: Vec<u8>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            words: Box::new([0; SPAN]),
            lists: Vec::new(),
            listed: 0,
            found: vec![0; FOUND + 2 * PLACES],
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.listed = 0;
    }

    /// Says that the users of `piece` are in set `number`, below [`MOST_SETS`].
    pub(super) fn insert(&mut self, piece: &Piece<'_>, number: usize) {
        let place = number as u16 + 1;
        let (words, lists, listed) = (&mut self.words, &mut self.lists, &mut self.listed);
        piece.for_each(|low| {
            let word = &mut words[usize::from(low)];
            if *word >> (u64::BITS - PLACE) == 0 {
                *word = *word << PLACE | u64::from(place);
            } else {
                list_of(word, lists, listed).push(place);
            }
        });
    }

    /// Adds to `counts`, one a set, how many users of `piece`, of those in `within`, each set has.
    pub(super) fn count(&mut self, piece: &Piece<'_>, within: Option<&Words>, counts: &mut [u16]) {
        let mut search = Search {
            words: &self.words,
            lists: &self.lists,
            found: &mut self.found,
            filled: 0,
            counts,
        };
        match within {
            None => piece.for_each(
                #[inline(always)]
                |low| search.look(low),
            ),
            Some(within) => piece.for_each(|low| {
                if within[usize::from(low / 64)] >> (low % 64) & 1 == 1 {
                    search.look(low);
                }
            }),
        }
        search.count_found();
    }
}

/// Places that were found, and counts to which they are to be added.
struct Search<'s> {
    words: &'s [u64; SPAN],
    lists: &'s [Vec<u16>],
    found: &'s mut [u8],
    /// Bytes of `found`.
    filled: usize,
    counts: &'s mut [u16],
}

impl Search<'_> {
    /// How many sets a user has cannot be foreseen, so that nothing branches on it: all places are
    /// copied, and the next user's overwrite those that are free.
    #[inline(always)]
    fn look(&mut self, low: u16) {
        let word = self.words[usize::from(low)];
        if word >> (u64::BITS - PLACE) == LISTED {
            self.lists[word as u32 as usize]
                .iter()
                .for_each(|place| count_place(*place, self.counts));
            return;
        }
        self.found[self.filled..self.filled + 2 * PLACES].copy_from_slice(&word.to_le_bytes());
        self.filled += 2 * (PLACES - (word.leading_zeros() / PLACE) as usize);
        if self.filled >= FOUND {
            self.count_found();
        }
    }

    fn count_found(&mut self) {
        self.found[..self.filled]
            .as_chunks::<2>()
            .0
            .iter()
            .for_each(|place| count_place(u16::from_le_bytes(*place), self.counts));
        self.filled = 0;
    }
}

/// The list of a user whose places are taken: they become its first ones.
#[cold]
fn list_of<'l>(
    word: &mut u64,
    lists: &'l mut Vec<Vec<u16>>,
    listed: &mut usize,
) -> &'l mut Vec<u16> {
    if *word >> (u64::BITS - PLACE) == LISTED {
        return &mut lists[*word as u32 as usize];
    }
    if *listed == lists.len() {
        lists.push(Vec::new());
    }
    let list = &mut lists[*listed];
    list.clear();
    list.extend((0..PLACES as u32).map(|place| (*word >> (place * PLACE)) as u16));
    *word = LISTED << (u64::BITS - PLACE) | *listed as u64;
    *listed += 1;
    list
}

fn count_place(place: u16, counts: &mut [u16]) {
    if let Some(count) = counts.get_mut(usize::from(place).wrapping_sub(1)) {
        *count += 1;
    }
}
