//! Ids, whose digits must all be there: users of one id are one user.

use super::cell::Cell;
use super::number::{parse_int, parse_units_rounded};
use std::borrow::Cow;

/// Up to here each whole number is a float of its own.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Why a cell is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdFault {
    /// There is none.
    Missing,
    /// A number with an exponent, or a float beyond 2^53: digits of it are lost, and other ids
    /// would become the same.
    DigitsLost,
    /// No whole number of 64 bits, where one is asked for.
    NotAnInt,
}

/// The id in a cell. Numbers take digits only, with `.0` behind them at most.
///
/// # Errors
/// It is not a valid id, or not the id that the sender meant.
pub fn read_id<'a>(cell: &Cell<'a>, int: bool) -> Result<Cow<'a, str>, IdFault> {
    let text = cell.text().ok_or(IdFault::Missing)?;
    match cell {
        Cell::Int(_) => return Ok(text),
        Cell::Float(value) if value.abs() > EXACT_FLOAT => return Err(IdFault::DigitsLost),
        Cell::Text(_) | Cell::Nested(_) | Cell::Bool(_) | Cell::Absent | Cell::Null if !int => {
            return Ok(text);
        }
        Cell::Day(_) | Cell::Instant(_) | Cell::Wall(_) if !int => return Ok(text),
        _ => {}
    }
    match whole_id(&text) {
        Ok(id) if id.len() == text.len() => Ok(text),
        Ok(id) => Ok(Cow::Owned(id.to_owned())),
        Err(IdFault::NotAnInt) if !int => Ok(text),
        Err(fault) => Err(fault),
    }
    .and_then(|id| if int { as_int(id) } else { Ok(id) })
}

/// The digits of a whole number, without a fraction of zeros.
fn whole_id(text: &str) -> Result<&str, IdFault> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits(digits) {
        return Ok(text);
    }
    match text.split_once('.') {
        Some((whole, zeros))
            if is_digits(whole.trim_start_matches(['-', '+']))
                && !zeros.is_empty()
                && zeros.bytes().all(|b| b == b'0') =>
        {
            Ok(whole)
        }
        _ if text.contains(['e', 'E']) && parse_units_rounded(text, 0).is_ok() => {
            Err(IdFault::DigitsLost)
        }
        _ => Err(IdFault::NotAnInt),
    }
}

/// The number as it is written without signs and zeros that say nothing.
fn as_int(id: Cow<'_, str>) -> Result<Cow<'_, str>, IdFault> {
    if id.len() <= 18 && !id.starts_with(['0', '+', '-']) {
        return Ok(id);
    }
    parse_int(&id).map(|number| Cow::Owned(number.to_string())).map_err(|_| IdFault::NotAnInt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::json_scan;

    fn json(text: &str) -> Cell<'_> {
        Cell::of_json(text, json_scan::whole(text).unwrap())
    }

    #[test]
    fn ids_take_digits_only() {
        let id = |cell: &Cell<'_>, int: bool| read_id(cell, int).map(|id| id.into_owned());
        for (cell, expected) in [
            (Cell::Text("17850.0"), Ok("17850")),
            (Cell::Text("17850"), Ok("17850")),
            (Cell::Text(" 007 "), Ok("7")),
            (Cell::Text("-8.00"), Ok("-8")),
            (Cell::Text("9007199254740993"), Ok("9007199254740993")),
            (Cell::Int(12), Ok("12")),
            (Cell::Float(17850.0), Ok("17850")),
            (Cell::Float(-0.0), Ok("0")),
            (Cell::Decimal { units: 1200, scale: 2 }, Ok("12")),
            (json("17850.0"), Ok("17850")),
            (Cell::Text("9.91214E+15"), Err(IdFault::DigitsLost)),
            (Cell::Text("1e3"), Err(IdFault::DigitsLost)),
            (json("9.91214E+15"), Err(IdFault::DigitsLost)),
            (Cell::Float(9.912_14e15 * 10.0), Err(IdFault::DigitsLost)),
            (Cell::Text("17850.5"), Err(IdFault::NotAnInt)),
            (Cell::Float(0.5), Err(IdFault::NotAnInt)),
            (Cell::Text("abc"), Err(IdFault::NotAnInt)),
            (Cell::Text("9223372036854775808"), Err(IdFault::NotAnInt)),
            (Cell::Float(f64::NAN), Err(IdFault::Missing)),
            (Cell::Text(" "), Err(IdFault::Missing)),
        ] {
            assert_eq!(id(&cell, true).as_deref().map_err(|fault| *fault), expected, "{cell:?}");
        }
        // An id of text is as it stands; a number is its digits.
        for (cell, expected) in [
            (Cell::Text("9.91214E+15"), Ok("9.91214E+15")),
            (Cell::Text("17850.0"), Ok("17850.0")),
            (json("17850.0"), Ok("17850")),
            (json("007".trim_start_matches('0')), Ok("7")),
            (json("9.91214E+15"), Err(IdFault::DigitsLost)),
            (Cell::Float(1e17), Err(IdFault::DigitsLost)),
            (Cell::Float(17850.0), Ok("17850")),
            (Cell::Float(0.5), Ok("0.5")),
        ] {
            assert_eq!(id(&cell, false).as_deref().map_err(|fault| *fault), expected, "{cell:?}");
        }
    }
}
