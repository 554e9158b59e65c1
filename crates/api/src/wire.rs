//! Values and kinds as JSON, converted by hand so that a change inside does not change the wire.

use serde_json::{Value as Json, json};
use taghouse_model::Value;
use taghouse_rules::TagKind;

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
