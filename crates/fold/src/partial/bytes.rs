//! Partial aggregates as bytes: what the stream keeps. Numbers are LEB128, with zigzag where they
//! may be negative. Reading never panics: `None` for bytes that nothing here has written.

use crate::cell::Cell;
use crate::quotient::Quotient;

/// What the cells of a tag are; all of one tag are of one kind, so bytes do not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellKind {
    Number,
    Quotient,
    Text,
}

/// A partial aggregate over cells, as bytes and back.
pub(crate) trait Bytes: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self>;
}

/// Writes a whole number.
pub(crate) fn put(out: &mut Vec<u8>, number: u128) {
    // Nearly all numbers are small, and 64 bits cost a third.
    match u64::try_from(number) {
        Ok(mut number) => {
            while number >= 0x80 {
                out.push(number as u8 | 0x80);
                number >>= 7;
            }
            out.push(number as u8);
        }
        Err(_) => put_large(out, number),
    }
}

fn put_large(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes a number with a sign: zigzag.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i128) {
    put(out, (number << 1 ^ number >> 127) as u128);
}

/// Reads what [`put`] wrote.
pub(crate) fn take(from: &mut &[u8]) -> Option<u128> {
    // Nine bytes of seven bits fit in 64.
    let mut number = 0_u64;
    for (at, byte) in from.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *from = &from[at + 1..];
            return Some(u128::from(number));
        }
    }
    take_large(from)
}

fn take_large(from: &mut &[u8]) -> Option<u128> {
    let (mut number, mut shift) = (0_u128, 0);
    loop {
        let (first, rest) = from.split_first()?;
        *from = rest;
        let bits = u128::from(first & 0x7f);
        // The 19th byte holds the last two of 128 bits.
        if shift > 126 || (shift == 126 && bits > 3) {
            return None;
        }
        number |= bits << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// Reads what [`put`] wrote of a `u64`.
pub(crate) fn take_u64(from: &mut &[u8]) -> Option<u64> {
    u64::try_from(take(from)?).ok()
}

/// Reads what [`put_signed`] wrote.
pub(crate) fn take_signed(from: &mut &[u8]) -> Option<i128> {
    let number = take(from)?;
    Some((number >> 1) as i128 ^ -((number & 1) as i128))
}

/// Writes bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u128);
    out.extend_from_slice(bytes);
}

/// Reads what [`put_bytes`] wrote of a text.
pub(crate) fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take(from)?).ok()?;
    let (text, rest) = from.split_at_checked(len)?;
    *from = rest;
    str::from_utf8(text).ok()
}

/// How many elements follow: never more than there are bytes, so that nothing is allocated for
/// what is not there.
pub(crate) fn take_len(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(take(from)?).ok().filter(|len| *len <= from.len())
}

impl Cell {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => put_signed(out, *number),
            Self::Quotient(Quotient { top, bottom }) => {
                put_signed(out, *top);
                put_signed(out, *bottom);
            }
            Self::Text(text) => put_bytes(out, text.as_bytes()),
        }
    }

    pub(crate) fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        Some(match kind {
            CellKind::Number => Self::Number(take_signed(from)?),
            CellKind::Quotient => {
                let (top, bottom) = (take_signed(from)?, take_signed(from)?);
                if bottom <= 0 {
                    return None;
                }
                Self::Quotient(Quotient { top, bottom })
            }
            CellKind::Text => Self::Text(take_text(from)?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_others_are_refused() {
        for number in [0, 1, -1, 63, -64, 64, i128::from(i64::MAX), i128::MAX, i128::MIN] {
            let mut out = Vec::new();
            put_signed(&mut out, number);
            assert_eq!(take_signed(&mut out.as_slice()), Some(number));
            assert_eq!(take_signed(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(take(&mut [0xff; 18].as_slice()), None, "it does not end");
        assert_eq!(take(&mut [[0xff; 18].as_slice(), &[4]].concat().as_slice()), None, "129 bits");
    }

    #[test]
    fn texts_and_lengths_beyond_the_end_are_refused() {
        assert_eq!(take_text(&mut [2, b'a'].as_slice()), None);
        assert_eq!(take_text(&mut [1, 0xff].as_slice()), None);
        assert_eq!(take_len(&mut [9, 0, 0].as_slice()), None);
    }
}
