//! Writes ordinals that come in order.

use super::container_form::{BlobHeader, Descriptor, Form, RunWriter, write_bits};
use crate::SHARD_BITS;
use crate::blob::{CONTAINER_BITS, CONTAINERS, WORDS};

/// Appends strictly ascending ordinals of shard number `shard` in the portable form, and gives how
/// many they are. They may count from the shard's first or from zero.
pub fn encode_ascending(shard: u32, lows: &[u32], into: &mut Vec<u8>) -> u32 {
    debug_assert!(lows.is_sorted_by(|a, b| a < b && a >> SHARD_BITS == b >> SHARD_BITS));
    let mut head = BlobHeader::new();
    let mut rest = lows;
    while let Some(first) = rest.first() {
        let container = first >> CONTAINER_BITS;
        let len = if rest[rest.len() - 1] >> CONTAINER_BITS == container {
            rest.len()
        } else {
            rest.partition_point(|low| low >> CONTAINER_BITS <= container)
        };
        let breaks: u32 = rest[..len]
            .iter()
            .zip(&rest[1..len])
            .map(|(low, next)| u32::from(low + 1 != *next))
            .sum();
        head.push(Descriptor {
            container: container as usize % CONTAINERS,
            cardinality: len,
            runs: 1 + breaks as usize,
        });
        rest = &rest[len..];
    }
    if head.is_empty() {
        return 0;
    }
    let cardinality = head.write(shard, into);
    let mut rest = lows;
    for descriptor in head.all() {
        let (here, after) = rest.split_at(descriptor.cardinality);
        rest = after;
        match descriptor.form() {
            Form::Array => {
                let start = into.len();
                into.resize(start + 2 * here.len(), 0);
                into[start..]
                    .as_chunks_mut::<2>()
                    .0
                    .iter_mut()
                    .zip(here)
                    .for_each(|(to, low)| *to = (*low as u16).to_le_bytes());
            }
            Form::Bits => {
                let mut words = [0_u64; WORDS];
                here.iter().for_each(|low| words[usize::from(*low as u16) / 64] |= 1 << (low % 64));
                write_bits(&words, into);
            }
            Form::Runs => {
                let mut writer = RunWriter::new(descriptor.runs, into);
                here.iter().for_each(|low| writer.push(u32::from(*low as u16), 1));
                writer.finish();
            }
        }
    }
    cardinality
}
