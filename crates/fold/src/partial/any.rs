use super::{Count, Edge, Extreme, Finished, Frequency, Members, Partial, Quotients, Stamp, Sum};
use crate::cell::{Cell, Natural};
use taghouse_rules::AggregateFunction;

/// A partial aggregate of any function, over cells: the stream's. (Batches keep vectors of one
/// kind.)
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

impl AnyPartial {
    /// `quotients`: its cells are fractions.
    pub(crate) fn new(function: AggregateFunction, quotients: bool) -> Self {
        match function {
            AggregateFunction::Sum | AggregateFunction::Avg if quotients => {
                Self::Quotients(Quotients::default())
            }
            AggregateFunction::Count => Self::Count(Count::default()),
            AggregateFunction::Sum | AggregateFunction::Avg => Self::Sum(Sum::default()),
            AggregateFunction::Min => Self::Least(Extreme::default()),
            AggregateFunction::Max => Self::Greatest(Extreme::default()),
            AggregateFunction::First => Self::First(Edge::default()),
            AggregateFunction::Last => Self::Last(Edge::default()),
            AggregateFunction::CountDistinct | AggregateFunction::Set => {
                Self::Members(Members::default())
            }
            AggregateFunction::MostFrequent => Self::Frequency(Frequency::default()),
        }
    }

    pub(crate) fn step(&mut self, stamp: Stamp<'_>, cell: Cell) {
        each!(self, partial => Partial::step(partial, stamp, cell, &Natural));
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
