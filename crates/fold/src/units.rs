//! Numbers as whole units of a power of ten.

use rust_decimal::{Decimal, RoundingStrategy};

/// Digits after the point up to which an event's number is kept in whole units; what may have more
/// (a quotient) is kept as a fraction.
pub const MAX_EVENT_SCALE: u8 = 12;

/// Greater numbers are no values, so that sums of a hundred million of them fit in 128 bits.
const MAX_UNITS: i128 = 10_i128.pow(30);

/// The greatest number that a decimal of 96 bits holds.
pub(crate) const MAX_DECIMAL_UNITS: i128 = (1 << 96) - 1;

pub(crate) fn within_limits(units: i128) -> Option<i128> {
    (units.abs() <= MAX_UNITS).then_some(units)
}

pub(crate) fn power(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(u32::from(exponent))
}

/// `a / b`, rounded half away from zero; `b` is positive.
pub(crate) fn divide(a: i128, b: i128) -> i128 {
    let (quotient, rest) = (a / b, (a % b).abs());
    if rest >= b - rest { quotient + a.signum() } else { quotient }
}

/// Units of 10^-from as units of 10^-to, rounded half away from zero; `None` if 128 bits do not
/// hold them.
pub(crate) fn rescale(units: i128, from: u8, to: u8) -> Option<i128> {
    if from <= to {
        units.checked_mul(power(to - from)?)
    } else {
        Some(divide(units, power(from - to)?))
    }
}

/// A decimal in units of 10^-scale, rounded half away from zero.
pub(crate) fn of_decimal(value: Decimal, scale: u8) -> Option<i128> {
    let rounded =
        value.round_dp_with_strategy(u32::from(scale), RoundingStrategy::MidpointAwayFromZero);
    rescale(rounded.mantissa(), u8::try_from(rounded.scale()).ok()?, scale)
}

/// Units as a decimal; `None` over 96 bits.
pub(crate) fn to_decimal(units: i128, scale: u8) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(units, u32::from(scale)).ok()
}
