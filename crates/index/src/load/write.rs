//! Segments out of their parts, each written from front to back.

use super::numbers::Bounds;
use super::plan::{Plan, PlannedTag};
use super::run::{Cursor, Run};
use super::workers::each;
use super::{LoadedSegment, Shared, store_error};
use crate::error::{Error, Result};
use crate::segment::{HEAD, MAGIC, code_of, encode_directory};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use taghouse_bitmap::{BundleLayout, Sealer, SliceEncoder};
use taghouse_model::ValueType;

/// One shard of one bitmap.
pub(super) struct Piece {
    pub(super) bitmap: u32,
    pub(super) shard: u32,
    pub(super) cardinality: u32,
    pub(super) len: u32,
    /// Which source has its bytes, and where.
    pub(super) source: usize,
    pub(super) block: u32,
    pub(super) offset: u64,
}

/// Everything of one segment but the bytes of its pieces.
pub(super) struct Parts<'a> {
    pub(super) value_type: ValueType,
    /// Of an enum or a set: each occurs, sorted.
    pub(super) texts: Vec<&'a str>,
    /// The least and greatest, for numbers.
    pub(super) bounds: Option<(i64, i64)>,
    pub(super) pieces: Vec<Piece>,
}

/// Writes the segments of all tags.
pub(super) fn segments(
    shared: &Shared,
    plan: &Plan,
    codes: &[Run],
    numbers: &[Run],
    bounds: &Bounds,
    folder: &Path,
) -> Result<Vec<LoadedSegment>> {
    let ahead =
        (shared.options.memory_bytes / 8 / shared.options.threads.max(1) / codes.len().max(1))
            .clamp(1 << 12, 1 << 18);
    each(
        shared.options.threads,
        plan.tags.len(),
        || {
            (
                codes.iter().map(Cursor::new).collect::<Vec<_>>(),
                numbers.iter().map(Cursor::new).collect::<Vec<_>>(),
            )
        },
        |(of_codes, of_numbers), number| {
            let tag = &plan.tags[number];
            let is_number = tag.value_type.is_number();
            let (runs, cursors) = if is_number { (numbers, of_numbers) } else { (codes, of_codes) };
            let mut parts = Parts {
                value_type: tag.value_type,
                texts: Vec::new(),
                bounds: bounds[number],
                pieces: Vec::new(),
            };
            for (source, run) in runs.iter().enumerate() {
                let shard = shared.options.shards.start + source as u32;
                parts.pieces.extend(run.of_tag(number as u32).iter().map(|entry| Piece {
                    bitmap: entry.bitmap,
                    shard,
                    cardinality: entry.cardinality,
                    len: entry.len,
                    source,
                    block: entry.block,
                    offset: entry.offset,
                }));
            }
            if matches!(tag.value_type, ValueType::Text | ValueType::Set) {
                number_texts(tag, &mut parts);
            }
            let path = folder.join(format!("{number:06}.segment"));
            segment(tag.name.clone(), &path, parts, |piece, into| {
                let bytes = cursors[piece.source].read(
                    piece.block,
                    piece.offset,
                    piece.len as usize,
                    ahead,
                )?;
                into.write_all(bytes).map_err(|e| store_error(&path, &e))
            })
        },
    )
}

/// Leaves out the texts that nobody has in the end.
fn number_texts<'a>(tag: &'a PlannedTag, parts: &mut Parts<'a>) {
    let mut numbers = vec![0; tag.texts.len() + 1];
    parts.pieces.iter().for_each(|piece| numbers[piece.bitmap as usize] = 1);
    let mut next = 0;
    for (bitmap, number) in numbers.iter_mut().enumerate() {
        if *number == 1 && bitmap > 0 {
            parts.texts.push(&tag.texts[bitmap - 1]);
            next += 1;
            *number = next;
        } else {
            *number = 0;
        }
    }
    parts.pieces.iter_mut().for_each(|piece| piece.bitmap = numbers[piece.bitmap as usize]);
}

/// Writes one segment; `copy` writes the bytes of a piece.
pub(super) fn segment(
    name: String,
    path: &Path,
    mut parts: Parts<'_>,
    mut copy: impl FnMut(&Piece, &mut Sealer<File>) -> Result<()>,
) -> Result<LoadedSegment> {
    let value_type = parts.value_type;
    let refuse = |problem: String| Error::Value { value_type, problem };
    let users = parts
        .pieces
        .iter()
        .filter(|piece| piece.bitmap == 0)
        .map(|piece| u64::from(piece.cardinality))
        .sum::<u64>();
    let mut layout = BundleLayout::new();
    let mut slices_head = Vec::new();
    let bitmaps = match (value_type, parts.bounds) {
        _ if value_type.is_number() => {
            let (low, high) = parts.bounds.unwrap_or((0, 0));
            slices_head = SliceEncoder::head(low, high);
            SliceEncoder::bitmaps(low, high)
        }
        (ValueType::Bool, _) => 3,
        _ => parts.texts.len() as u32 + 1,
    };
    if !value_type.is_number() {
        parts.pieces.sort_unstable_by_key(|piece| (piece.bitmap, piece.shard));
        // Who has a value and who has this one are the same.
        let mut by_bitmap = parts.pieces.chunk_by(|a, b| a.bitmap == b.bitmap).skip(1);
        let everybody = by_bitmap.find(|pieces| {
            pieces.iter().map(|piece| u64::from(piece.cardinality)).sum::<u64>() == users
        });
        if let Some(everybody) = everybody.map(|pieces| pieces[0].bitmap) {
            parts.pieces.retain(|piece| piece.bitmap > 0);
            layout.alias(0, everybody);
        }
    }
    let zeros: Vec<u8> = parts
        .pieces
        .iter()
        .map(|p| layout.push(p.bitmap, p.shard, p.cardinality, p.len) as u8)
        .collect();
    let data_len = layout.data_len();
    let tables = layout.tables(bitmaps).map_err(|e| refuse(e.to_string()))?;
    let directory = match value_type {
        ValueType::Text | ValueType::Set => encode_directory(parts.texts.iter().copied())
            .ok_or_else(|| refuse("its texts take 4 GiB or more".to_owned()))?,
        _ => Vec::new(),
    };
    let head = head(
        value_type,
        directory.len() as u64,
        (slices_head.len() + tables.len()) as u64 + data_len,
    );
    let failed = |e: std::io::Error| store_error(path, &e);
    let file = File::create(path).map_err(failed)?;
    let mut sealer = Sealer::new(MAGIC, head.body_len, file).map_err(failed)?;
    sealer.write_all(&head.bytes).map_err(failed)?;
    sealer.write_all(&directory).map_err(failed)?;
    sealer.write_all(&[0; HEAD][..padding(directory.len() as u64)]).map_err(failed)?;
    sealer.write_all(&slices_head).map_err(failed)?;
    sealer.write_all(&tables).map_err(failed)?;
    for (piece, zeros) in parts.pieces.iter().zip(zeros) {
        sealer.write_all(&[0; HEAD][..usize::from(zeros)]).map_err(failed)?;
        copy(piece, &mut sealer)?;
    }
    sealer.write_all(&[0; HEAD][..padding(data_len)]).map_err(failed)?;
    let file = sealer.finish().map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    Ok(LoadedSegment { name, path: path.to_owned(), size_bytes, users })
}

struct Head {
    bytes: Vec<u8>,
    body_len: u64,
}

/// As `segment::assemble` writes it, without rows.
fn head(value_type: ValueType, directory_len: u64, bitmaps_len: u64) -> Head {
    let (code, scale) = code_of(value_type);
    let mut bytes = vec![code, scale, 0, 0, 0, 0, 0, 0];
    let mut end = HEAD as u64;
    for len in [directory_len, bitmaps_len, 0] {
        end = end.next_multiple_of(HEAD as u64);
        bytes.extend_from_slice(&end.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        end += len;
    }
    bytes.resize(HEAD, 0);
    Head { bytes, body_len: end }
}

fn padding(len: u64) -> usize {
    (len.next_multiple_of(HEAD as u64) - len) as usize
}
