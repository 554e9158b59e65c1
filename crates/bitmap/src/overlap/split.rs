//! Which containers are taken as words, and how the others meet: by what it would cost.

use super::gather::Piece;
use crate::blob::Container;

/// A container of no more values is never taken as words where it meets others of that size.
const LEAST: usize = 1024;
/// Limits that are tried: `LEAST`, twice that, and so on up to half of a container's values.
const LIMITS: usize = 6;

// Costs in clock cycles, measured on a Zen 4 core; only their ratios matter.
/// Two containers' words combined and counted.
const WORDS_PAIR: u64 = 160;
/// A container's words made, besides what each value costs.
const EXPAND: u64 = 250;
/// A value set, or looked up, in words.
const BIT: u64 = 2;
/// The words of all users cleared.
const CLEAR: u64 = 20_000;
/// A value turned round.
const TURN: u64 = 3;
/// A user's word found, and each of its sets counted.
const FIND: u64 = 5;
const COUNT: u64 = 3;
/// Values that are turned round together.
const SPAN: u64 = 1 << 16;

/// The pieces of one container.
pub(super) struct Split<'p, 'b> {
    pub(super) rows: Side<'p, 'b>,
    pub(super) columns: Side<'p, 'b>,
    pub(super) way: Way,
}

/// Small ones and large ones apart.
pub(super) struct Side<'p, 'b> {
    pub(super) sparse: Vec<&'p Piece<'b>>,
    pub(super) dense: Vec<&'p Piece<'b>>,
}

/// How small ones meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Each row as words in which the columns' values are looked up.
    LookUp,
    /// The columns of each user, in which the rows' values are looked up.
    Turn,
}

/// Sums over the pieces of one side.
#[derive(Clone, Copy, Default)]
struct Sums {
    pieces: u64,
    values: u64,
    /// What it costs to make words of them.
    expand: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.pieces += other.pieces;
        self.values += other.values;
        self.expand += other.expand;
    }
}

impl<'p, 'b> Split<'p, 'b> {
    pub(super) fn of(rows: &'p [Piece<'b>], columns: &'p [Piece<'b>]) -> Self {
        let (of_rows, of_columns) = (classes(rows), classes(columns));
        let costs = (0..LIMITS).map(|limit| {
            let ((sparse_rows, dense_rows), (sparse_columns, dense_columns)) =
                (parts(&of_rows, limit), parts(&of_columns, limit));
            let words = dense_rows.expand
                + dense_columns.expand
                + dense_rows.pieces * dense_columns.pieces * WORDS_PAIR;
            let mixed = BIT
                * (dense_rows.pieces * sparse_columns.values
                    + dense_columns.pieces * sparse_rows.values);
            let (sparse, way) = sparse_cost(sparse_rows, sparse_columns);
            (words + mixed + sparse, limit, way)
        });
        let (_, limit, way) = costs.min_by_key(|(cost, ..)| *cost).unwrap_or((0, 0, Way::LookUp));
        Self { rows: Side::of(rows, limit), columns: Side::of(columns, limit), way }
    }
}

impl<'p, 'b> Side<'p, 'b> {
    fn of(pieces: &'p [Piece<'b>], limit: usize) -> Self {
        let (dense, sparse) = pieces.iter().partition(|piece| piece.count > LEAST << limit);
        Self { sparse, dense }
    }
}

fn sparse_cost(rows: Sums, columns: Sums) -> (u64, Way) {
    if rows.pieces == 0 || columns.pieces == 0 {
        return (0, Way::LookUp);
    }
    let look_up = rows.expand + BIT * rows.pieces * columns.values;
    let groups = columns.values.div_ceil(SPAN);
    let turn = groups * (CLEAR + FIND * rows.values)
        + TURN * columns.values
        + COUNT * rows.values * columns.values / SPAN;
    if look_up <= turn { (look_up, Way::LookUp) } else { (turn, Way::Turn) }
}

/// The sums of those that each limit adds to the sparse ones, and of the rest.
fn classes(pieces: &[Piece<'_>]) -> [Sums; LIMITS + 1] {
    let mut classes = [Sums::default(); LIMITS + 1];
    for piece in pieces {
        let class = (piece.count.saturating_sub(1) / LEAST)
            .checked_ilog2()
            .map_or(0, |log| log as usize + 1)
            .min(LIMITS);
        let values = piece.count as u64;
        let expand = match piece.container {
            Container::Array(_) => EXPAND + BIT * values,
            Container::Runs(runs) => EXPAND + BIT * runs.len() as u64,
            Container::Bits(_) => 0,
        };
        classes[class].add(Sums { pieces: 1, values, expand });
    }
    classes
}

/// Sparse and dense ones.
fn parts(classes: &[Sums; LIMITS + 1], limit: usize) -> (Sums, Sums) {
    let (mut sparse, mut dense) = (Sums::default(), Sums::default());
    for (class, sums) in classes.iter().enumerate() {
        if class <= limit { sparse.add(*sums) } else { dense.add(*sums) }
    }
    (sparse, dense)
}
