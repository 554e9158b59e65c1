//! How an id is stored: a tag byte, and what the tag says follows.
//!
//! | tag | id | follows |
//! |---|---|---|
//! | 0 | none: its text was erased | |
//! | 1 | UUID as lower-case text with hyphens | 16 bytes |
//! | 1 + n | decimal number below 2^64 without leading zeros | n bytes (1 to 8), lowest first |
//! | 10 | lower-case hexadecimal of even length | one byte: number of bytes - 1; the bytes |
//! | 11 | any text | two bytes: its length, lowest first; the text |
//! | 31 + n | lower-case hexadecimal of 2n digits | n bytes (1 to 32) |
//! | 63 + n | any text of n bytes | n bytes (1 to 192) |
//!
//! An id has one packed form, the first of these that fits: UUID, decimal, hexadecimal, text. So
//! equal forms mean equal ids, and lookups compare and hash packed bytes.

use taghouse_model::{MAX_USER_ID_BYTES, Ordinal};
use xxhash_rust::xxh3::xxh3_64;

/// The packed form of an id whose text was erased.
pub(crate) const BLANK: &[u8] = &[0];

const UUID: u8 = 1;
const DECIMAL: u8 = 1;
const LONG_HEX: u8 = 10;
const LONG_TEXT: u8 = 11;
const HEX: u8 = 31;
const TEXT: u8 = 63;
const MAX_SHORT_HEX: usize = 32;
const MAX_SHORT_TEXT: usize = 192;

/// Where a UUID's bytes stand in its text.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Of a lower-case digit its value, of other bytes a number with high bits.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        nibbles[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};

/// Many ids packed, with their hashes: what a lookup compares. Used again and again, for its
/// memory.
#[derive(Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<u32>,
}

impl Keys {
    /// Packs these instead of what was held. Text that can be no user id gets an empty form, which
    /// nothing stored equals.
    pub(crate) fn pack<'a>(&mut self, ids: impl Iterator<Item = &'a str>) {
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
        for id in ids {
            let start = self.bytes.len();
            if (1..=MAX_USER_ID_BYTES).contains(&id.len()) {
                pack(id.as_bytes(), &mut self.bytes);
            }
            self.hashes.push(hash(&self.bytes[start..]));
            // Callers pack some thousand ids at a time.
            self.ends.push(self.bytes.len() as u32);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    #[inline]
    pub(crate) fn hash(&self, index: usize) -> u32 {
        self.hashes[index]
    }
}

/// By which a packed id is found.
#[inline]
pub(crate) fn hash(packed: &[u8]) -> u32 {
    (xxh3_64(packed) >> 32) as u32
}

/// Whether two packed ids are one. UUIDs are compared without a call.
#[inline]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    match (<&[u8; 17]>::try_from(a), <&[u8; 17]>::try_from(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// A pair as runs hold it: sorted by hash.
#[inline]
pub(crate) fn entry(hash: u32, ordinal: Ordinal) -> u64 {
    u64::from(hash) << 32 | u64::from(ordinal)
}

/// Appends the packed form of an id of 1 to 512 bytes.
pub(crate) fn pack(id: &[u8], out: &mut Vec<u8>) {
    if let Some(bytes) = id.try_into().ok().and_then(uuid_bytes) {
        out.push(UUID);
        out.extend_from_slice(&bytes);
    } else if let Some(number) = decimal(id) {
        let size = (8 - number.leading_zeros() as usize / 8).max(1);
        out.push(DECIMAL + size as u8);
        out.extend_from_slice(&number.to_le_bytes()[..size]);
    } else if is_hex(id) {
        let size = id.len() / 2;
        if size <= MAX_SHORT_HEX {
            out.push(HEX + size as u8);
        } else {
            out.extend_from_slice(&[LONG_HEX, (size - 1) as u8]);
        }
        out.extend(
            id.chunks_exact(2)
                .map(|pair| NIBBLES[pair[0] as usize] << 4 | NIBBLES[pair[1] as usize]),
        );
    } else {
        if id.len() <= MAX_SHORT_TEXT {
            out.push(TEXT + id.len() as u8);
        } else {
            out.push(LONG_TEXT);
            out.extend_from_slice(&(id.len() as u16).to_le_bytes());
        }
        out.extend_from_slice(id);
    }
}

/// The size of the packed id at the head of `bytes`, its tag with it; `None` if that is none.
#[inline]
pub(crate) fn size(bytes: &[u8]) -> Option<usize> {
    let tag = *bytes.first()?;
    let size = match tag {
        0 => 1,
        UUID => 17,
        2..=9 => usize::from(tag - DECIMAL) + 1,
        LONG_HEX => usize::from(*bytes.get(1)?) + 3,
        LONG_TEXT => usize::from(u16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?])) + 3,
        32..=63 => usize::from(tag - HEX) + 1,
        64.. => usize::from(tag - TEXT) + 1,
        _ => return None,
    };
    (size <= bytes.len()).then_some(size)
}

/// The id; `None` for an erased one and for bytes that are not packed id.
pub(crate) fn unpack(packed: &[u8]) -> Option<String> {
    let (tag, rest) = packed.split_first()?;
    match *tag {
        UUID => {
            let mut text = *b"00000000-0000-0000-0000-000000000000";
            for (place, byte) in UUID_PLACES.iter().zip(rest) {
                text[*place] = DIGITS[usize::from(byte >> 4)];
                text[*place + 1] = DIGITS[usize::from(byte & 15)];
            }
            std::str::from_utf8(&text).ok().map(str::to_owned)
        }
        2..=9 => {
            let mut number = [0; 8];
            number.get_mut(..rest.len())?.copy_from_slice(rest);
            Some(u64::from_le_bytes(number).to_string())
        }
        LONG_HEX => hex_text(rest.get(1..)?),
        LONG_TEXT => String::from_utf8(rest.get(2..)?.to_vec()).ok(),
        32..=63 => hex_text(rest),
        64.. => String::from_utf8(rest.to_vec()).ok(),
        _ => None,
    }
}

#[inline]
fn uuid_bytes(text: &[u8; 36]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut seen = 0;
    for (byte, place) in bytes.iter_mut().zip(UUID_PLACES) {
        let (high, low) = (NIBBLES[text[place] as usize], NIBBLES[text[place + 1] as usize]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    let hyphens = [8, 13, 18, 23].iter().all(|place| text[*place] == b'-');
    (hyphens && seen < 16).then_some(bytes)
}

fn decimal(id: &[u8]) -> Option<u64> {
    if id.len() > 20 || id[0] == b'0' && id.len() > 1 {
        return None;
    }
    id.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn is_hex(id: &[u8]) -> bool {
    id.len().is_multiple_of(2) && id.iter().all(|byte| NIBBLES[*byte as usize] < 16)
}

fn hex_text(bytes: &[u8]) -> Option<String> {
    let digits = bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect();
    String::from_utf8(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(id: &str) -> Vec<u8> {
        let mut out = Vec::new();
        pack(id.as_bytes(), &mut out);
        out
    }

    #[test]
    fn sizes() {
        for (id, bytes) in [
            ("0", 2),
            ("255", 2),
            ("256", 3),
            ("18446744073709551615", 9),
            ("18446744073709551616", 11),
            ("007", 4),
            ("123e4567-e89b-12d3-a456-426614174000", 17),
            ("123E4567-e89b-12d3-a456-426614174000", 37),
            ("123e4567-e89b-12d3-a456_426614174000", 37),
            ("d41d8cd98f00b204e9800998ecf8427e", 17),
            ("abc", 4),
            ("é", 3),
        ] {
            assert_eq!(packed(id).len(), bytes, "{id}");
        }
        assert_eq!(packed(&"ab".repeat(256)).len(), 258);
        assert_eq!(packed(&"x".repeat(512)).len(), 515);
    }

    proptest! {
        #[test]
        fn every_id_comes_back(id in prop_oneof![
            "[0-9]{1,21}", "[0-9a-f]{1,80}", "[0-9a-f]{500,512}", "\\PC{1,100}", "x{180,512}",
            "[0-9a-fA]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ]) {
            let mut bytes = packed(&id);
            prop_assert_eq!(unpack(&bytes), Some(id));
            prop_assert_eq!(size(&bytes), Some(bytes.len()));
            prop_assert_eq!(size(&bytes[..bytes.len() - 1]), None, "a short one is none");
            bytes.push(7);
            prop_assert_eq!(size(&bytes), Some(bytes.len() - 1));
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(size) = size(&bytes) {
                prop_assert!(size <= bytes.len());
                unpack(&bytes[..size]);
            }
            unpack(&bytes);
        }
    }
}
