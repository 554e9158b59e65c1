//! Counts of pairs, one thread's.

use super::UserSet;
use super::gather::{Blobs, Dense, Expanded, Piece};
use super::slots::{MOST_SETS, Slots};
use super::split::{Split, Way};
use crate::Bitmap;
use crate::blob::{Blob, CONTAINERS, Container, Words};
use crate::kernel::{Level, hits};
use croaring::Portable;

/// Dense columns that stay in the second-level cache while rows pass over them.
const TILE: usize = 48;
/// Values of the columns that are turned round together: about one a user, so that few users need a
/// list.
const GROUP_VALUES: usize = 1 << 16;

/// Pieces between the one that is read and the one that memory is asked for.
const AHEAD: usize = 8;

pub(super) struct Counter {
    columns: usize,
    /// Rows are columns: only pairs whose column is not behind the row count in the end.
    symmetric: bool,
    /// Row by row.
    counts: Vec<u32>,
    /// What small containers add to them, half as large so that more of it stays in the caches.
    recent: Vec<u16>,
    /// The most that any of a row's recent counts can be.
    recent_most: Vec<usize>,
    /// Made when first used.
    slots: Option<Slots>,
    row_words: Expanded,
    column_words: Expanded,
    level: Level,
}

impl Counter {
    pub(super) fn new(rows: usize, columns: usize, symmetric: bool) -> Self {
        Self {
            columns,
            symmetric,
            counts: vec![0; rows * columns],
            recent: vec![0; rows * columns],
            recent_most: vec![0; rows],
            slots: None,
            row_words: Expanded::default(),
            column_words: Expanded::default(),
            level: Level::best(),
        }
    }

    /// Adds what was counted to `sums` and starts again.
    pub(super) fn add_to(&mut self, sums: &mut [u64]) {
        self.counts
            .iter_mut()
            .zip(&mut self.recent)
            .for_each(|(count, recent)| *count += u32::from(std::mem::take(recent)));
        self.recent_most.fill(0);
        for (sum, count) in sums.iter_mut().zip(&mut self.counts) {
            *sum += u64::from(std::mem::take(count));
        }
    }

    /// Counts one shard.
    pub(super) fn count(
        &mut self,
        rows: &[UserSet],
        columns: &[UserSet],
        within: Option<&Bitmap>,
        shard: u32,
    ) {
        let row_blobs = Blobs::of(rows, shard);
        let column_blobs = (!self.symmetric).then(|| Blobs::of(columns, shard));
        let row_pieces = row_blobs.pieces();
        let column_pieces = column_blobs.as_ref().map(Blobs::pieces);
        let mask = within.map(|within| {
            within.shard(shard).map(|shard| shard.set.serialize::<Portable>()).unwrap_or_default()
        });
        for at in 0..CONTAINERS {
            let rows = &row_pieces[at];
            let columns = column_pieces.as_ref().map_or(rows, |pieces| &pieces[at]);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            match &mask {
                None => self.container(rows, columns, None),
                Some(mask) => {
                    let container =
                        Blob::checked(mask).container((shard as usize * CONTAINERS + at) as u16);
                    if let Some(container) = container {
                        self.container(rows, columns, Some(&container.words()));
                    }
                }
            }
        }
    }

    fn container(&mut self, rows: &[Piece<'_>], columns: &[Piece<'_>], within: Option<&Words>) {
        let split = Split::of(rows, columns);
        self.row_words.clear();
        self.column_words.clear();
        let dense_rows: Vec<(u32, Dense<'_>)> = split
            .rows
            .dense
            .iter()
            .map(|piece| (piece.set, self.row_words.put(&piece.container, within)))
            .collect();
        let dense_columns: Vec<(u32, Dense<'_>)> = if self.symmetric {
            dense_rows.clone()
        } else {
            split
                .columns
                .dense
                .iter()
                .map(|piece| (piece.set, self.column_words.put(&piece.container, None)))
                .collect()
        };
        self.dense_pairs(&dense_rows, &dense_columns);
        self.mixed_pairs(&split, &dense_rows, &dense_columns, within);
        if split.rows.sparse.is_empty() || split.columns.sparse.is_empty() {
            return;
        }
        match split.way {
            Way::LookUp => self.look_up(&split.rows.sparse, &split.columns.sparse, within),
            Way::Turn => self.turn(&split.rows.sparse, &split.columns.sparse, within),
        }
    }

    fn add(&mut self, row: u32, column: u32, count: u32) {
        // Of a symmetric matrix the lower half.
        let (row, column) =
            if self.symmetric && column > row { (column, row) } else { (row, column) };
        self.counts[row as usize * self.columns + column as usize] += count;
    }

    fn dense_pairs(&mut self, rows: &[(u32, Dense<'_>)], columns: &[(u32, Dense<'_>)]) {
        let level = self.level;
        let (row_words, column_words) =
            (&self.row_words, if self.symmetric { &self.row_words } else { &self.column_words });
        for tile in columns.chunks(TILE) {
            for two in rows.chunks(2) {
                // What is missing of two rows or four columns is one of them again, and not
                // counted.
                let row = |at: usize| row_words.bytes(two.get(at).unwrap_or(&two[0]).1);
                // Sets ascend, so that of a symmetric matrix what is behind both rows is left out.
                let last = two.last().map_or(0, |(set, _)| *set);
                let end = if self.symmetric {
                    tile.partition_point(|(set, _)| *set <= last)
                } else {
                    tile.len()
                };
                for four in tile[..end].chunks(4) {
                    let column = |at: usize| column_words.bytes(four.get(at).unwrap_or(&four[0]).1);
                    let shared = level
                        .shared([row(0), row(1)], [column(0), column(1), column(2), column(3)]);
                    for ((row, _), shared) in two.iter().zip(&shared) {
                        for ((column, _), count) in four
                            .iter()
                            .zip(shared)
                            .filter(|((column, _), _)| !self.symmetric || column <= row)
                        {
                            self.counts[*row as usize * self.columns + *column as usize] += count;
                        }
                    }
                }
            }
        }
    }

    /// Small ones are looked up in the words of large ones.
    fn mixed_pairs(
        &mut self,
        split: &Split<'_, '_>,
        dense_rows: &[(u32, Dense<'_>)],
        dense_columns: &[(u32, Dense<'_>)],
        within: Option<&Words>,
    ) {
        let mut values = Vec::new();
        if !dense_rows.is_empty() {
            for column in fetched(&split.columns.sparse) {
                let values = values_of(column, None, &mut values);
                for (row, dense) in dense_rows {
                    let count = hits(self.row_words.bytes(*dense), values);
                    self.add(*row, column.set, count);
                }
            }
        }
        if !self.symmetric && !dense_columns.is_empty() {
            for row in fetched(&split.rows.sparse) {
                let values = values_of(row, within, &mut values);
                for (column, dense) in dense_columns {
                    let count = hits(self.column_words.bytes(*dense), values);
                    self.add(row.set, *column, count);
                }
            }
        }
    }

    /// Each row as words, in which the columns' values are looked up.
    fn look_up(&mut self, rows: &[&Piece<'_>], columns: &[&Piece<'_>], within: Option<&Words>) {
        let mut values = Vec::new();
        for row in rows {
            self.row_words.clear();
            let dense = self.row_words.put(&row.container, within);
            for column in columns {
                if self.symmetric && column.set > row.set {
                    break;
                }
                let count = hits(self.row_words.bytes(dense), values_of(column, None, &mut values));
                self.counts[row.set as usize * self.columns + column.set as usize] += count;
            }
        }
    }

    /// Columns turned round, a group after the other, in which the rows' values are looked up.
    fn turn(&mut self, rows: &[&Piece<'_>], mut columns: &[&Piece<'_>], within: Option<&Words>) {
        let slots = self.slots.get_or_insert_with(Slots::new);
        let mut before = 0;
        while let Some(first) = columns.first() {
            let base = first.set as usize;
            let (group, rest) = columns.split_at(group_len(columns, base));
            slots.clear();
            // Of a symmetric matrix, rows before the group share with it what it shares with them;
            // those in it come in turn, so that each finds the columns up to itself.
            let own = if self.symmetric { &rows[before..before + group.len()] } else { &[] };
            let after = if self.symmetric { &rows[before + group.len()..] } else { rows };
            let width = group.last().map_or(0, |last| last.set as usize + 1 - base);
            let mut count = |slots: &mut Slots, row: &Piece<'_>| {
                let start = row.set as usize * self.columns;
                let most = &mut self.recent_most[row.set as usize];
                *most += row.count;
                if *most > usize::from(u16::MAX) {
                    *most = row.count;
                    let recent = &mut self.recent[start..start + self.columns];
                    self.counts[start..]
                        .iter_mut()
                        .zip(recent)
                        .for_each(|(count, recent)| *count += u32::from(std::mem::take(recent)));
                }
                slots.count(row, within, &mut self.recent[start + base..start + base + width]);
            };
            for (at, column) in fetched(group).enumerate() {
                slots.insert(column, column.set as usize - base);
                if let Some(row) = own.get(at) {
                    count(slots, row);
                }
            }
            fetched(after).for_each(|row| count(slots, row));
            before += group.len();
            columns = rest;
        }
    }
}

/// The pieces, each asked for while some before it are read.
fn fetched<'s, 'b>(pieces: &'s [&'s Piece<'b>]) -> impl Iterator<Item = &'s Piece<'b>> {
    pieces.iter().enumerate().map(|(at, piece)| {
        if let Some(next) = pieces.get(at + AHEAD) {
            next.container.prefetch_start();
        }
        *piece
    })
}

/// How many of `columns`, of which there is one, are turned round together.
fn group_len(columns: &[&Piece<'_>], base: usize) -> usize {
    let mut values = 0;
    let end = columns.iter().position(|column| {
        values += column.count;
        values > GROUP_VALUES || column.set as usize - base >= MOST_SETS
    });
    end.unwrap_or(columns.len()).max(1)
}

/// The values, of those in `within`: where they lie, or in `made`.
fn values_of<'v>(
    piece: &Piece<'v>,
    within: Option<&Words>,
    made: &'v mut Vec<[u8; 2]>,
) -> &'v [[u8; 2]] {
    if let (Container::Array(bytes), None) = (piece.container, within) {
        return bytes.as_chunks::<2>().0;
    }
    made.clear();
    piece.for_each(|low| {
        if within.is_none_or(|within| within[usize::from(low / 64)] >> (low % 64) & 1 == 1) {
            made.push(low.to_le_bytes());
        }
    });
    made
}
