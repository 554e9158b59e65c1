//! Writes segments from their parts, each from front to back.

use super::numbers::Bounds;
use super::plan::{LoadPlan, PlannedTag};
use super::rows::{CODES_AT_ONCE, LoadedRows, ReadPiece};
use super::run::{Cursor, ShardRun};
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

/// Everything of one segment except the bytes of its pieces.
pub(super) struct SegmentParts<'a> {
    pub(super) value_type: ValueType,
    /// Of an enum or a set: the texts that occur, sorted.
    pub(super) texts: Vec<&'a str>,
    /// The least and greatest, for numbers.
    pub(super) bounds: Option<(i64, i64)>,
    pub(super) pieces: Vec<Piece>,
}

/// Writes the segments of all tags.
pub(super) fn segments(
    shared: &Shared,
    plan: &LoadPlan,
    codes: &[ShardRun],
    numbers: &[ShardRun],
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
            let mut parts = SegmentParts {
                value_type: tag.value_type,
                texts: Vec::new(),
                bounds: bounds[number],
                pieces: Vec::new(),
            };
            for (source, run) in runs.iter().enumerate() {
                parts.pieces.extend(run.of_tag(number as u32).iter().map(|entry| Piece {
                    bitmap: entry.bitmap,
                    shard: run.shard,
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
            segment(tag.name.clone(), &path, parts, &mut |piece, take| {
                take(cursors[piece.source].read(
                    piece.block,
                    piece.offset,
                    piece.len as usize,
                    ahead,
                )?)
            })
        },
    )
}

/// Renumbers the bitmaps without the texts that no user has in the end.
fn number_texts<'a>(tag: &'a PlannedTag, parts: &mut SegmentParts<'a>) {
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

/// Writes one segment; `read` gives the bytes of a piece.
pub(super) fn segment(
    name: String,
    path: &Path,
    mut parts: SegmentParts<'_>,
    read: &mut ReadPiece<'_>,
) -> Result<LoadedSegment> {
    let users = parts
        .pieces
        .iter()
        .filter(|piece| piece.bitmap == 0)
        .map(|piece| u64::from(piece.cardinality))
        .sum::<u64>();
    let sections = Sections::of(&mut parts, users)?;

    let failed = |e: std::io::Error| store_error(path, &e);
    let file = File::create(path).map_err(failed)?;
    let header = sections.header(parts.value_type);
    let mut sealer = Sealer::new(MAGIC, header.body_len, file).map_err(failed)?;
    sealer.write_all(&header.bytes).map_err(failed)?;
    sealer.write_all(&sections.directory).map_err(failed)?;
    sealer.write_all(zeros(padding(sections.directory.len() as u64))).map_err(failed)?;
    sealer.write_all(&sections.slices_head).map_err(failed)?;
    sealer.write_all(&sections.tables).map_err(failed)?;
    for (piece, padding) in parts.pieces.iter().zip(&sections.paddings) {
        sealer.write_all(zeros(usize::from(*padding))).map_err(failed)?;
        read(piece, &mut |bytes| sealer.write_all(bytes).map_err(failed))?;
    }
    sealer.write_all(zeros(padding(sections.data_len))).map_err(failed)?;
    if let Some(rows) = &sections.rows {
        parts.pieces.sort_unstable_by_key(|piece| (piece.shard, piece.bitmap));
        rows.write(&parts.pieces, CODES_AT_ONCE, read, &mut |bytes| {
            sealer.write_all(bytes).map_err(failed)
        })?;
    }
    let file = sealer.finish().map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    Ok(LoadedSegment { name, path: path.to_owned(), size_bytes, users })
}

/// The sections of a segment, without the bytes of its pieces.
struct Sections {
    directory: Vec<u8>,
    /// Of numbers: what precedes their bundle.
    slices_head: Vec<u8>,
    tables: Vec<u8>,
    /// Zeros before each piece.
    paddings: Vec<u8>,
    /// Bytes of all pieces and their paddings.
    data_len: u64,
    rows: Option<LoadedRows>,
}

impl Sections {
    /// Lays out the pieces of `parts`, and sorts them as they will be written.
    fn of(parts: &mut SegmentParts<'_>, users: u64) -> Result<Self> {
        let value_type = parts.value_type;
        let refuse = |problem: String| Error::Value { value_type, problem };
        let mut layout = BundleLayout::new();
        let mut slices_head = Vec::new();
        let bitmaps = match value_type {
            _ if value_type.is_number() => {
                let (low, high) = parts.bounds.unwrap_or((0, 0));
                slices_head = SliceEncoder::head(low, high);
                SliceEncoder::bitmaps(low, high)
            }
            ValueType::Bool => 3,
            _ => parts.texts.len() as u32 + 1,
        };
        if !value_type.is_number() {
            parts.pieces.sort_unstable_by_key(|piece| (piece.bitmap, piece.shard));
            alias_existence(&mut parts.pieces, users, &mut layout);
        }
        let paddings = parts
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
        let rows = LoadedRows::of(value_type, parts.texts.len(), users, &parts.pieces);
        Ok(Self { directory, slices_head, tables, paddings, data_len, rows })
    }

    fn header(&self, value_type: ValueType) -> SegmentHeader {
        let bitmaps_len = (self.slices_head.len() + self.tables.len()) as u64 + self.data_len;
        let rows_len = self.rows.as_ref().map_or(0, |rows| rows.len);
        header(value_type, [self.directory.len() as u64, bitmaps_len, rows_len])
    }
}

/// When all users with a value have the same one, the existence bitmap equals that value's bitmap,
/// and is stored as an alias of it. The pieces are sorted by bitmap.
fn alias_existence(pieces: &mut Vec<Piece>, users: u64, layout: &mut BundleLayout) {
    let mut by_bitmap = pieces.chunk_by(|a, b| a.bitmap == b.bitmap).skip(1);
    let everybody = by_bitmap.find(|pieces| {
        pieces.iter().map(|piece| u64::from(piece.cardinality)).sum::<u64>() == users
    });
    if let Some(everybody) = everybody.map(|pieces| pieces[0].bitmap) {
        pieces.retain(|piece| piece.bitmap > 0);
        layout.alias(0, everybody);
    }
}

struct SegmentHeader {
    bytes: Vec<u8>,
    body_len: u64,
}

/// The header that `segment::assemble` writes, given the lengths of the sections.
fn header(value_type: ValueType, lens: [u64; 3]) -> SegmentHeader {
    let (code, scale) = code_of(value_type);
    let mut bytes = vec![code, scale, 0, 0, 0, 0, 0, 0];
    let mut end = HEAD as u64;
    for len in lens {
        end = end.next_multiple_of(HEAD as u64);
        bytes.extend_from_slice(&end.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        end += len;
    }
    bytes.resize(HEAD, 0);
    SegmentHeader { bytes, body_len: end }
}

/// Up to [`HEAD`] zeros.
fn zeros(len: usize) -> &'static [u8] {
    &[0; HEAD][..len]
}

fn padding(len: u64) -> usize {
    (len.next_multiple_of(HEAD as u64) - len) as usize
}
