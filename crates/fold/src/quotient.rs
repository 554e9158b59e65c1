use std::cmp::Ordering;
use taghouse_rules::Rational;

/// A fraction in lowest terms, its bottom positive: an event's number that no whole units hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Quotient {
    pub(crate) top: i128,
    pub(crate) bottom: i128,
}

impl Quotient {
    /// `None` where 128 bits do not hold it.
    pub(crate) fn of(number: &Rational) -> Option<Self> {
        number.lowest_terms().map(|(top, bottom)| Self { top, bottom })
    }

    pub(crate) fn rational(self) -> Rational {
        Rational::from_fraction(self.top, self.bottom)
    }
}

impl Ord for Quotient {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rational().cmp(&other.rational())
    }
}

impl PartialOrd for Quotient {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
