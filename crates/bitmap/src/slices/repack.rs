//! Bit slices under new ordinals.

use super::{BitSlices, HEAD, slices_of};
use crate::bitmap::Packing;
use crate::blob::{Container, WORDS, Words};
use crate::bundle::BundleBuilder;
use crate::{Repack, Result};
use croaring::Bitmap as Roaring;

impl BitSlices {
    /// The encoded bytes (see [`BitSlices::encode`]) of the numbers of those who are kept, under their new ordinals.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`]; `TooLarge` is passed on from the form.
    pub fn repack(&self, repack: &Repack) -> Result<Vec<u8>> {
        self.load()?;
        // The bounds of those who are kept may be narrower, and offsets are counted from the least.
        let (min, max) = self.bounds_within(&repack.kept())?.unwrap_or((0, 0));
        let (moved, slices) = (min.wrapping_sub(self.min) as u64, slices_of(min, max));
        let mut builder = BundleBuilder::new();
        let mut packings: Vec<_> = (0..=slices).map(|_| Packing::new()).collect();
        let mut columns: Vec<Words> = vec![[0; WORDS]; self.slices as usize + 1];
        for (shard, _, existence) in self.existence().blobs() {
            let blobs: Vec<_> = (0..self.slices).map(|bit| self.bundle.blob(bit + 1, shard).map(|(_, blob)| blob)).collect();
            for (key, _, existing) in existence.containers() {
                columns[0] = existing.words();
                for (column, blob) in columns[1..].iter_mut().zip(&blobs) {
                    let slice = blob.and_then(|blob| blob.container(key));
                    *column = slice.as_ref().map_or([0; WORDS], Container::words);
                }
                subtract(&mut columns, moved);
                for (bitmap, (packing, words)) in packings.iter_mut().zip(&columns).enumerate() {
                    packing.push_words(repack, key, words, &mut |shard, set| push(&mut builder, bitmap, shard, set));
                }
            }
        }
        for (bitmap, packing) in packings.iter_mut().enumerate() {
            packing.finish(&mut |shard, set| push(&mut builder, bitmap, shard, set));
        }
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&min.to_le_bytes());
        bytes.extend_from_slice(&max.to_le_bytes());
        bytes.extend_from_slice(&slices.to_le_bytes());
        bytes.resize(HEAD, 0);
        bytes.append(&mut builder.finish(slices + 1)?);
        Ok(bytes)
    }
}

fn push(builder: &mut BundleBuilder, bitmap: usize, shard: u32, mut set: Roaring) {
    set.run_optimize();
    builder.push_shard(bitmap as u32, shard, &set);
}

/// Takes `moved` from the offsets of a container: from the lowest slice up, with what is borrowed from the next. `columns` begins with who has
/// a number; nobody else is given one.
fn subtract(columns: &mut [Words], moved: u64) {
    let Some((existence, slices)) = columns.split_first_mut().filter(|_| moved != 0) else { return };
    let mut borrowed = [0; WORDS];
    for (bit, slice) in slices.iter_mut().enumerate() {
        let taken = if moved >> bit & 1 == 1 { u64::MAX } else { 0 };
        for ((word, borrow), existing) in slice.iter_mut().zip(&mut borrowed).zip(existence.iter()) {
            let (was, less) = (*word, *borrow);
            *word = (was ^ taken ^ less) & existing;
            *borrow = !was & (taken | less) | taken & less;
        }
    }
}
