//! Numbers from text, exactly: nothing wraps, and nothing is rounded where nobody asked for it.

/// Why a text is not a valid number of the type asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// It is not a valid number, or a fraction where a whole number is asked for.
    NotANumber,
    /// It does not fit in the type.
    OutOfRange,
    /// It has digits other than 0 behind the last one that the type holds.
    TooManyDigits,
}

/// The most units that a decimal holds: 28 digits, which every reader of ours (`rust_decimal`,
/// Arrow, Iceberg) can hold.
pub(super) const MAX_DECIMAL_UNITS: i128 = 10_i128.pow(28) - 1;

/// A number as sign, digits without trailing zeros, and a power of ten.
struct Parts {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

/// Reads a whole number. `17850.0` and `1e3` are whole numbers too, for so do spreadsheets write
/// them.
pub(super) fn parse_int(text: &str) -> Result<i64, NumberFault> {
    if let Some(value) = short_digits(text.as_bytes()) {
        return Ok(value);
    }
    let units =
        units_of(&parts(text.trim_ascii())?, 0, i128::MAX).map_err(|fault| match fault {
            NumberFault::TooManyDigits => NumberFault::NotANumber,
            other => other,
        })?;
    i64::try_from(units).map_err(|_| NumberFault::OutOfRange)
}

/// Reads a decimal as a whole number of units of 10^-`scale`.
pub(super) fn parse_units(text: &str, scale: u8) -> Result<i128, NumberFault> {
    units_of(&parts(text.trim_ascii())?, scale, MAX_DECIMAL_UNITS)
}

/// Like [`parse_units`], but further digits are rounded, half away from zero.
pub(super) fn parse_units_rounded(text: &str, scale: u8) -> Result<i128, NumberFault> {
    let parts = read_parts(text.trim_ascii(), Digits::Rounded)?;
    let dropped = u32::try_from(-(parts.exponent + i32::from(scale))).unwrap_or(0);
    if dropped == 0 {
        return units_of(&parts, scale, MAX_DECIMAL_UNITS);
    }
    // The power that is over u128 is over twice the mantissa too.
    let Some(power) = 10_u128.checked_pow(dropped) else { return Ok(0) };
    let rounded = parts.mantissa / power + u128::from(parts.mantissa % power >= power.div_ceil(2));
    units_of(
        &Parts { mantissa: rounded, exponent: -i32::from(scale), ..parts },
        scale,
        MAX_DECIMAL_UNITS,
    )
}

/// Reads a decimal as units of 10^-`scale`, cutting further digits off (towards zero). For
/// instants, whose digits behind the millisecond carry nothing.
pub(super) fn parse_units_cut(text: &str, scale: u8) -> Result<i128, NumberFault> {
    let mut parts = parts(text.trim_ascii())?;
    while parts.mantissa != 0 && parts.exponent + i32::from(scale) < 0 {
        parts.mantissa /= 10;
        parts.exponent += 1;
    }
    units_of(&parts, scale, MAX_DECIMAL_UNITS)
}

/// Writes `units` of 10^-`scale` with all the digits of the scale.
pub(super) fn print_units(units: i128, scale: u8) -> String {
    if scale == 0 {
        return units.to_string();
    }
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let one = 10_u128.pow(u32::from(scale));
    format!("{sign}{}.{:0width$}", units / one, units % one, width = usize::from(scale))
}

/// Up to 18 digits with an optional sign, the common case.
fn short_digits(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// What becomes of digits beyond those that are held while reading.
#[derive(Clone, Copy, PartialEq)]
enum Digits {
    /// The number does not fit.
    All,
    /// They decide nothing: the result has 28 at most, and is rounded by the one behind them.
    Rounded,
}

/// From here on a mantissa has more digits than decide a rounded result.
const ENOUGH: u128 = 10_u128.pow(30);

fn parts(text: &str) -> Result<Parts, NumberFault> {
    read_parts(text, Digits::All)
}

fn read_parts(text: &str, kept: Digits) -> Result<Parts, NumberFault> {
    let bytes = text.as_bytes();
    let (negative, mut rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let (mut mantissa, mut exponent, mut zeros) = (0_u128, 0_i32, 0_u32);
    let (mut digits, mut after_point, mut too_long) = (0_usize, false, false);
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                if kept == Digits::Rounded && mantissa >= ENOUGH {
                    exponent += i32::from(!after_point);
                    rest = tail;
                    continue;
                }
                exponent -= i32::from(after_point);
                if *byte == b'0' {
                    // Zeros count only once another digit follows them.
                    zeros += 1;
                } else {
                    let grown = 10_u128.checked_pow(if mantissa == 0 { 0 } else { zeros + 1 });
                    let grown = grown
                        .and_then(|power| mantissa.checked_mul(power))
                        .and_then(|m| m.checked_add(u128::from(byte - b'0')));
                    match grown {
                        Some(grown) => (mantissa, zeros) = (grown, 0),
                        // Behind so many zeros it decides nothing, and counts as one more.
                        None if kept == Digits::Rounded => zeros += 1,
                        None => too_long = true,
                    }
                }
            }
            b'.' if !after_point => after_point = true,
            _ => break,
        }
        rest = tail;
    }
    if digits == 0 || digits > 4096 {
        return Err(NumberFault::NotANumber);
    }
    exponent += written_exponent(rest)?;
    if too_long {
        return Err(NumberFault::OutOfRange);
    }
    let zeros = i32::try_from(zeros).map_err(|_| NumberFault::NotANumber)?;
    Ok(Parts { negative, mantissa, exponent: exponent + zeros })
}

/// What follows the digits: nothing, or `e` and a number.
fn written_exponent(rest: &[u8]) -> Result<i32, NumberFault> {
    let digits = match rest {
        [] => return Ok(0),
        [b'e' | b'E', digits @ ..] => digits,
        _ => return Err(NumberFault::NotANumber),
    };
    let value = short_digits(digits).ok_or(NumberFault::NotANumber)?;
    i32::try_from(value.clamp(-100_000, 100_000)).map_err(|_| NumberFault::NotANumber)
}

fn units_of(parts: &Parts, scale: u8, limit: i128) -> Result<i128, NumberFault> {
    if parts.mantissa == 0 {
        return Ok(0);
    }
    let shift =
        u32::try_from(parts.exponent + i32::from(scale)).map_err(|_| NumberFault::TooManyDigits)?;
    let power = 10_u128.checked_pow(shift).ok_or(NumberFault::OutOfRange)?;
    let units = parts.mantissa.checked_mul(power).and_then(|units| i128::try_from(units).ok());
    let units = units.filter(|units| *units <= limit).ok_or(NumberFault::OutOfRange)?;
    Ok(if parts.negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::Decimal;

    #[test]
    fn whole_numbers() {
        let cases = [
            ("17850.0", 17850),
            ("17850", 17850),
            ("-8", -8),
            ("+3", 3),
            (" 12 ", 12),
            ("1e3", 1000),
            ("0", 0),
            ("007", 7),
            ("1000000000000000000", 1_000_000_000_000_000_000),
        ];
        for (text, value) in cases {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        assert_eq!(parse_int("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_int("9223372036854775808"), Err(NumberFault::OutOfRange));
        for text in ["", "-", "1.5", "a", "1 2", "0x10", "1e", "1.2.3", ".", "NaN", "1e-1"] {
            assert_eq!(parse_int(text), Err(NumberFault::NotANumber), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        let cases = [
            ("2.55", 25_500),
            ("-11062.06", -110_620_600),
            ("0.001", 10),
            (".5", 5_000),
            ("5.", 50_000),
            ("2.5500000", 25_500),
            ("1e-4", 1),
            ("12E2", 12_000_000),
            ("0.00000000", 0),
            ("0e9", 0),
        ];
        for (text, units) in cases {
            assert_eq!(parse_units(text, 4), Ok(units), "{text}");
        }
        assert_eq!(parse_units("0.00001", 4), Err(NumberFault::TooManyDigits));
        assert_eq!(parse_units("9999999999999999999999999999", 0), Ok(MAX_DECIMAL_UNITS));
        assert_eq!(parse_units("10000000000000000000000000000", 0), Err(NumberFault::OutOfRange));
        assert_eq!(parse_units("1e99999999999", 2), Err(NumberFault::OutOfRange));
        assert_eq!(parse_units(&"9".repeat(60), 2), Err(NumberFault::OutOfRange));
        assert_eq!(parse_units("1,5", 2), Err(NumberFault::NotANumber));
        for (text, units) in [
            ("59.970000000000006", 5997),
            ("0.30000000000000004", 30),
            ("0.005", 1),
            ("-0.005", -1),
            ("0.00499999999999999999999999999999999999999999999999", 0),
            ("0.125", 13),
            ("-2.675", -268),
            ("1e-400", 0),
            ("99e-4", 1),
            ("9.995", 1000),
            ("1.23", 123),
            ("4", 400),
        ] {
            assert_eq!(parse_units_rounded(text, 2), Ok(units), "{text}");
        }
        let long = format!("0.{}", "3".repeat(500));
        assert_eq!(parse_units_rounded(&long, 4), Ok(3333));
        assert_eq!(parse_units_rounded(&format!("1.{}9", "0".repeat(100)), 4), Ok(10_000));
        assert_eq!(
            parse_units_rounded(&format!("12{}", "0".repeat(60)), 0),
            Err(NumberFault::OutOfRange)
        );
        assert_eq!(
            parse_units_rounded("9999999999999999999999999999.5", 0),
            Err(NumberFault::OutOfRange)
        );
        assert_eq!(parse_units_rounded("NaN", 2), Err(NumberFault::NotANumber));
        assert_eq!(parse_units_cut("1700000000.1239", 3), Ok(1_700_000_000_123));
    }

    #[test]
    fn units_print_as_written() {
        assert_eq!(print_units(-5, 2), "-0.05");
        assert_eq!(print_units(255_000, 4), "25.5000");
        assert_eq!(print_units(7, 0), "7");
    }

    proptest::proptest! {
        #[test]
        fn rounds_as_rust_decimal(units in -10_i64.pow(17)..10_i64.pow(17), scale in 0_u8..18, wanted in 0_u8..12) {
            let exact = Decimal::new(units, u32::from(scale));
            let rounded = exact.round_dp_with_strategy(u32::from(wanted), rust_decimal::RoundingStrategy::MidpointAwayFromZero);
            let mut same_scale = rounded;
            same_scale.rescale(u32::from(wanted));
            proptest::prop_assert_eq!(parse_units_rounded(&exact.to_string(), wanted), Ok(same_scale.mantissa()));
        }

        #[test]
        fn agrees_with_rust_decimal(units in -10_i64.pow(17)..10_i64.pow(17), scale in 0_u8..12) {
            let text = Decimal::new(units, u32::from(scale)).to_string();
            proptest::prop_assert_eq!(parse_units(&text, scale), Ok(i128::from(units)));
            proptest::prop_assert_eq!(print_units(i128::from(units), scale), text);
        }
    }
}
