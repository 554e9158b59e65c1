//! Values as JSON. Converted by hand, so that an internal change does not change the API.

use serde_json::{Value as Json, json};
use taghouse_model::Value;

/// Whole numbers and booleans as JSON numbers and booleans; decimals, dates and times as text, so
/// that no digit is lost; sets as arrays.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text.as_ref()),
        Value::Set(texts) => json!(texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
        Value::Decimal(_) | Value::Date(_) | Value::Time(_) => json!(value.to_string()),
    }
}
