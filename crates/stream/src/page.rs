//! A page: the states of one tag of 256 users who stand side by side, as bytes.
//!
//! ```text
//! states, ascending by user | length of each, 1 byte | the user's place in the page of each, 1 byte | how many, less one, 1 byte
//! ```
//!
//! A state of 255 bytes or more has the length 255 there, and its own before it, four bytes,
//! little-endian. So a user is found without a walk over the others, and a page is written again
//! as a whole, when some of its states change, by copying what lies between them. It is large
//! enough that it costs a state little.

use crate::{Error, Result};
use std::ops::Range;
use taghouse_model::Ordinal;

/// The version of the bytes; what stores them notes it.
pub(crate) const PAGE_VERSION: u8 = 1;

/// Bits of an ordinal that are its place in a page.
const PLACE_BITS: u32 = 8;

/// A length that stands before the state.
const LONG: u8 = u8::MAX;
const LONG_BYTES: usize = 4;

/// Which page an ordinal's states are in.
pub(crate) fn page_of(ordinal: Ordinal) -> u32 {
    ordinal >> PLACE_BITS
}

fn place_of(ordinal: Ordinal) -> u8 {
    (ordinal & ((1 << PLACE_BITS) - 1)) as u8
}

/// The states of a page.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    states: &'a [u8],
    lengths: &'a [u8],
    places: &'a [u8],
}

impl<'a> Page<'a> {
    /// Of a page's bytes; none of no bytes.
    ///
    /// # Errors
    /// `Damaged` for bytes that are no page.
    pub(crate) fn read(page: u32, bytes: &'a [u8]) -> Result<Self> {
        let Some((last, rest)) = bytes.split_last() else {
            return Ok(Self { states: &[], lengths: &[], places: &[] });
        };
        let count = usize::from(*last) + 1;
        let parts = rest.len().checked_sub(2 * count).map(|states| rest.split_at(states));
        let Some((states, heads)) = parts else { return Err(cut_off(page)) };
        let (lengths, places) = heads.split_at(count);
        let read = Self { states, lengths, places };
        match read.skip(0..count, 0) {
            Some(end) if end == states.len() => Ok(read),
            _ => Err(cut_off(page)),
        }
    }

    /// The state of one user; empty if there is none.
    pub(crate) fn find(&self, ordinal: Ordinal) -> &'a [u8] {
        let found = self.places.binary_search(&place_of(ordinal));
        found.map_or(&[], |at| self.skip(0..at, 0).map_or(&[], |from| self.state(at, from)))
    }

    /// Where the state behind these begins, whose first begins at `from`; `None`: not in the page.
    fn skip(&self, some: Range<usize>, from: usize) -> Option<usize> {
        let lengths = &self.lengths[some];
        if !lengths.contains(&LONG) {
            return Some(from + lengths.iter().map(|length| usize::from(*length)).sum::<usize>());
        }
        lengths.iter().try_fold(from, |at, length| match *length {
            LONG => at.checked_add(LONG_BYTES)?.checked_add(self.long(at)?),
            length => Some(at + usize::from(length)),
        })
    }

    /// The length that stands there.
    fn long(&self, at: usize) -> Option<usize> {
        let bytes = self.states.get(at..)?.first_chunk::<LONG_BYTES>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    }

    /// The state of this number, which begins at `from`.
    fn state(&self, number: usize, from: usize) -> &'a [u8] {
        let of = match self.lengths[number] {
            LONG => {
                let from = from + LONG_BYTES;
                from..from + self.long(from - LONG_BYTES).unwrap_or(0)
            }
            length => from..from + usize::from(length),
        };
        // Reading it made sure that it is there.
        self.states.get(of).unwrap_or_default()
    }
}

fn cut_off(page: u32) -> Error {
    Error::damaged(format!("page {page} is cut off"))
}

/// Writes the states of a page, which come ascending.
struct PageWriter {
    states: Vec<u8>,
    lengths: Vec<u8>,
    places: Vec<u8>,
}

impl PageWriter {
    fn with_capacity(states: usize, bytes: usize) -> Self {
        let (lengths, places) = (Vec::with_capacity(states), Vec::with_capacity(states));
        Self { states: Vec::with_capacity(bytes), lengths, places }
    }

    /// A state that `write` writes behind the bytes it is given; an empty one is left out.
    fn push(&mut self, place: u8, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let from = self.states.len();
        write(&mut self.states)?;
        let len = self.states.len() - from;
        if len == 0 {
            return Ok(());
        }
        if len >= usize::from(LONG) {
            let long = u32::try_from(len)
                .map_err(|_| Error::damaged(format!("a state has {len} bytes")))?;
            self.states.splice(from..from, long.to_le_bytes());
        }
        self.lengths.push(u8::try_from(len).unwrap_or(LONG));
        self.places.push(place);
        Ok(())
    }

    fn finish(self) -> Vec<u8> {
        let Self { states: mut bytes, lengths, places } = self;
        let Some(last) = places.len().checked_sub(1) else { return Vec::new() };
        bytes.extend_from_slice(&lengths);
        bytes.extend_from_slice(&places);
        bytes.push(last as u8);
        bytes
    }
}

/// Changes the states of some users of a page, whose ordinals ascend: `change` is given each
/// user's number among them and state, empty if there is none, and writes the new one behind the
/// bytes it is given, or nothing.
pub(crate) fn rewrite(
    page: u32,
    bytes: &[u8],
    ordinals: &[Ordinal],
    mut change: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Result<()>,
) -> Result<Vec<u8>> {
    let old = Page::read(page, bytes)?;
    let mut new = PageWriter::with_capacity(
        (old.places.len() + ordinals.len()).min(1 << PLACE_BITS),
        bytes.len() + 16 * ordinals.len(),
    );
    // The next state that is not yet copied, and where it begins.
    let (mut next, mut from) = (0, 0);
    let copy = |new: &mut PageWriter, some: Range<usize>, from: usize| {
        let end = old.skip(some.clone(), from).ok_or_else(|| cut_off(page))?;
        new.states.extend_from_slice(&old.states[from..end]);
        new.lengths.extend_from_slice(&old.lengths[some.clone()]);
        new.places.extend_from_slice(&old.places[some]);
        Ok::<_, Error>(end)
    };
    for (number, ordinal) in ordinals.iter().enumerate() {
        let place = place_of(*ordinal);
        let at = next + old.places[next..].partition_point(|other| *other < place);
        from = copy(&mut new, next..at, from)?;
        next = at;
        let mut own: &[u8] = &[];
        if old.places.get(at) == Some(&place) {
            own = old.state(at, from);
            from = old.skip(at..at + 1, from).ok_or_else(|| cut_off(page))?;
            next += 1;
        }
        new.push(place, |out| change(number, own, out))?;
    }
    copy(&mut new, next..old.places.len(), from)?;
    Ok(new.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use taghouse_testkit::Dice;

    fn set(bytes: &[u8], changes: &[(Ordinal, &[u8])]) -> Vec<u8> {
        let ordinals: Vec<Ordinal> = changes.iter().map(|(ordinal, _)| *ordinal).collect();
        let change = |at: usize, _: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(changes[at].1);
            Ok(())
        };
        rewrite(1, bytes, &ordinals, change).unwrap()
    }

    #[test]
    fn states_are_added_changed_and_taken_away() {
        let long = vec![7; 300];
        let page = set(&[], &[(256, b"a"), (300, &long), (511, b"c")]);
        let page = set(&page, &[(299, b"x"), (300, b""), (511, b"cc")]);
        let read = Page::read(1, &page).unwrap();
        let found = [256, 299, 300, 511].map(|ordinal| read.find(ordinal));
        assert_eq!(found, [b"a".as_slice(), b"x", b"", b"cc"]);
        assert_eq!(set(&page, &[(256, b""), (299, b""), (511, b"")]), b"", "nobody is left");
    }

    #[test]
    fn a_page_holds_what_a_map_holds() {
        let mut dice = Dice::new(7);
        let (mut page, mut map) = (Vec::new(), BTreeMap::new());
        for step in 0..400_u32 {
            let users: std::collections::BTreeSet<Ordinal> =
                (0..=dice.below(9)).map(|_| 256 + dice.below(256) as Ordinal).collect();
            let lengths = [0, 1, 9, 254, 255, 256, 700];
            let states: Vec<(Ordinal, Vec<u8>)> = users
                .into_iter()
                .map(|user| (user, vec![step as u8; lengths[dice.below(7) as usize]]))
                .collect();
            let changes: Vec<(Ordinal, &[u8])> =
                states.iter().map(|(user, state)| (*user, state.as_slice())).collect();
            page = set(&page, &changes);
            map.extend(states);
            let read = Page::read(1, &page).unwrap();
            for user in 256..512 {
                assert_eq!(read.find(user), map.get(&user).map_or(&[][..], Vec::as_slice));
            }
        }
    }

    #[test]
    fn a_page_that_is_cut_off_is_damaged_or_read_within_its_bytes() {
        let long = vec![7; 300];
        let page = set(&[], &[(258, b"abc"), (259, &long)]);
        let mut damaged = 0;
        for end in 1..page.len() {
            match Page::read(1, &page[..end]) {
                // The store's checksums tell of the others.
                Ok(read) => (256..512).for_each(|user| assert!(read.find(user).len() < end)),
                Err(_) => damaged += 1,
            }
        }
        assert!(damaged > page.len() * 9 / 10, "{damaged} of {}", page.len());
    }
}
