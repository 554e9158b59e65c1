//! Values and kinds as JSON, converted by hand so that a change inside does not change the wire.

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Literal, TagKind};

/// Whole numbers and booleans as JSON's own; decimals, dates and instants as text, so that no digit is lost; sets as arrays.
pub(crate) fn value(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text.as_ref()),
        Value::Set(texts) => json!(texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
        Value::Decimal(_) | Value::Date(_) | Value::Time(_) => json!(value.to_string()),
    }
}

/// The other way: a value of a tag's type, as [`value`] writes it. An instant without an offset is read in `zone`.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn value_of(json: &Json, value_type: ValueType, zone: &TimeZone) -> Result<Value, String> {
    if value_type == ValueType::Set {
        let Json::Array(members) = json else { return Err(format!("{json} is no list of texts")) };
        let text = |member: &Json| member.as_str().map(Into::into).ok_or_else(|| format!("its member {member} is no text"));
        return Ok(Value::Set(members.iter().map(text).collect::<Result<_, String>>()?));
    }
    let literal = match (json, value_type) {
        (Json::Bool(flag), _) => Literal::Bool(*flag),
        (Json::String(text), ValueType::Decimal { .. }) => {
            Literal::Decimal(text.parse().map_err(|_| format!("\"{text}\" is no decimal number"))?)
        }
        (Json::String(text), _) => Literal::Text(text.as_str().into()),
        (Json::Number(number), _) => match number.as_i64() {
            Some(whole) => Literal::Int(whole),
            None => Literal::Decimal(number.to_string().parse().map_err(|_| format!("{number} is beyond the range of decimal numbers"))?),
        },
        _ => return Err(format!("{json} is no value")),
    };
    let value = taghouse_rules::coerce(&literal, value_type, zone)?;
    match (&value, value_type) {
        (Value::Decimal(_), ValueType::Int) => Err(format!("{json} is no whole number")),
        _ => Ok(value),
    }
}

/// The word for a tag's kind.
pub(crate) fn tag_kind(kind: &TagKind) -> &'static str {
    match kind {
        TagKind::Attribute { .. } => "attribute",
        TagKind::Aggregate(_) => "aggregate",
        TagKind::Cohort { .. } => "cohort",
        TagKind::Expression(_) => "expression",
        TagKind::Sql { .. } => "sql",
    }
}

/// An exact sum in units of the type's last digit, as text; none for types that do not add up, such as dates. A sum may have more digits
/// than any decimal type holds, so it is written from the integer.
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
