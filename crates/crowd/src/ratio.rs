//! The ratio of two shares, with an interval.
//!
//! For two independent samples, `a` of `m` and `b` of `n`, the logarithm of the ratio `(a / m) / (b
//! / n)` is about normal, with variance `1/a - 1/m + 1/b - 1/n`: Katz, Baptista, Azen, Pike,
//! "Obtaining confidence intervals for the risk ratio in cohort studies", Biometrics 34
//! (1978), 469-474, method C. A crowd and its base are rarely independent: most often one lies
//! within the other. So the users are cut into three parts that are: those of the crowd only, `x`
//! of `i`; of both, `y` of `j`; of the base only, `z` of `k`. With `a = x + y` and `b = y + z`, the
//! delta method (the first-order variance of `ln(x + y) - ln(y + z)`, each part binomial) gives
//!
//! ```text
//! x (1 - x/i) / a²  +  y (1 - y/j) (1/a - 1/b)²  +  z (1 - z/k) / b²
//! ```
//!
//! which is Katz's variance where nobody is in both, and 0 where crowd and base are the same users.
//!
//! 0 has no logarithm: where a part has nobody with the value, or the variance would come
//! to 0 because everybody has it, every part gets half a user with the value and half a user
//! without (Haldane, Annals of Human Genetics 20 (1956), 309-311; Anscombe, Biometrika 43
//! (1956), 461-464). Only the interval is corrected; the ratio stays that of the counts.

use std::ops::Add;

/// The quantile of the normal distribution that leaves 2.5% above it.
const Z_95: f64 = 1.959_963_984_540_054;

/// Of `of` users, `with` have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Proportion {
    pub(crate) with: u64,
    pub(crate) of: u64,
}

/// The users of a crowd and of its base, in disjoint parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Proportions {
    pub(crate) crowd_only: Proportion,
    pub(crate) both: Proportion,
    pub(crate) base_only: Proportion,
}

/// A ratio of shares, and its confidence interval given the number of users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The share in the crowd divided by the share in the base; `None`: nobody in the base has the
    /// value, or one of them is empty.
    pub ratio: Option<f64>,
    /// The lower end of the 95% interval; `None`: one of them is empty.
    pub low: Option<f64>,
    /// The upper end; `None`: there is none, for nobody in the base has the value, or one of them
    /// is empty.
    pub high: Option<f64>,
    /// The logarithm of the ratio in units of its standard error: beyond ±1.96, the interval does
    /// not contain 1. 0 if both are the same users.
    pub score: f64,
}

impl Proportion {
    fn variance(self, correction: f64) -> f64 {
        let Corrected { with, of } = self.corrected(correction);
        if of > 0.0 { with * (1.0 - with / of) } else { 0.0 }
    }

    /// An empty part stays empty.
    fn corrected(self, correction: f64) -> Corrected {
        if self.of == 0 {
            return Corrected { with: 0.0, of: 0.0 };
        }
        Corrected { with: self.with as f64 + correction, of: self.of as f64 + 2.0 * correction }
    }
}

impl Proportions {
    /// The ratio of the share in the crowd to the share in the base.
    pub(crate) fn interval(&self) -> Interval {
        let crowd = self.crowd(0.0);
        let base = self.base(0.0);
        if crowd.of == 0.0 || base.of == 0.0 {
            return Interval { ratio: None, low: None, high: None, score: 0.0 };
        }
        let ratio = (base.with > 0.0).then(|| crowd.share() / base.share());
        if self.crowd_only.of == 0 && self.base_only.of == 0 {
            return Interval { ratio, low: ratio, high: ratio, score: 0.0 };
        }
        let none = [self.crowd_only, self.both, self.base_only]
            .iter()
            .any(|part| part.of > 0 && part.with == 0);
        let correction = if none || self.variance(0.0) <= 0.0 { 0.5 } else { 0.0 };
        let corrected_ratio = self.crowd(correction).share() / self.base(correction).share();
        let log_ratio = corrected_ratio.ln();
        let error = self.variance(correction).sqrt();
        let (low, high) = ((log_ratio - Z_95 * error).exp(), (log_ratio + Z_95 * error).exp());
        Interval {
            ratio,
            // The correction may move the interval off the ratio itself where that is 0 or has no
            // end.
            low: Some(ratio.map_or(low, |ratio| low.min(ratio))),
            high: ratio.map(|ratio| high.max(ratio)),
            score: if error > 0.0 { log_ratio / error } else { 0.0 },
        }
    }

    fn crowd(&self, correction: f64) -> Corrected {
        self.crowd_only.corrected(correction) + self.both.corrected(correction)
    }

    fn base(&self, correction: f64) -> Corrected {
        self.both.corrected(correction) + self.base_only.corrected(correction)
    }

    fn variance(&self, correction: f64) -> f64 {
        let (a, b) = (self.crowd(correction).with, self.base(correction).with);
        self.crowd_only.variance(correction) / (a * a)
            + self.both.variance(correction) * (1.0 / a - 1.0 / b).powi(2)
            + self.base_only.variance(correction) / (b * b)
    }
}

/// A proportion after the correction for empty cells.
#[derive(Clone, Copy)]
struct Corrected {
    with: f64,
    of: f64,
}

impl Corrected {
    fn share(self) -> f64 {
        self.with / self.of
    }
}

impl Add for Corrected {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { with: self.with + other.with, of: self.of + other.of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(with: u64, of: u64) -> Proportion {
        Proportion { with, of }
    }

    fn parts(crowd_only: (u64, u64), both: (u64, u64), base_only: (u64, u64)) -> Proportions {
        let [crowd_only, both, base_only] =
            [crowd_only, both, base_only].map(|(with, of)| part(with, of));
        Proportions { crowd_only, both, base_only }
    }

    fn close(actual: Option<f64>, expected: f64) -> bool {
        actual.is_some_and(|actual| (actual - expected).abs() < 5e-5 * expected.abs().max(1.0))
    }

    /// By hand, with the formulas of this file's head; the first is printed so in a textbook.
    #[test]
    fn intervals_are_those_of_the_books() {
        let cases = [
            // Agresti, An Introduction to Categorical Data Analysis, 2.2.2: heart attacks, 189 of
            // 11,034 with placebo and 104 of 11,037 with aspirin: 1.82, from 1.43 to
            // 2.30. More digits: ln = 0.597626, error = sqrt(1/189 - 1/11034 + 1/104 - 1/11037) =
            // 0.121347.
            (parts((189, 11_034), (0, 0), (104, 11_037)), 1.81780, 1.43303, 2.30588),
            // ln 1.5 = 0.405465, error = sqrt(1/30 - 1/100 + 1/20 - 1/100) = 0.251661: 0.405465 ±
            // 0.493247.
            (parts((30, 100), (0, 0), (20, 100)), 1.5, 0.915963, 2.456432),
            // Population its base: variance 30 · 0.7 · (1/30 - 1/100)² + 70 · (1 - 70/900) / 100²
            // = 0.0114333 + 0.0064556, error 0.133749.
            (parts((0, 0), (30, 100), (70, 900)), 3.0, 2.308220, 3.899111),
            // Nobody has it: 0.5 of 11 by 5.5 of 11, variance 0.5 (1 - 0.5/11) / 0.5² + 5.5 · 0.5
            // / 5.5² = 1.909091 + 0.090909 = 2.
            (parts((0, 10), (0, 0), (5, 10)), 0.0, 0.0, 1.453410),
        ];
        for (parts, ratio, low, high) in cases {
            let interval = parts.interval();
            assert!(
                close(interval.ratio, ratio)
                    && close(interval.low, low)
                    && close(interval.high, high),
                "{parts:?}: {interval:?}"
            );
        }
    }

    #[test]
    fn the_ends_of_the_world() {
        let same = parts((0, 0), (3, 10), (0, 0)).interval();
        assert_eq!(
            same,
            Interval { ratio: Some(1.0), low: Some(1.0), high: Some(1.0), score: 0.0 }
        );
        let nobody = parts((0, 0), (0, 0), (3, 10)).interval();
        assert_eq!(nobody, Interval { ratio: None, low: None, high: None, score: 0.0 });
        let not_in_base = parts((4, 10), (0, 0), (0, 10)).interval();
        assert!(
            not_in_base.ratio.is_none()
                && not_in_base.high.is_none()
                && not_in_base.low.unwrap() > 0.0,
            "{not_in_base:?}"
        );
        // The value defines the crowd: nobody else of the base has it. The interval is not a point
        // all the same.
        let defining = parts((0, 0), (10, 10), (0, 90)).interval();
        assert!(
            close(defining.ratio, 10.0) && defining.low.unwrap() < 10.0 && defining.score > 1.96,
            "{defining:?}"
        );
        let everybody = parts((10, 10), (0, 0), (10, 10)).interval();
        assert!(
            close(everybody.ratio, 1.0)
                && everybody.low.unwrap() < 1.0
                && everybody.high.unwrap() > 1.0,
            "{everybody:?}"
        );
        assert!(everybody.score.abs() < 1e-9);
    }

    /// Shares are drawn again and again from a known world; the true ratio lies in about 95 of 100
    /// intervals.
    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut chance = move |share: f64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 <= share
        };
        // Sizes and shares of the three parts.
        for worlds in [
            [(0, 0.0), (200, 0.3), (800, 0.1)],
            [(150, 0.2), (0, 0.0), (400, 0.25)],
            [(100, 0.4), (100, 0.3), (300, 0.2)],
        ] {
            let expected = |a: (u64, f64), b: (u64, f64)| {
                (a.0 as f64 * a.1 + b.0 as f64 * b.1) / (a.0 + b.0) as f64
            };
            let truth = expected(worlds[0], worlds[1]) / expected(worlds[1], worlds[2]);
            let held = (0..4000).filter(|_| {
                let [crowd_only, both, base_only] = worlds
                    .map(|(of, share)| part((0..of).filter(|_| chance(share)).count() as u64, of));
                let interval = Proportions { crowd_only, both, base_only }.interval();
                interval.low.unwrap() <= truth && truth <= interval.high.unwrap()
            });
            let held = held.count();
            // Of 4,000 the standard deviation is 14; the approximation may be off by a percent.
            assert!((3720..=3880).contains(&held), "{held} of 4000 in {worlds:?}");
        }
    }
}
