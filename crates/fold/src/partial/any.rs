use super::bytes::{Bytes, CellKind, take};
use super::{Count, Edge, Extreme, Finished, Frequency, Members, Partial, Quotients, Sum};
use crate::cell::{Cell, Natural};
use taghouse_rules::AggregateFunction;

/// A partial aggregate of any function, over cells: as the stream keeps them. (A step keeps vectors
/// of one kind.)
#[derive(Debug, Clone)]
pub(crate) enum AnyPartial {
    Count(Count),
    Sum(Sum),
    Quotients(Quotients),
    Least(Extreme<Cell, false>),
    Greatest(Extreme<Cell, true>),
    First(Edge<Cell, false>),
    Last(Edge<Cell, true>),
    Members(Members<Cell>),
    Frequency(Frequency<Cell>),
}

macro_rules! each {
    ($partial:expr, $inner:ident => $call:expr) => {
        match $partial {
            AnyPartial::Count($inner) => $call,
            AnyPartial::Sum($inner) => $call,
            AnyPartial::Quotients($inner) => $call,
            AnyPartial::Least($inner) => $call,
            AnyPartial::Greatest($inner) => $call,
            AnyPartial::First($inner) => $call,
            AnyPartial::Last($inner) => $call,
            AnyPartial::Members($inner) => $call,
            AnyPartial::Frequency($inner) => $call,
        }
    };
}

/// What a tag's partial aggregates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartialForm {
    pub(crate) function: AggregateFunction,
    pub(crate) cells: CellKind,
}

impl AnyPartial {
    /// Writes it; [`AnyPartial::read`] is told the form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        each!(self, partial => partial.write(out));
    }

    /// Reads the next partial aggregate; `None` for bytes that none of this form has written.
    pub(crate) fn read(form: PartialForm, from: &mut &[u8]) -> Option<Self> {
        use AggregateFunction as F;
        let cells = form.cells;
        Some(match form.function {
            F::Count => Self::Count(Bytes::read(cells, from)?),
            F::Sum | F::Avg if cells == CellKind::Quotient => {
                Self::Quotients(Bytes::read(cells, from)?)
            }
            F::Sum | F::Avg => Self::Sum(Bytes::read(cells, from)?),
            F::Min => Self::Least(Bytes::read(cells, from)?),
            F::Max => Self::Greatest(Bytes::read(cells, from)?),
            F::First => Self::First(Bytes::read(cells, from)?),
            F::Last => Self::Last(Bytes::read(cells, from)?),
            F::CountDistinct | F::Set => Self::Members(Bytes::read(cells, from)?),
            F::MostFrequent => Self::Frequency(Bytes::read(cells, from)?),
        })
    }

    /// Passes over the next one.
    pub(crate) fn skip(form: PartialForm, from: &mut &[u8]) -> Option<()> {
        use AggregateFunction as F;
        match form.function {
            F::Count => take(from).map(drop),
            F::Sum | F::Avg if form.cells == CellKind::Number => {
                take(from)?;
                take(from).map(drop)
            }
            _ => Self::read(form, from).map(drop),
        }
    }

    /// Both are of one function.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Partial::<Cell>::merge(a, b, &Natural),
            (Self::Sum(a), Self::Sum(b)) => Partial::<Cell>::merge(a, b, &Natural),
            (Self::Quotients(a), Self::Quotients(b)) => Partial::<Cell>::merge(a, b, &Natural),
            (Self::Least(a), Self::Least(b)) => a.merge(b, &Natural),
            (Self::Greatest(a), Self::Greatest(b)) => a.merge(b, &Natural),
            (Self::First(a), Self::First(b)) => a.merge(b, &Natural),
            (Self::Last(a), Self::Last(b)) => a.merge(b, &Natural),
            (Self::Members(a), Self::Members(b)) => a.merge(b, &Natural),
            (Self::Frequency(a), Self::Frequency(b)) => a.merge(b, &Natural),
            _ => debug_assert!(false, "states of two functions are merged"),
        }
    }

    pub(crate) fn finish(self) -> Finished<Cell> {
        each!(self, partial => Partial::finish(partial, &Natural))
    }
}
