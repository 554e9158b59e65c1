//! Changes as bytes, of the log's frames and of checkpoints.
//!
//! ```text
//! tag:     1 | name length 1, name | type 1, scale 1 | stamped 1 | texts 4, of each: length 2, bytes | entries 4
//!          | op 1 each (or, stamped: stamp 8 each) | ordinal 4 each | value 8 each (with texts: place among them + 1, 4 each)
//! added:   2 | users 4 | ordinal 4 each
//! deleted: 3 | users 4 | ordinal 4 each
//! ```

use super::entry::Entry;
use super::tag_log::TagLog;
use crate::segment::{code_of, type_of};
use hashbrown::HashMap;
use std::sync::Arc;
use taghouse_model::{Name, Ordinal, ValueType};

const TAG: u8 = 1;
const ADDED: u8 = 2;
const DELETED: u8 = 3;

/// One item, read back.
pub(crate) enum Item {
    /// Values of texts are places among `texts`.
    Tag {
        name: Name,
        value_type: ValueType,
        texts: Vec<Arc<str>>,
        entries: Vec<Entry>,
    },
    Added(Vec<Ordinal>),
    Deleted(Vec<Ordinal>),
}

/// Adds a tag's entries; `stamped` with their positions.
pub(crate) fn put_tag(into: &mut Vec<u8>, tag: &TagLog, entries: &[Entry], stamped: bool) {
    let name = tag.name.as_str();
    let (code, scale) = code_of(tag.value_type);
    into.extend_from_slice(&[TAG, name.len() as u8]);
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(&[code, scale, u8::from(stamped)]);
    let mut places: HashMap<i64, u32> = HashMap::new();
    let texts_at = into.len();
    into.extend_from_slice(&[0; 4]);
    let mut values: Vec<u32> = Vec::new();
    if tag.has_texts() {
        values.reserve(entries.len());
        for entry in entries {
            let next = places.len() as u32;
            values.push(match entry.value {
                Entry::NONE => 0,
                code => *places.entry(code).or_insert_with(|| {
                    let text = tag.text(code).unwrap_or_default();
                    into.extend_from_slice(&(text.len() as u16).to_le_bytes());
                    into.extend_from_slice(text.as_bytes());
                    next + 1
                }),
            });
        }
        into[texts_at..texts_at + 4].copy_from_slice(&(places.len() as u32).to_le_bytes());
    }
    into.reserve(20 * entries.len());
    into.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    if stamped {
        entries.iter().for_each(|entry| into.extend_from_slice(&entry.stamp().to_le_bytes()));
    } else {
        into.extend(entries.iter().map(|entry| entry.op() as u8));
    }
    entries.iter().for_each(|entry| into.extend_from_slice(&entry.ordinal.to_le_bytes()));
    if tag.has_texts() {
        values.iter().for_each(|value| into.extend_from_slice(&value.to_le_bytes()));
    } else {
        entries.iter().for_each(|entry| into.extend_from_slice(&entry.value.to_le_bytes()));
    }
}

/// Appends new users.
pub(crate) fn put_added(into: &mut Vec<u8>, users: &[Ordinal]) {
    put_users(into, ADDED, users);
}

/// Appends deleted users.
pub(crate) fn put_deleted(into: &mut Vec<u8>, users: &[Ordinal]) {
    put_users(into, DELETED, users);
}

fn put_users(into: &mut Vec<u8>, kind: u8, users: &[Ordinal]) {
    into.push(kind);
    into.extend_from_slice(&(users.len() as u32).to_le_bytes());
    users.iter().for_each(|ordinal| into.extend_from_slice(&ordinal.to_le_bytes()));
}

/// Reads all items; `None` when the bytes are not items.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<Item>> {
    let mut cursor = Cursor(bytes);
    let mut items = Vec::new();
    while !cursor.0.is_empty() {
        items.push(match cursor.u8()? {
            TAG => read_tag(&mut cursor)?,
            ADDED => Item::Added(read_users(&mut cursor)?),
            DELETED => Item::Deleted(read_users(&mut cursor)?),
            _ => return None,
        });
    }
    Some(items)
}

fn read_users(cursor: &mut Cursor<'_>) -> Option<Vec<Ordinal>> {
    let count = cursor.u32()? as usize;
    Some(
        cursor
            .take(count.checked_mul(4)?)?
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect(),
    )
}

fn read_tag(cursor: &mut Cursor<'_>) -> Option<Item> {
    let len = usize::from(cursor.u8()?);
    let name = Name::new(std::str::from_utf8(cursor.take(len)?).ok()?).ok()?;
    let value_type = type_of(cursor.u8()?, cursor.u8()?)?;
    let stamped = cursor.u8()? == 1;
    let count = cursor.u32()?;
    let mut texts: Vec<Arc<str>> = Vec::new();
    for _ in 0..count {
        let len = usize::from(u16::from_le_bytes(cursor.take(2)?.try_into().ok()?));
        texts.push(std::str::from_utf8(cursor.take(len)?).ok()?.into());
    }
    let count = cursor.u32()? as usize;
    let stamps = cursor.take(count.checked_mul(if stamped { 8 } else { 1 })?)?;
    let ordinals = cursor.take(count.checked_mul(4)?)?.as_chunks::<4>().0;
    let of_texts = matches!(value_type, ValueType::Text | ValueType::Set);
    let values = cursor.take(count.checked_mul(if of_texts { 4 } else { 8 })?)?;
    let mut entries = Vec::with_capacity(count);
    for (at, ordinal) in ordinals.iter().enumerate() {
        let stamp = if stamped {
            u64::from_le_bytes(*stamps.as_chunks::<8>().0.get(at)?)
        } else {
            u64::from(*stamps.get(at)?)
        };
        let value = if of_texts {
            let place = u32::from_le_bytes(*values.as_chunks::<4>().0.get(at)?);
            if place as usize > texts.len() {
                return None;
            }
            i64::from(place) - 1
        } else {
            i64::from_le_bytes(*values.as_chunks::<8>().0.get(at)?)
        };
        entries.push(Entry::from_stamp(u32::from_le_bytes(*ordinal), stamp, value)?);
    }
    Some(Item::Tag { name, value_type, texts, entries })
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
}
