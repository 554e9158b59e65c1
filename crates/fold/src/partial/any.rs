use super::bytes::{Bytes, CellKind, take};
use super::{
    Count, Distinct, Edge, Extreme, Finished, Frequency, Members, Partial, Quotients, Sessions,
    Sum, Trace,
};
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
    Distinct(Distinct),
    Sessions(Sessions),
    Trace(Trace),
}

macro_rules! each {
    ($partial:expr, $inner:ident => $call:expr, $($other:pat => $else:expr),+) => {
        match $partial {
            $($other => $else,)+
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
pub(crate) enum PartialForm {
    Aggregate { function: AggregateFunction, cells: CellKind },
    Distinct { cells: CellKind, bound: usize },
    Sessions { gap_ms: i64 },
    Trace { keyed: bool },
}

impl PartialForm {
    /// Whether its bytes begin with a number that is mostly small, the lead: it is written with the
    /// tile's, so that both are one byte.
    pub(crate) fn leads(self) -> bool {
        use AggregateFunction as F;
        match self {
            Self::Aggregate { function: F::Count, .. } => true,
            Self::Aggregate { function: F::Sum | F::Avg, cells } => cells == CellKind::Number,
            _ => false,
        }
    }
}

impl AnyPartial {
    /// The number that is written before the rest; 0 for those of a form that has none.
    pub(crate) fn lead(&self) -> u128 {
        match self {
            Self::Count(count) => count.lead(),
            Self::Sum(sum) => sum.lead(),
            _ => 0,
        }
    }

    /// Writes what is not in the lead; [`AnyPartial::read`] is told the form.
    pub(crate) fn write(&self, form: PartialForm, out: &mut Vec<u8>) {
        let keyed = form == PartialForm::Trace { keyed: true };
        each!(self, partial => partial.write(out),
            AnyPartial::Count(_) => (),
            AnyPartial::Sum(sum) => sum.write(out),
            AnyPartial::Distinct(distinct) => distinct.write(out),
            AnyPartial::Sessions(sessions) => sessions.write(out),
            AnyPartial::Trace(trace) => trace.write(keyed, out));
    }

    /// Reads the next partial aggregate; `None` for bytes that none of this form has written.
    pub(crate) fn read(form: PartialForm, lead: u128, from: &mut &[u8]) -> Option<Self> {
        use AggregateFunction as F;
        let (function, cells) = match form {
            PartialForm::Aggregate { function, cells } => (function, cells),
            PartialForm::Distinct { cells, .. } => {
                return Some(Self::Distinct(Distinct::read(cells, from)?));
            }
            PartialForm::Sessions { .. } => return Some(Self::Sessions(Sessions::read(from)?)),
            PartialForm::Trace { keyed } => return Some(Self::Trace(Trace::read(keyed, from)?)),
        };
        Some(match function {
            F::Count => Self::Count(Count::of_lead(lead)?),
            F::Sum | F::Avg if cells == CellKind::Quotient => {
                Self::Quotients(Bytes::read(cells, from)?)
            }
            F::Sum | F::Avg => Self::Sum(Sum::read(lead, from)?),
            F::Min => Self::Least(Bytes::read(cells, from)?),
            F::Max => Self::Greatest(Bytes::read(cells, from)?),
            F::First => Self::First(Bytes::read(cells, from)?),
            F::Last => Self::Last(Bytes::read(cells, from)?),
            F::CountDistinct | F::Set => Self::Members(Bytes::read(cells, from)?),
            F::MostFrequent => Self::Frequency(Bytes::read(cells, from)?),
        })
    }

    /// Passes over the next one, behind its lead.
    pub(crate) fn skip(form: PartialForm, from: &mut &[u8]) -> Option<()> {
        use AggregateFunction as F;
        match form {
            PartialForm::Aggregate { function: F::Count, .. } => Some(()),
            PartialForm::Aggregate { function: F::Sum | F::Avg, cells: CellKind::Number } => {
                take(from).map(drop)
            }
            _ => Self::read(form, 0, from).map(drop),
        }
    }

    /// Both are of one form.
    pub(crate) fn merge(&mut self, form: PartialForm, other: &Self) {
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
            (Self::Distinct(a), Self::Distinct(b)) => {
                if let PartialForm::Distinct { bound, .. } = form {
                    a.merge(b, bound);
                }
            }
            (Self::Sessions(a), Self::Sessions(b)) => {
                if let PartialForm::Sessions { gap_ms } = form {
                    a.merge(b, gap_ms);
                }
            }
            (Self::Trace(a), Self::Trace(b)) => a.merge(b),
            _ => debug_assert!(false, "states of two functions are merged"),
        }
    }

    /// How many different values both have, where this is a count of such and counting them takes
    /// neither apart.
    pub(crate) fn count_with(&self, form: PartialForm, other: &Self) -> Option<u64> {
        match (form, self, other) {
            (PartialForm::Distinct { bound, .. }, Self::Distinct(a), Self::Distinct(b)) => {
                a.exact_with(b, bound)
            }
            (
                PartialForm::Aggregate { function: AggregateFunction::CountDistinct, .. },
                Self::Members(a),
                Self::Members(b),
            ) => Some(a.len_with(b) as u64),
            _ => None,
        }
    }

    /// What an aggregate's comes to; of another tag nothing.
    pub(crate) fn finish(self) -> Finished<Cell> {
        each!(self, partial => Partial::finish(partial, &Natural),
            AnyPartial::Count(count) => Partial::<Cell>::finish(count, &Natural),
            AnyPartial::Sum(sum) => Partial::<Cell>::finish(sum, &Natural),
            AnyPartial::Distinct(distinct) => distinct.finish(),
            AnyPartial::Sessions(_) | AnyPartial::Trace(_) => Finished::Nothing)
    }
}
