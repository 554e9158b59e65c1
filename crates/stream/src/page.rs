//! A page: the states of one tag of 256 users who stand side by side, as bytes.
//!
//! ```text
//! for each user who has one, ascending: the user's place in the page, one byte | length, LEB128 | state
//! ```
//!
//! A page is small enough to be written again as a whole when some of its states change, and large
//! enough that it costs a state little.

use crate::{Error, Result};
use taghouse_model::Ordinal;

/// Bits of an ordinal that are its place in a page.
const PLACE_BITS: u32 = 8;

/// Which page an ordinal's states are in.
pub(crate) fn page_of(ordinal: Ordinal) -> u32 {
    ordinal >> PLACE_BITS
}

fn place_of(ordinal: Ordinal) -> u8 {
    (ordinal & ((1 << PLACE_BITS) - 1)) as u8
}

/// A user's state in a page.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) ordinal: Ordinal,
    pub(crate) state: &'a [u8],
}

/// Goes through the states of a page, ascending.
pub(crate) struct PageReader<'a> {
    page: u32,
    rest: &'a [u8],
}

impl<'a> PageReader<'a> {
    pub(crate) fn new(page: u32, bytes: &'a [u8]) -> Self {
        Self { page, rest: bytes }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Stored<'a>>> {
        let Some((place, rest)) = self.rest.split_first() else { return Ok(None) };
        let damaged = || Error::damaged(format!("page {} is cut off", self.page));
        let (mut len, mut shift, mut rest) = (0_usize, 0, rest);
        loop {
            let (byte, after) = rest.split_first().ok_or_else(damaged)?;
            rest = after;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return Err(damaged());
            }
        }
        let (state, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(Some(Stored { ordinal: self.page << PLACE_BITS | Ordinal::from(*place), state }))
    }

    /// The state of one user; empty if there is none.
    pub(crate) fn find(mut self, ordinal: Ordinal) -> Result<&'a [u8]> {
        while let Some(stored) = self.next()? {
            if stored.ordinal >= ordinal {
                return Ok(if stored.ordinal == ordinal { stored.state } else { &[] });
            }
        }
        Ok(&[])
    }
}

/// Writes the states of a page, which come ascending. Empty ones are left out.
#[derive(Default)]
pub(crate) struct PageWriter {
    pub(crate) bytes: Vec<u8>,
}

impl PageWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn push(&mut self, ordinal: Ordinal, state: &[u8]) {
        if state.is_empty() {
            return;
        }
        self.bytes.push(place_of(ordinal));
        let mut len = state.len();
        while len >= 0x80 {
            self.bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        self.bytes.push(len as u8);
        self.bytes.extend_from_slice(state);
    }
}

/// Changes the states of some users of a page: `change` is given each user's state, empty if there
/// is none, and gives the new one.
pub(crate) fn rewrite(
    page: u32,
    bytes: &[u8],
    ordinals: &[Ordinal],
    mut change: impl FnMut(usize, &[u8]) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut reader = PageReader::new(page, bytes);
    let mut writer = PageWriter::with_capacity(bytes.len() + 16 * ordinals.len());
    let mut stored = reader.next()?;
    for (number, ordinal) in ordinals.iter().enumerate() {
        while let Some(before) = stored.filter(|stored| stored.ordinal < *ordinal) {
            writer.push(before.ordinal, before.state);
            stored = reader.next()?;
        }
        let old = match stored.filter(|stored| stored.ordinal == *ordinal) {
            Some(own) => {
                stored = reader.next()?;
                own.state
            }
            None => &[],
        };
        writer.push(*ordinal, &change(number, old)?);
    }
    while let Some(after) = stored {
        writer.push(after.ordinal, after.state);
        stored = reader.next()?;
    }
    Ok(writer.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_added_changed_and_taken_away() {
        let set = |bytes: &[u8], changes: &[(Ordinal, &[u8])]| {
            let ordinals: Vec<Ordinal> = changes.iter().map(|(ordinal, _)| *ordinal).collect();
            rewrite(1, bytes, &ordinals, |at, _| Ok(changes[at].1.to_vec())).unwrap()
        };
        let long = vec![7; 300];
        let page = set(&[], &[(256, b"a"), (300, &long), (511, b"c")]);
        let page = set(&page, &[(299, b"x"), (300, b""), (511, b"cc")]);
        let mut reader = PageReader::new(1, &page);
        let mut found = Vec::new();
        while let Some(Stored { ordinal, state }) = reader.next().unwrap() {
            found.push((ordinal, state.to_vec()));
        }
        let expected: [(Ordinal, &[u8]); 3] = [(256, b"a"), (299, b"x"), (511, b"cc")];
        assert_eq!(found, expected.map(|(ordinal, state)| (ordinal, state.to_vec())));
        assert_eq!(PageReader::new(1, &page).find(299).unwrap(), b"x");
        assert_eq!(PageReader::new(1, &page).find(300).unwrap(), b"");
    }

    #[test]
    fn a_page_that_is_cut_off_is_damaged() {
        let mut writer = PageWriter::default();
        writer.push(3, b"abc");
        for end in 1..writer.bytes.len() {
            assert!(PageReader::new(0, &writer.bytes[..end]).next().is_err(), "{end}");
        }
    }
}
