//! Exact numbers: quotients of whole numbers, as large as they get.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};
use rust_decimal::Decimal;
use std::cmp::Ordering;
use taghouse_model::Value;

/// A number of more bits than this, above or below the line, is too large to compute with: what an
/// expression makes stays bounded.
const MAX_BITS: u64 = 4096;

/// An exact number. Arithmetic never rounds; where a result would be too large to compute with,
/// there is none.
#[derive(Debug, Clone)]
pub struct Rational(Form);

#[derive(Debug, Clone)]
enum Form {
    /// The bottom is positive. Not always in lowest terms: that is only sought where 128 bits do
    /// not hold the result otherwise.
    Small { top: i128, bottom: i128 },
    /// In lowest terms.
    Large(Box<BigRational>),
}

use Form::{Large, Small};

impl Rational {
    /// The number that a value is; `None` for what is none, such as a text or a day.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(v) => Some(Self::from(*v)),
            Value::Decimal(v) => Some(Self::from(*v)),
            _ => None,
        }
    }

    /// `top / bottom`; the bottom must be positive.
    pub fn from_fraction(top: i128, bottom: i128) -> Self {
        debug_assert!(bottom > 0);
        Self(Small { top, bottom: bottom.max(1) })
    }

    /// The sum of fractions, given as top and positive bottom, over `divisor`: in whole units of
    /// 10^-scale, rounded half away from zero once it is whole. `None` where 128 bits do not
    /// hold them. However large the common bottom gets, no more than its digits are computed with.
    pub fn units_of_sum(
        fractions: impl Iterator<Item = (i128, i128)>,
        divisor: u64,
        scale: u8,
    ) -> Option<i128> {
        let mut sums: Vec<(BigInt, BigInt)> =
            fractions.map(|(top, bottom)| (top.into(), bottom.into())).collect();
        // By halves: numbers of like length are multiplied.
        while sums.len() > 1 {
            sums = sums
                .chunks(2)
                .map(|pair| match pair {
                    [(a, b), (c, d)] => (a * d + c * b, b * d),
                    other => other.first().cloned().unwrap_or_default(),
                })
                .collect();
        }
        let (top, bottom) = sums.pop()?;
        large_units(&top, &(bottom * divisor.max(1)), scale)
    }

    /// Top and bottom in lowest terms, the bottom positive; `None` where 128 bits do not hold them.
    pub fn lowest_terms(&self) -> Option<(i128, i128)> {
        match &self.0 {
            Small { top, bottom } => {
                // The divisor is at most the bottom, which is positive.
                let divisor = top.checked_abs().map_or(1, |top| top.gcd(bottom)).max(1);
                Some((top / divisor, bottom / divisor))
            }
            Large(large) => Some((large.numer().to_i128()?, large.denom().to_i128()?)),
        }
    }

    /// In whole units of 10^-scale, rounded half away from zero; `None` where 128 bits do not hold
    /// them.
    pub fn units(&self, scale: u8) -> Option<i128> {
        let power = 10_i128.checked_pow(u32::from(scale))?;
        if let Small { top, bottom } = &self.0
            && let Some(top) = top.checked_mul(power)
        {
            let (quotient, rest) = (top / bottom, (top % bottom).abs());
            return Some(if rest >= bottom - rest { quotient + top.signum() } else { quotient });
        }
        let large = self.large();
        large_units(large.numer(), large.denom(), scale)
    }

    /// As a text, however large: rounded half away from zero to `digits` after the point, without
    /// trailing zeros.
    pub fn text(&self, digits: u8) -> String {
        let large = self.large();
        let units = large_rounded(large.numer(), large.denom(), digits);
        let width = usize::from(digits) + 1;
        let all = format!("{:0>width$}", units.magnitude());

        let (whole, fraction) = all.split_at(all.len() - usize::from(digits));
        let fraction = fraction.trim_end_matches('0');
        let sign = if units.is_negative() { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    /// Rounded half away from zero to `digits` after the point.
    pub(crate) fn rounded(&self, digits: u8) -> Option<Self> {
        Some(Self(Small {
            top: self.units(digits)?,
            bottom: 10_i128.checked_pow(u32::from(digits))?,
        }))
    }

    /// The same number as a decimal, if it is one of 28 digits at most.
    pub(crate) fn decimal(&self) -> Option<Decimal> {
        let (top, bottom) = self.lowest_terms()?;
        let exact = |scale: u32| {
            let units = top.checked_mul(10_i128.checked_pow(scale)?)?;
            if units % bottom == 0 {
                Decimal::try_from_i128_with_scale(units / bottom, scale).ok()
            } else {
                None
            }
        };
        (0..=Decimal::MAX_SCALE).find_map(exact)
    }

    pub(crate) fn is_zero(&self) -> bool {
        matches!(self.0, Small { top: 0, .. })
    }

    pub(crate) fn negated(&self) -> Option<Self> {
        match &self.0 {
            Small { top, bottom } if *top != i128::MIN => {
                Some(Self(Small { top: -top, bottom: *bottom }))
            }
            _ => Self::from_large(-self.large()),
        }
    }

    pub(crate) fn abs(&self) -> Option<Self> {
        if self.is_negative() { self.negated() } else { Some(self.clone()) }
    }

    fn is_negative(&self) -> bool {
        match &self.0 {
            Small { top, .. } => *top < 0,
            Large(large) => large.is_negative(),
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Option<Self> {
        match self.over_one_bottom(other) {
            Some((a, b, bottom)) if a.checked_add(b).is_some() => {
                Some(Self(Small { top: a + b, bottom }))
            }
            _ => Self::from_large(self.large() + other.large()),
        }
    }

    pub(crate) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&other.negated()?)
    }

    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        if let (Small { top: a, bottom: b }, Small { top: c, bottom: d }) = (&self.0, &other.0)
            && let (Some(top), Some(bottom)) = (a.checked_mul(*c), b.checked_mul(*d))
        {
            return Some(Self(Small { top, bottom }));
        }
        Self::from_large(self.large() * other.large())
    }

    /// `None` also where `other` is zero.
    pub(crate) fn over(&self, other: &Self) -> Option<Self> {
        match &other.0 {
            Small { top: 0, .. } => None,
            Small { top, bottom } if *top != i128::MIN => {
                let flipped = Small { top: bottom * top.signum(), bottom: top.abs() };
                self.times(&Self(flipped))
            }
            _ => Self::from_large(self.large() / other.large()),
        }
    }

    /// Both tops over one bottom, where 128 bits hold that.
    fn over_one_bottom(&self, other: &Self) -> Option<(i128, i128, i128)> {
        let (Small { top: a, bottom: b }, Small { top: c, bottom: d }) = (&self.0, &other.0) else {
            return None;
        };
        if b == d {
            return Some((*a, *c, *b));
        }
        // Mostly powers of ten.
        if d % b == 0 {
            return Some((a.checked_mul(d / b)?, *c, *d));
        }
        if b % d == 0 {
            return Some((*a, c.checked_mul(b / d)?, *b));
        }
        Some((a.checked_mul(*d)?, c.checked_mul(*b)?, b.checked_mul(*d)?))
    }

    fn large(&self) -> BigRational {
        match &self.0 {
            Small { top, bottom } => BigRational::new(BigInt::from(*top), BigInt::from(*bottom)),
            Large(large) => (**large).clone(),
        }
    }

    fn from_large(large: BigRational) -> Option<Self> {
        if let (Some(top), Some(bottom)) = (large.numer().to_i128(), large.denom().to_i128()) {
            return Some(Self(Small { top, bottom }));
        }
        (large.numer().bits().max(large.denom().bits()) <= MAX_BITS)
            .then(|| Self(Large(Box::new(large))))
    }
}

fn large_units(top: &BigInt, bottom: &BigInt, scale: u8) -> Option<i128> {
    large_rounded(top, bottom, scale).to_i128()
}

fn large_rounded(top: &BigInt, bottom: &BigInt, scale: u8) -> BigInt {
    let (quotient, rest) = (top * BigInt::from(10).pow(u32::from(scale))).div_rem(bottom);
    let (up, rest) = (rest.signum(), rest.abs());
    if &rest + &rest >= *bottom { quotient + up } else { quotient }
}

impl From<i64> for Rational {
    fn from(value: i64) -> Self {
        Self(Small { top: i128::from(value), bottom: 1 })
    }
}

impl From<Decimal> for Rational {
    fn from(value: Decimal) -> Self {
        // A decimal has 28 digits after the point at most.
        Self(Small { top: value.mantissa(), bottom: 10_i128.pow(value.scale()) })
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.over_one_bottom(other) {
            Some((a, b, _)) => a.cmp(&b),
            None => self.large().cmp(&other.large()),
        }
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rational {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rational {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = i128> {
        prop_oneof![
            -20_i128..20,
            any::<i64>().prop_map(i128::from),
            any::<i128>(),
            Just(i128::MIN),
            Just(i128::MAX)
        ]
    }

    fn number(top: i128, bottom: i128) -> Rational {
        Rational::from_large(BigRational::new(top.into(), bottom.into())).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn every_operation_is_that_of_large_numbers(a in part(), b in part(), c in part(), d in part(), scale in 0_u8..13) {
            let (b, d) = (if b == 0 { 1 } else { b }, if d == 0 { 3 } else { d });
            let (x, y) = (number(a, b), number(c, d));
            let (p, q) = (x.large(), y.large());
            prop_assert_eq!(x.plus(&y).unwrap().large(), &p + &q);
            prop_assert_eq!(x.minus(&y).unwrap().large(), &p - &q);
            prop_assert_eq!(x.times(&y).unwrap().large(), &p * &q);
            prop_assert_eq!(x.over(&y).map(|z| z.large()), (c != 0).then(|| &p / &q));
            prop_assert_eq!(x.cmp(&y), p.cmp(&q));
            prop_assert_eq!(x.negated().unwrap().large(), -p.clone());
            prop_assert_eq!(x.abs().unwrap().large(), p.abs());
            // Rounding half away from zero, as num-rational has it.
            let scaled = (p * BigRational::from_integer(BigInt::from(10).pow(scale.into()))).round().to_integer();
            prop_assert_eq!(x.units(scale), scaled.to_i128());
            if let Ok(decimal) = scaled.to_i128().ok_or(()).and_then(|u| Decimal::try_from_i128_with_scale(u, scale.into()).map_err(|_| ())) {
                prop_assert_eq!(x.text(scale), decimal.normalize().to_string());
            }
        }

        #[test]
        fn lowest_terms_are_unique(a in -99_i64..99, b in 1_i64..99, by in 1_i64..99) {
            let quotient = |top: i64, bottom: i64| Rational::from(top).over(&Rational::from(bottom)).unwrap();
            prop_assert_eq!(quotient(a, b).lowest_terms(), quotient(a * by, b * by).lowest_terms());
        }
    }

    #[test]
    fn what_is_too_large_is_no_number() {
        let mut number = Rational::from(i64::MAX);
        let mut doublings = 0;
        while let Some(next) = number.times(&number) {
            number = next;
            doublings += 1;
        }
        assert_eq!((doublings, number.units(0)), (6, None));
    }

    #[test]
    fn texts_have_all_digits() {
        let square = Rational::from(i64::MAX).times(&Rational::from(i64::MAX)).unwrap();
        assert_eq!(square.text(12), "85070591730234615847396907784232501249");
        assert_eq!(
            square.over(&Rational::from(-8)).unwrap().text(1),
            "-10633823966279326980924613473029062656.1"
        );
        assert_eq!(Rational::from(-1).over(&Rational::from(3)).unwrap().text(4), "-0.3333");
        assert_eq!(Rational::from(-1).over(&Rational::from(300)).unwrap().text(1), "0");
        assert_eq!(Rational::from(100).text(0), "100");
    }

    #[test]
    fn decimals_come_back() {
        for text in
            ["0", "-1.50", "0.0000000000000000000000000001", "79228162514264337593543950335"]
        {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!(Rational::from(decimal).decimal(), Some(decimal), "{text}");
        }
        assert_eq!(Rational::from(1).over(&Rational::from(3)).unwrap().decimal(), None);
    }
}
