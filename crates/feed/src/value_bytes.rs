//! Texts, names, numbers and values as bytes. All numbers are little-endian.

use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{Name, Value};

/// The bytes that are left to read.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<Arc<str>> {
        let len = usize::from(self.take().map(u16::from_le_bytes)?);
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Arc::from)
    }

    pub(crate) fn name(&mut self) -> Option<Name> {
        Name::new(&self.text()?).ok()
    }
}

/// A text of a user id, a name or a value: none has more bytes than two bytes count.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut end = usize::from(len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes.extend_from_slice(&(end as u16).to_le_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..end]);
}

mod kind {
    pub(super) const NONE: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const DECIMAL: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const SET: u8 = 6;
    pub(super) const DATE: u8 = 7;
    pub(super) const TIME: u8 = 8;
}

pub(crate) fn put_value(bytes: &mut Vec<u8>, value: Option<&Value>) {
    match value {
        None => bytes.push(kind::NONE),
        Some(Value::Bool(flag)) => bytes.push(if *flag { kind::TRUE } else { kind::FALSE }),
        Some(Value::Int(number)) => {
            bytes.push(kind::INT);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Some(Value::Decimal(number)) => {
            bytes.push(kind::DECIMAL);
            bytes.extend_from_slice(&number.serialize());
        }
        Some(Value::Text(text)) => {
            bytes.push(kind::TEXT);
            put_text(bytes, text);
        }
        Some(Value::Set(texts)) => {
            bytes.push(kind::SET);
            bytes.extend_from_slice(&(texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| put_text(bytes, text));
        }
        Some(Value::Date(days)) => {
            bytes.push(kind::DATE);
            bytes.extend_from_slice(&days.to_le_bytes());
        }
        Some(Value::Time(ms)) => {
            bytes.push(kind::TIME);
            bytes.extend_from_slice(&ms.to_le_bytes());
        }
    }
}

/// The outer `None`: the bytes are not what [`put_value`] writes.
#[allow(clippy::option_option, reason = "no value is a value of the bytes")]
pub(crate) fn value(bytes: &mut Bytes<'_>) -> Option<Option<Value>> {
    Some(Some(match bytes.byte()? {
        kind::NONE => return Some(None),
        kind::FALSE => Value::Bool(false),
        kind::TRUE => Value::Bool(true),
        kind::INT => Value::Int(bytes.signed()?),
        kind::DECIMAL => Value::Decimal(decimal(bytes.take()?)?),
        kind::TEXT => Value::Text(bytes.text()?),
        kind::SET => {
            let mut texts = BTreeSet::new();
            for _ in 0..bytes.number()? {
                texts.insert(bytes.text()?);
            }
            Value::Set(texts)
        }
        kind::DATE => Value::Date(bytes.take().map(i32::from_le_bytes)?),
        kind::TIME => Value::Time(bytes.signed()?),
        _ => return None,
    }))
}

/// A decimal of its 16 bytes; those with a scale that none has are not one.
fn decimal(bytes: [u8; 16]) -> Option<Decimal> {
    let number = Decimal::deserialize(bytes);
    (number.scale() <= Decimal::MAX_SCALE && number.serialize() == bytes).then_some(number)
}
