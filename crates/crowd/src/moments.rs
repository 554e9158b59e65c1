//! Means, variances and covariance of pairs of numbers, in one pass.
//!
//! Updated and merged without the loss of digits that sums of squares have: Chan, Golub and LeVeque,
//! "Algorithms for computing the sample variance", The American Statistician 37 (1983), 242-247.

/// The moments of pairs (y, x).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    count: u64,
    mean_y: f64,
    mean_x: f64,
    /// Sums of squares and of products, about the means.
    yy: f64,
    xx: f64,
    xy: f64,
}

impl Moments {
    /// Adds a pair.
    pub(crate) fn add(&mut self, y: f64, x: f64) {
        self.count += 1;
        let count = self.count as f64;
        let (from_y, from_x) = (y - self.mean_y, x - self.mean_x);
        self.mean_y += from_y / count;
        self.mean_x += from_x / count;
        self.yy += from_y * (y - self.mean_y);
        self.xx += from_x * (x - self.mean_x);
        self.xy += from_y * (x - self.mean_x);
    }

    /// Of both.
    pub(crate) fn with(self, other: &Self) -> Self {
        let count = self.count + other.count;
        if count == 0 {
            return self;
        }
        let (own, all) = (other.count as f64, count as f64);
        let (from_y, from_x) = (other.mean_y - self.mean_y, other.mean_x - self.mean_x);
        let weight = self.count as f64 * own / all;
        Self {
            count,
            mean_y: self.mean_y + from_y * own / all,
            mean_x: self.mean_x + from_x * own / all,
            yy: self.yy + other.yy + from_y * from_y * weight,
            xx: self.xx + other.xx + from_x * from_x * weight,
            xy: self.xy + other.xy + from_y * from_x * weight,
        }
    }

    /// How many pairs.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The mean of y; 0 of nothing.
    pub(crate) fn mean_y(&self) -> f64 {
        self.mean_y
    }

    /// The mean of x; 0 of nothing.
    pub(crate) fn mean_x(&self) -> f64 {
        self.mean_x
    }

    /// How much y grows with x, by least squares; 0 where x is always the same.
    pub(crate) fn slope(&self) -> f64 {
        if self.xx > 0.0 { self.xy / self.xx } else { 0.0 }
    }

    /// The share of the variance of y that x explains, 0 to 1.
    pub(crate) fn explained(&self) -> f64 {
        let both = self.xx * self.yy;
        if both > 0.0 { (self.xy * self.xy / both).min(1.0) } else { 0.0 }
    }

    /// The sample variance of `y - factor * x`; `None`: of fewer than two pairs.
    pub(crate) fn corrected_variance(&self, factor: f64) -> Option<f64> {
        let squares = self.yy - 2.0 * factor * self.xy + factor * factor * self.xx;
        (self.count > 1).then(|| squares.max(0.0) / (self.count - 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pairs: &[(f64, f64)]) -> Moments {
        let mut moments = Moments::default();
        pairs.iter().for_each(|(y, x)| moments.add(*y, *x));
        moments
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-6 * (1.0 + one.abs().max(other.abs()))
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_definitions_however_they_are_put_together(
            pairs in proptest::collection::vec((-1e3..1e3, -1e3..1e3), 2..60),
            cut in 0usize..60,
            factor in -2.0..2.0,
        ) {
            let (one, other) = pairs.split_at(cut.min(pairs.len()));
            let found = of(one).with(&of(other));
            let count = pairs.len() as f64;
            let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
            let (y, x) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
            let corrected = |pair: &(f64, f64)| pair.0 - factor * pair.1;
            let middle = mean(&corrected);
            let variance = pairs.iter().map(|p| (corrected(p) - middle).powi(2)).sum::<f64>();
            prop_assert_eq!(found.count(), pairs.len() as u64);
            prop_assert!(near(found.mean_y(), y) && near(found.mean_x(), x));
            let expected = variance / (count - 1.0);
            prop_assert!(near(found.corrected_variance(factor).unwrap(), expected));
            let xx: f64 = pairs.iter().map(|pair| (pair.1 - x).powi(2)).sum();
            let xy: f64 = pairs.iter().map(|pair| (pair.0 - y) * (pair.1 - x)).sum();
            if xx > 1.0 {
                prop_assert!(near(found.slope(), xy / xx));
            }
        }
    }
}
