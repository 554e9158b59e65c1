//! `taghouse top`

use super::Context;
use super::ask::{given, plain};
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::{Value, json};

/// Prints the values of a tag that most users have.
pub(crate) async fn top(context: &Context, tag: &str, expression: Option<&str>, limit: usize) -> Result<()> {
    let body = json!({"tag": tag, "expression": expression.map(given).transpose()?, "limit": limit});
    let answer = context.client.ask(&context.path("top").await?, &body).await?;
    context.print(&answer, |answer| {
        let number = |value: &Value| value.as_u64().map(thousands).unwrap_or_default();
        let values = answer["values"].as_array().into_iter().flatten();
        let rows: Vec<_> =
            values.map(|found| vec![plain(&found["value"]), number(&found["users"]), percent(found["share"].as_f64())]).collect();
        let [distinct, with_value, users] = ["distinct", "with_value", "users"].map(|name| number(&answer[name]));
        let table = table::render(&[tag, "users", "share"], &rows);
        format!("{table}\n{distinct} different values; {with_value} of {users} users have one\n")
    })
}
