use super::LoadedSegment;
use super::run::OWN;
use super::write::{Piece, SegmentParts, segment};
use crate::error::{Error, Result};
use crate::segment::{Segment, Values};
use std::path::Path;
use taghouse_bitmap::{BitSlices, SHARD_BITS, SHARD_SIZE, SliceEncoder, Stored};
use taghouse_model::ValueType;

/// Puts the segments of one tag together that loaders of different shards have made, perhaps on
/// several machines: into the segment at `path` that one loader of all shards would have made.
/// Shards are copied as they are; only those of numbers are encoded again, where the parts' least
/// numbers differ, for slices count from the least; they are held in memory meanwhile.
///
/// # Errors
/// `Publication` when the parts are of different types or two have users in the same shard, or
/// there are none; `Store` naming the file; `Corrupt` when a part is damaged.
pub fn join(name: &str, parts: &[Segment], path: &Path) -> Result<LoadedSegment> {
    let refuse =
        |problem: &str| Error::Publication { tag: name.to_owned(), problem: problem.to_owned() };
    let value_type =
        parts.first().ok_or_else(|| refuse("there are no parts to join"))?.value_type();
    if parts.iter().any(|part| part.value_type() != value_type) {
        return Err(refuse(
            "its parts are of different types: build them from the same definition",
        ));
    }
    let damaged = |e: taghouse_bitmap::Error| Error::of_bitmap(name, e);
    let mut shards = Vec::new();
    for part in parts {
        shards.extend(
            part.existence().portable_shards().map_err(damaged)?.map(|(shard, _, _)| shard),
        );
    }
    shards.sort_unstable();
    if shards.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refuse(
            "two of its parts have users in the same shard: build parts of ranges that do not meet",
        ));
    }
    if value_type.is_number() {
        return numbers(name, value_type, parts, path);
    }
    let mut texts: Vec<&str> = Vec::new();
    for part in parts {
        if let Values::Texts { directory, .. } = &part.values {
            texts.extend(directory.iter());
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let mut bitmaps: Vec<(u32, Stored)> = Vec::new();
    for part in parts {
        match &part.values {
            Values::Bool(bundle) => {
                bitmaps.extend((0..3).map(|number| (number, bundle.get(number))))
            }
            Values::Texts { directory, bitmaps: bundle, .. } => {
                bitmaps.push((0, bundle.get(0)));
                let places = directory
                    .iter()
                    .map(|text| texts.partition_point(|other| *other < text) as u32);
                bitmaps
                    .extend(places.zip(1..).map(|(place, number)| (place + 1, bundle.get(number))));
            }
            Values::Numbers(_) => {}
        }
    }
    copied(
        name,
        SegmentParts { value_type, texts, bounds: None, pieces: Vec::new() },
        &bitmaps,
        path,
    )
}

/// Writes a segment out of bitmaps under their new numbers.
fn copied(
    name: &str,
    mut parts: SegmentParts<'_>,
    bitmaps: &[(u32, Stored)],
    path: &Path,
) -> Result<LoadedSegment> {
    let mut blobs: Vec<&[u8]> = Vec::new();
    for (bitmap, stored) in bitmaps {
        for (shard, cardinality, blob) in
            stored.portable_shards().map_err(|e| Error::of_bitmap(name, e))?
        {
            let (len, source) = (blob.len() as u32, blobs.len());
            parts.pieces.push(Piece {
                bitmap: *bitmap,
                shard,
                cardinality,
                len,
                source,
                block: OWN,
                offset: 0,
            });
            blobs.push(blob);
        }
    }
    if parts.value_type.is_number() {
        parts.pieces.sort_unstable_by_key(|piece| (piece.shard, piece.bitmap));
    }
    segment(name.to_owned(), path, parts, &mut |piece, take| take(blobs[piece.source]))
}

fn numbers(
    name: &str,
    value_type: ValueType,
    parts: &[Segment],
    path: &Path,
) -> Result<LoadedSegment> {
    let mut slices: Vec<((i64, i64), &BitSlices)> = Vec::new();
    for part in parts {
        if let Values::Numbers(of_part) = &part.values {
            slices.extend(narrow_bounds(name, of_part)?.map(|bounds| (bounds, of_part)));
        }
    }
    let bounds =
        slices.iter().map(|(bounds, _)| *bounds).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let mut joined = SegmentParts { value_type, texts: Vec::new(), bounds, pieces: Vec::new() };
    let Some((low, high)) = bounds else { return copied(name, joined, &[], path) };
    if slices.iter().all(|((least, _), _)| *least == low) {
        let bitmaps: Vec<_> = slices
            .iter()
            .flat_map(|((low, high), of_part)| {
                (0..SliceEncoder::bitmaps(*low, *high))
                    .map(|number| (number, of_part.bitmap(number)))
            })
            .collect();
        return copied(name, joined, &bitmaps, path);
    }
    let (mut encoder, mut blobs) = (SliceEncoder::new(low, high), Vec::new());
    for (_, of_part) in &slices {
        for_each_shard(name, of_part, |shard, lows, numbers| {
            encoder.encode(shard, lows, numbers, |bitmap, cardinality, blob| {
                joined.pieces.push(Piece {
                    bitmap,
                    shard,
                    cardinality,
                    len: blob.len() as u32,
                    source: blobs.len(),
                    block: OWN,
                    offset: 0,
                });
                blobs.push(blob.to_vec());
                Ok(())
            })
        })?;
    }
    joined.pieces.sort_unstable_by_key(|piece| (piece.shard, piece.bitmap));
    segment(name.to_owned(), path, joined, &mut |piece, take| take(&blobs[piece.source]))
}

/// What a loader wrote has numbers of 64 bits.
fn narrow_bounds(name: &str, slices: &BitSlices) -> Result<Option<(i64, i64)>> {
    let Some((low, high)) = slices.bounds() else { return Ok(None) };
    match (i64::try_from(low), i64::try_from(high)) {
        (Ok(low), Ok(high)) => Ok(Some((low, high))),
        _ => Err(Error::corrupt(name, "a loaded part has numbers over 64 bits")),
    }
}

fn for_each_shard(
    name: &str,
    slices: &BitSlices,
    mut each: impl FnMut(u32, &[u32], &[i64]) -> Result<()>,
) -> Result<()> {
    let (mut lows, mut numbers) = (Vec::new(), Vec::new());
    let mut pairs = slices.iter().map_err(|e| Error::of_bitmap(name, e))?.peekable();
    while let Some((ordinal, number)) = pairs.next() {
        lows.push(ordinal & (SHARD_SIZE - 1));
        // Within the bounds, which were looked at.
        numbers.push(number as i64);
        let shard = ordinal >> SHARD_BITS;
        if pairs.peek().is_none_or(|(next, _)| next >> SHARD_BITS != shard) {
            each(shard, &lows, &numbers)?;
            lows.clear();
            numbers.clear();
        }
    }
    Ok(())
}
