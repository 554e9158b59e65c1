//! Values and kinds as JSON. Converted by hand, so that an internal change does not change the API.

use jiff::tz::TimeZone;
use serde_json::Value as Json;
use taghouse_model::{Value, ValueType};
use taghouse_rules::TagKind;
use taghouse_rules::reader::{Cell, ColumnReader, FaultKind, TextLists};

pub(crate) use taghouse_wire::json as value;

/// The digits that every float keeps.
const FLOAT_DIGITS: usize = 15;

/// The other way: a value of a tag's type, as [`value`] writes it, or as files and calls bring it;
/// `None` for null, a text of white space only and a set without members. An instant without an
/// offset is read in `zone`.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn value_of(
    json: &Json,
    value_type: ValueType,
    zone: &TimeZone,
) -> Result<Option<Value>, String> {
    let text = json.to_string();
    let cell = match json {
        Json::Null => Cell::Null,
        Json::Bool(flag) => Cell::Bool(*flag),
        Json::String(text) => Cell::Text(text),
        Json::Number(number)
            if number.is_f64()
                && text.bytes().filter(u8::is_ascii_digit).count() > FLOAT_DIGITS =>
        {
            return Err(format!(
                "{text} may have lost digits: write numbers of more than {FLOAT_DIGITS} digits in quotes"
            ));
        }
        Json::Number(_) => Cell::Number(&text),
        Json::Array(_) | Json::Object(_) => Cell::Nested(&text),
    };
    let parsed = ColumnReader::plain(value_type, zone, TextLists::None).read(&cell);
    parsed.map(|parsed| parsed.value()).map_err(|fault| match fault.kind {
        FaultKind::BadType => format!("{}; write {}", fault.problem, how_to_write(value_type)),
        FaultKind::TooLong | FaultKind::OutOfRange | FaultKind::Missing => fault.problem,
    })
}

fn how_to_write(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Bool => "true or false",
        ValueType::Int | ValueType::Decimal { .. } => "a number",
        ValueType::Text => "a text",
        ValueType::Set => "a list of texts",
        ValueType::Date => "a day such as \"2026-07-01\"",
        ValueType::Time => "an instant such as \"2026-07-01T10:00\"",
    }
}

/// The word for a tag's kind.
pub(crate) fn tag_kind(kind: &TagKind) -> &'static str {
    match kind {
        TagKind::Attribute { .. } => "attribute",
        TagKind::Aggregate(_) => "aggregate",
        TagKind::Session(_) => "session",
        TagKind::State(_) => "state",
        TagKind::Sequence(_) => "sequence",
        TagKind::Cohort { .. } => "cohort",
        TagKind::Expression(_) => "expression",
        TagKind::Sql { .. } => "sql",
    }
}

/// An exact sum in units of the type's last digit, as text; none for types that do not add up, such
/// as dates. A sum may have more digits than any decimal type holds, so it is written from the
/// integer.
pub(crate) fn sum(units: i128, value_type: ValueType) -> Option<String> {
    match value_type {
        ValueType::Int | ValueType::Decimal { scale: 0 } => Some(units.to_string()),
        ValueType::Decimal { scale } => {
            let scale = usize::from(scale);
            let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if units < 0 { "-" } else { "" };
            Some(format!("{sign}{whole}.{fraction}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_every_digit() {
        let cases = [
            (85_995_299_040, ValueType::Decimal { scale: 4 }, Some("8599529.9040")),
            (-5, ValueType::Decimal { scale: 2 }, Some("-0.05")),
            (0, ValueType::Decimal { scale: 2 }, Some("0.00")),
            (i128::MAX, ValueType::Int, Some("170141183460469231731687303715884105727")),
            (7, ValueType::Date, None),
        ];
        for (units, value_type, text) in cases {
            assert_eq!(sum(units, value_type).as_deref(), text);
        }
    }
}
