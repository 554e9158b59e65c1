//! Counts of pairs, one thread's.

use super::Members;
use super::gather::{Blobs, Dense, Expanded, Piece};
use crate::Bitmap;
use crate::blob::{Blob, CONTAINERS, Container, Words};
use crate::kernel::{Level, hits};
use croaring::Portable;

/// Values of a container.
const SPAN: usize = 1 << 16;
/// Looking up a bit costs about so many times less than turning one value round; and turning round costs so many values at least.
const TURN: usize = 4;
const TURN_FROM: usize = 16_384;
/// As many look-ups as making words of a row costs.
const EXPAND: usize = 256;
/// Dense columns that stay in the second-level cache while rows pass over them.
const TILE: usize = 48;

pub(super) struct Counter {
    columns: usize,
    /// Rows are columns: only pairs whose column is not behind the row are counted.
    symmetric: bool,
    /// Row by row.
    counts: Vec<u32>,
    turned: Turned,
    row_words: Expanded,
    column_words: Expanded,
    level: Level,
}

/// The sets of each user of a container.
#[derive(Default)]
struct Turned {
    /// Where the sets of each user start, and of one more; empty until first used.
    starts: Vec<u32>,
    sets: Vec<u32>,
}

/// The pieces of one container, small ones and large ones apart.
struct Split<'p, 'b> {
    sparse: Vec<&'p Piece<'b>>,
    dense: Vec<&'p Piece<'b>>,
}

impl Counter {
    pub(super) fn new(rows: usize, columns: usize, symmetric: bool) -> Self {
        Self {
            columns,
            symmetric,
            counts: vec![0; rows * columns],
            turned: Turned::default(),
            row_words: Expanded::default(),
            column_words: Expanded::default(),
            level: Level::best(),
        }
    }

    /// Adds what was counted to `sums` and starts anew.
    pub(super) fn add_to(&mut self, sums: &mut [u64]) {
        for (sum, count) in sums.iter_mut().zip(&mut self.counts) {
            *sum += u64::from(std::mem::take(count));
        }
    }

    /// Counts one shard.
    pub(super) fn count(&mut self, rows: &[Members], columns: &[Members], within: Option<&Bitmap>, shard: u32) {
        let row_blobs = Blobs::of(rows, shard);
        let column_blobs = (!self.symmetric).then(|| Blobs::of(columns, shard));
        let row_pieces = row_blobs.pieces();
        let column_pieces = column_blobs.as_ref().map(Blobs::pieces);
        let mask = within.map(|within| within.shard(shard).map(|shard| shard.set.serialize::<Portable>()).unwrap_or_default());
        for at in 0..CONTAINERS {
            let rows = &row_pieces[at];
            let columns = column_pieces.as_ref().map_or(rows, |pieces| &pieces[at]);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            match &mask {
                None => self.container(rows, columns, None),
                Some(mask) => {
                    let container = Blob::checked(mask).container((shard as usize * CONTAINERS + at) as u16);
                    if let Some(container) = container {
                        self.container(rows, columns, Some(&container.words()));
                    }
                }
            }
        }
    }

    fn container(&mut self, rows: &[Piece<'_>], columns: &[Piece<'_>], within: Option<&Words>) {
        let (rows, columns) = (Split::of(rows), Split::of(columns));
        self.row_words.clear();
        self.column_words.clear();
        let dense_rows: Vec<(u32, Dense<'_>)> =
            rows.dense.iter().map(|piece| (piece.set, self.row_words.put(&piece.container, within))).collect();
        let dense_columns: Vec<(u32, Dense<'_>)> = if self.symmetric {
            dense_rows.clone()
        } else {
            columns.dense.iter().map(|piece| (piece.set, self.column_words.put(&piece.container, None))).collect()
        };
        self.dense_pairs(&dense_rows, &dense_columns);
        self.mixed_pairs(&rows, &columns, &dense_rows, &dense_columns, within);
        self.sparse_pairs(&rows, &columns, within);
    }

    fn add(&mut self, row: u32, column: u32, count: u32) {
        // Of a symmetric matrix the lower half.
        let (row, column) = if self.symmetric && column > row { (column, row) } else { (row, column) };
        self.counts[row as usize * self.columns + column as usize] += count;
    }

    fn dense_pairs(&mut self, rows: &[(u32, Dense<'_>)], columns: &[(u32, Dense<'_>)]) {
        let level = self.level;
        let (row_words, column_words) = (&self.row_words, if self.symmetric { &self.row_words } else { &self.column_words });
        for tile in columns.chunks(TILE) {
            for two in rows.chunks(2) {
                // What is missing of two rows or four columns is one of them again, and not counted.
                let row = |at: usize| row_words.bytes(two.get(at).unwrap_or(&two[0]).1);
                // Sets ascend, so that of a symmetric matrix what is behind both rows is left out.
                let last = two.last().map_or(0, |(set, _)| *set);
                let end = if self.symmetric { tile.partition_point(|(set, _)| *set <= last) } else { tile.len() };
                for four in tile[..end].chunks(4) {
                    let column = |at: usize| column_words.bytes(four.get(at).unwrap_or(&four[0]).1);
                    let shared = level.shared([row(0), row(1)], [column(0), column(1), column(2), column(3)]);
                    for ((row, _), shared) in two.iter().zip(&shared) {
                        for ((column, _), count) in four.iter().zip(shared).filter(|((column, _), _)| !self.symmetric || column <= row) {
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
        rows: &Split<'_, '_>,
        columns: &Split<'_, '_>,
        dense_rows: &[(u32, Dense<'_>)],
        dense_columns: &[(u32, Dense<'_>)],
        within: Option<&Words>,
    ) {
        let mut values = Vec::new();
        for column in &columns.sparse {
            if !dense_rows.is_empty() {
                values_of(column, None, &mut values);
                for (row, dense) in dense_rows {
                    let count = hits(self.row_words.bytes(*dense), &values);
                    self.add(*row, column.set, count);
                }
            }
        }
        if self.symmetric {
            return;
        }
        for row in &rows.sparse {
            if !dense_columns.is_empty() {
                values_of(row, within, &mut values);
                for (column, dense) in dense_columns {
                    let count = hits(self.column_words.bytes(*dense), &values);
                    self.add(row.set, *column, count);
                }
            }
        }
    }

    fn sparse_pairs(&mut self, rows: &Split<'_, '_>, columns: &Split<'_, '_>, within: Option<&Words>) {
        let values = |pieces: &[&Piece<'_>]| pieces.iter().map(|piece| piece.count).sum::<usize>();
        let (of_rows, of_columns) = (values(&rows.sparse), values(&columns.sparse));
        if of_rows == 0 || of_columns == 0 {
            return;
        }
        if rows.sparse.len() * (of_columns + EXPAND) < TURN_FROM + TURN * (of_rows + of_columns) {
            self.look_up(rows, columns, within);
            return;
        }
        self.turned.fill(&columns.sparse);
        for row in &rows.sparse {
            let start = row.set as usize * self.columns;
            let counts = &mut self.counts[start..start + self.columns];
            let turned = &self.turned;
            let last = if self.symmetric { row.set } else { u32::MAX };
            row.for_each(|low| {
                if within.is_none_or(|within| within[usize::from(low / 64)] >> (low % 64) & 1 == 1) {
                    // Ascending, so that of a symmetric matrix the rest is left out.
                    turned.of(low).iter().take_while(|column| **column <= last).for_each(|column| counts[*column as usize] += 1);
                }
            });
        }
    }

    /// Each row as words, in which the columns' values are looked up.
    fn look_up(&mut self, rows: &Split<'_, '_>, columns: &Split<'_, '_>, within: Option<&Words>) {
        let mut values = Vec::new();
        for row in &rows.sparse {
            self.row_words.clear();
            let dense = self.row_words.put(&row.container, within);
            for column in &columns.sparse {
                if self.symmetric && column.set > row.set {
                    break;
                }
                let words = self.row_words.bytes(dense);
                let count = match column.container {
                    Container::Array(bytes) => hits(words, bytes.as_chunks::<2>().0),
                    _ => {
                        values_of(column, None, &mut values);
                        hits(words, &values)
                    }
                };
                self.counts[row.set as usize * self.columns + column.set as usize] += count;
            }
        }
    }
}

impl<'p, 'b> Split<'p, 'b> {
    fn of(pieces: &'p [Piece<'b>]) -> Self {
        let (dense, sparse) = pieces.iter().partition(|piece| piece.is_dense());
        Self { sparse, dense }
    }
}

impl Turned {
    /// A counting sort by user; the sets of one user ascend as those of `pieces` do.
    fn fill(&mut self, pieces: &[&Piece<'_>]) {
        self.starts.clear();
        self.starts.resize(SPAN + 2, 0);
        // One place further than where a user's sets start, so that after placing them each has moved to where it starts.
        for piece in pieces {
            piece.for_each(|low| self.starts[usize::from(low) + 2] += 1);
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
        self.sets.clear();
        self.sets.resize(sum as usize, 0);
        for piece in pieces {
            piece.for_each(|low| {
                let at = &mut self.starts[usize::from(low) + 1];
                self.sets[*at as usize] = piece.set;
                *at += 1;
            });
        }
    }

    fn of(&self, low: u16) -> &[u32] {
        let at = usize::from(low);
        &self.sets[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// The values, of those in `within`.
fn values_of(piece: &Piece<'_>, within: Option<&Words>, values: &mut Vec<[u8; 2]>) {
    values.clear();
    piece.for_each(|low| {
        if within.is_none_or(|within| within[usize::from(low / 64)] >> (low % 64) & 1 == 1) {
            values.push(low.to_le_bytes());
        }
    });
}
