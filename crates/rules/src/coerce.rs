use crate::Literal;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs, Value, ValueType};

/// A literal as a value that a value of type `ty` can be compared with.
///
/// Numbers keep their kind: a decimal literal for an int stays a decimal (so that `x >= 2.5` is
/// right), an int for a decimal becomes one. For a set it is one member, a text. For `Time` a text
/// without an offset is read in `zone`; a day is its midnight.
///
/// # Errors
/// A literal of another kind, with how to write it.
pub fn coerce(literal: &Literal, ty: ValueType, zone: &TimeZone) -> Result<Value, String> {
    match (ty, literal) {
        (ValueType::Bool, Literal::Bool(v)) => Ok(Value::Bool(*v)),
        (ValueType::Bool, Literal::Int(v @ (0 | 1))) => Ok(Value::Bool(*v == 1)),
        (ValueType::Text | ValueType::Set, Literal::Text(v)) if v.len() > MAX_TEXT_BYTES => {
            Err(format!("the text has {} bytes, more than a value's {MAX_TEXT_BYTES}", v.len()))
        }
        (ValueType::Text | ValueType::Set, Literal::Text(v)) => Ok(Value::text(v)),
        (ValueType::Int, Literal::Int(v)) => Ok(Value::Int(*v)),
        (ValueType::Decimal { .. }, Literal::Int(v)) => Ok(Value::Decimal(Decimal::from(*v))),
        (ValueType::Int | ValueType::Decimal { .. }, Literal::Decimal(v)) => Ok(Value::Decimal(*v)),
        (ValueType::Date, Literal::Text(v)) => day(v).map(Value::Date),
        (ValueType::Time, Literal::Text(v)) => instant(v, zone).map(Value::Time),
        _ => Err(format!(
            "{literal} is {}, where {} is expected",
            kind_of(literal),
            how_to_write(ty)
        )),
    }
}

fn kind_of(literal: &Literal) -> &'static str {
    match literal {
        Literal::Bool(_) => "a truth value",
        Literal::Int(_) => "a whole number",
        Literal::Decimal(_) => "a decimal number",
        Literal::Text(_) => "text",
    }
}

fn how_to_write(ty: ValueType) -> &'static str {
    match ty {
        ValueType::Bool => "true or false",
        ValueType::Text | ValueType::Set => "text in quotes",
        ValueType::Int | ValueType::Decimal { .. } => "a number",
        ValueType::Date => "a day like \"2011-12-01\"",
        ValueType::Time => "a time like \"2011-12-01T10:00\"",
    }
}

fn is_day(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}

/// Days since 1970-01-01.
fn day(text: &str) -> Result<i32, String> {
    if !is_day(text) {
        return Err(format!("{text:?} is not a day; write it like \"2011-12-01\""));
    }
    let date: Date = text.parse().map_err(|_| format!("{text:?} is not a day of the calendar"))?;
    let days = Date::constant(1970, 1, 1).until(date).map_err(|e| e.to_string())?.get_days();
    Ok(days)
}

fn instant(text: &str, zone: &TimeZone) -> Result<TimestampMs, String> {
    let wrong = || {
        format!(
            "{text:?} is not a time; write it like \"2011-12-01T10:00\", with an offset or Z if it is not in the app's zone"
        )
    };
    if is_day(text) {
        let date: Date =
            text.parse().map_err(|_| format!("{text:?} is not a day of the calendar"))?;
        return Ok(date
            .to_zoned(zone.clone())
            .map_err(|e| e.to_string())?
            .timestamp()
            .as_millisecond());
    }
    // `2011-12-01T10:00` at least: jiff would also take an hour alone, or no separators.
    if !text.is_ascii()
        || !text.get(..10).is_some_and(is_day)
        || text.as_bytes().get(13) != Some(&b':')
        || text.contains('[')
    {
        return Err(wrong());
    }
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) if text[11..].contains(['Z', 'z', '+', '-']) => return Err(wrong()),
        Err(_) => text
            .parse::<DateTime>()
            .map_err(|_| wrong())?
            .to_zoned(zone.clone())
            .map_err(|e| e.to_string())?
            .timestamp(),
    };
    if timestamp.subsec_nanosecond() % 1_000_000 != 0 {
        return Err(format!("{text:?} has more digits than milliseconds"));
    }
    Ok(timestamp.as_millisecond())
}
