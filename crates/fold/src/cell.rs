use crate::partial::{Order, Text};
use crate::quotient::Quotient;
use crate::texts::Texts;
use std::cmp::Ordering;
use std::sync::Arc;

/// What an aggregate keeps of an event's value in the stream: a number in units, or a text. Batches
/// keep plain numbers and text ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cell {
    /// In units of 10^-scale; days, milliseconds, 0 and 1.
    Number(i128),
    /// A number that units do not hold.
    Quotient(Quotient),
    /// As it is.
    Text(Arc<str>),
}

/// Keys that are ordered as their values are.
pub(crate) struct Natural;

impl<K: Ord> Order<K> for Natural {
    fn compare(&self, a: &K, b: &K) -> Ordering {
        a.cmp(b)
    }
}

impl Order<Text> for Texts {
    fn compare(&self, a: &Text, b: &Text) -> Ordering {
        if a == b { Ordering::Equal } else { self.get(*a).cmp(self.get(*b)) }
    }
}

impl Order<Option<Text>> for Texts {
    fn compare(&self, a: &Option<Text>, b: &Option<Text>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => self.compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}
