//! Numbers of users, as exact as an app shows them.
//!
//! Where an app has a smallest audience `k`, numbers are rounded down to multiples of it. A number
//! under `k` is then 0, as that of nobody is, and two numbers that differ by a few users are mostly
//! equal, so that the difference of two questions tells little of the users in between. What is
//! computed of users' values (sums, extremes, quantiles near the ends) is left out.

use taghouse_crowd::{CrowdVersion, Waits};

/// How numbers of users are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rounding(Option<u64>);

impl Rounding {
    /// Down to multiples of a number; `None`: not at all.
    pub(crate) fn down_to(multiple: Option<u64>) -> Self {
        Self(multiple.filter(|multiple| *multiple > 1))
    }

    pub(crate) fn is_exact(self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn multiple(self) -> Option<u64> {
        self.0
    }

    pub(crate) fn of(self, users: u64) -> u64 {
        self.0.map_or(users, |multiple| users - users % multiple)
    }

    /// Whether a number under the smallest one would tell that somebody is there.
    pub(crate) fn shows(self, users: u64) -> bool {
        self.is_exact() || self.of(users) > 0
    }

    /// Something that is computed of exact numbers.
    pub(crate) fn unless<T>(self, exact: T, rounded: T) -> T {
        if self.is_exact() { exact } else { rounded }
    }

    /// A share of rounded numbers.
    pub(crate) fn share(self, exact: f64, part: u64, whole: u64) -> f64 {
        match (self.0, self.of(whole)) {
            (None, _) => exact,
            (Some(_), 0) => 0.0,
            (Some(_), whole) => self.of(part) as f64 / whole as f64,
        }
    }

    /// Whether a quantile of so many values has enough of them on either side.
    pub(crate) fn shows_quantile(self, quantile: f64, values: u64) -> bool {
        let Some(least) = self.0 else { return true };
        let side = |share: f64| share * values as f64 >= least as f64;
        side(quantile) && side(1.0 - quantile)
    }

    /// Why a version waits, which may name exact numbers.
    pub(crate) fn reason(self, waits: &Waits) -> String {
        self.unless(waits.to_string(), "it waits for somebody to publish it".to_owned())
    }

    /// A version with rounded numbers.
    pub(crate) fn version(self, version: CrowdVersion) -> CrowdVersion {
        if self.is_exact() {
            return version;
        }
        CrowdVersion { size: self.of(version.size), ids: None, ..version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_down() {
        let twenty = Rounding::down_to(Some(20));
        for (users, shown) in [(0, 0), (1, 0), (19, 0), (20, 20), (39, 20), (40, 40)] {
            assert_eq!(twenty.of(users), shown);
            assert_eq!(Rounding::default().of(users), users);
        }
        assert_eq!(twenty.share(0.31, 31, 100), 0.2);
        assert_eq!(twenty.share(0.5, 3, 6), 0.0);
        for (quantile, values, shown) in [
            (0.0, 1000, false),
            (0.02, 1000, true),
            (0.01, 1000, false),
            (0.99, 1000, false),
            (0.5, 39, false),
        ] {
            assert_eq!(twenty.shows_quantile(quantile, values), shown, "{quantile} of {values}");
        }
    }
}
