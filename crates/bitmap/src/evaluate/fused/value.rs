use super::buffers::Buffer;
use crate::blob::{Container, Words};
use crate::evaluate::Shard;
use crate::kernel::{Bytes, bytes_of};
use std::rc::Rc;

/// One container of an operand.
#[derive(Clone)]
pub(super) enum Value<'s> {
    Empty,
    Full,
    Stored(Container<'s>),
    Computed(Rc<Buffer>),
}

impl Value<'_> {
    /// Its words, if it has them.
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Stored(Container::Bits(bytes)) => bytes.as_chunks::<8>().0.as_array(),
            Self::Computed(words) => Some(bytes_of(words)),
            _ => None,
        }
    }
}

/// An array among some values.
pub(super) struct FoundArray<'s> {
    /// Its index among them.
    pub(super) at: usize,
    pub(super) values: &'s [[u8; 2]],
}

pub(super) fn smallest_array<'s>(values: &[Value<'s>]) -> Option<FoundArray<'s>> {
    let arrays = values.iter().enumerate().filter_map(|(at, value)| match value {
        Value::Stored(Container::Array(bytes)) => {
            Some(FoundArray { at, values: bytes.as_chunks::<2>().0 })
        }
        _ => None,
    });
    arrays.min_by_key(|array| array.values.len())
}

/// Returns a computed value's buffer to the worker.
pub(super) fn give(shard: &Shard<'_>, value: Value<'_>) {
    if let Value::Computed(words) = value {
        shard.worker.buffers.give(words);
    }
}

/// Clears the bits of `values`, two little-endian bytes each.
pub(super) fn clear(words: &mut Words, values: &[[u8; 2]]) {
    for value in values {
        let low = u16::from_le_bytes(*value);
        words[usize::from(low / 64)] &= !(1 << (low % 64));
    }
}
