//! Partial aggregates: what is kept of a user's events of one tile, one type for each function.
//! Steps and merges commute.

mod any;
mod bytes;
mod count;
mod edge;
mod extreme;
mod frequency;
mod members;
mod quotients;
mod sessions;
mod sketch;
mod sum;
mod trace;

pub(crate) use any::{AnyPartial, PartialForm};
pub(crate) use bytes::{CellKind, put, put_bytes, put_signed, take, take_signed, take_text};
pub(crate) use count::Count;
pub(crate) use edge::Edge;
pub(crate) use extreme::Extreme;
pub(crate) use frequency::Frequency;
pub(crate) use members::Members;
pub(crate) use quotients::Quotients;
pub(crate) use sessions::{SessionSpan, Sessions};
pub(crate) use sketch::{Distinct, REGISTERS, Sketch};
pub(crate) use sum::Sum;
pub(crate) use trace::{MAX_MARKS, Mark, Trace, id_hash};

use crate::cell::Cell;
use crate::quotient::Quotient;
use std::cmp::Ordering;
use taghouse_model::TimestampMs;

/// A text by its number in a worker's `Texts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(pub(crate) u32);

/// An event's place in the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp<'a> {
    pub(crate) time_ms: TimestampMs,
    pub(crate) message_id: &'a str,
}

/// How the values that keys stand for are ordered. (The order of keys themselves may be another:
/// text numbers.)
pub(crate) trait Order<K> {
    fn compare(&self, a: &K, b: &K) -> Ordering;
}

/// What a partial aggregate comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finished<K> {
    /// There was no event.
    Nothing,
    /// So many events or values.
    Count(u64),
    /// The sum of so many numbers, in units; `None`: over 128 bits.
    Sum(Option<i128>, u64),
    /// So many fractions, those of one bottom added up; `None`: over 128 bits.
    Quotients(Option<Vec<Quotient>>, u64),
    /// A single value.
    Key(K),
    /// Different values, in the order of keys.
    Keys(Vec<K>),
}

/// A partial aggregate over values given as keys.
pub(crate) trait Partial<K>: Clone + Default {
    /// Whether stamps matter.
    const ORDERED: bool = false;

    /// Takes in one value.
    fn step(&mut self, stamp: Stamp<'_>, key: K, order: &impl Order<K>);

    /// Takes in what another has.
    fn merge(&mut self, other: &Self, order: &impl Order<K>);

    /// What it comes to.
    fn finish(self, order: &impl Order<K>) -> Finished<K>;

    /// The same over the cells that its keys stand for; `None` if it took nothing in.
    fn into_cells(self, cell: impl Fn(K) -> Cell) -> Option<AnyPartial>;
}
