//! `taghouse change`, `taghouse delete` and `taghouse compact`

use super::Context;
use super::ask::plain;
use crate::args::Change;
use crate::progress;
use crate::table::thousands;
use anyhow::Result;
use serde_json::{Value, json};

/// Changes one value of one user.
pub(crate) async fn change(context: &Context, arguments: &Change) -> Result<()> {
    let mut change = json!({"user": arguments.user, "tag": arguments.tag});
    if let Some(text) = &arguments.value {
        change["set"] = value(context, &arguments.tag, text).await?;
    } else if let Some(member) = &arguments.add {
        change["add"] = json!(member);
    } else if let Some(member) = &arguments.remove {
        change["remove"] = json!(member);
    } else {
        change["unset"] = json!(true);
    }
    let answer = context.client.post(&context.path("changes").await?, &json!({"changes": [change], "create": arguments.create})).await?;
    context.print(&answer, |answer| format!("changed, at position {}\n", answer["position"]))
}

/// The text as JSON of the tag's type: on a command line `5` may be a number or a text.
async fn value(context: &Context, tag: &str, text: &str) -> Result<Value> {
    let tags = context.client.get(&context.path("tags").await?).await?;
    let known = tags["tags"].as_array().into_iter().flatten().find(|known| known["name"] == tag);
    let value_type = known.map(|known| plain(&known["type"])).unwrap_or_default();
    Ok(match value_type.as_str() {
        "bool" | "int" => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        "set" => json!(text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect::<Vec<_>>()),
        _ => json!(text),
    })
}

/// Deletes users and prints the receipt.
pub(crate) async fn delete(context: &Context, users: &[String]) -> Result<()> {
    let receipt = context.client.post(&context.path("users/delete").await?, &json!({"users": users})).await?;
    context.print(&receipt, |receipt| {
        let list = |key: &str| receipt[key].as_array().cloned().unwrap_or_default();
        let (users, unknown) = (list("users"), list("unknown"));
        let whom = if users.is_empty() { "nobody".to_owned() } else { names(&users) };
        let mut text = format!("deleted {whom} at {}\n", plain(&receipt["deleted_at"]));
        for tag in list("tags") {
            text += &format!("  {}: {} was {}\n", plain(&tag["user"]), plain(&tag["tag"]), plain(&tag["value"]));
        }
        if !unknown.is_empty() {
            text += &format!("not known, and remembered as deleted: {}\n", names(&unknown));
        }
        text += "no crowd answers with them; the files of its versions are rewritten within a minute\n";
        text + "events and attributes in the lake are kept: of these ids only newer ones make users again\n"
    })
}

fn names(list: &[Value]) -> String {
    list.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// Renumbers the users and says what became of them.
pub(crate) async fn compact(context: &Context, expire: Option<&str>) -> Result<()> {
    let app = context.app().await?;
    let started = context.client.post(&format!("/api/v1/apps/{app}/compact"), &json!({"expire": expire})).await?;
    let mut results = progress::follow(&context.client, &app, &started).await?.results;
    let report = results.remove("compact").unwrap_or_default();
    context.print(&report, |report| {
        let number = |key: &str| report[key].as_u64().map(thousands).unwrap_or_default();
        format!(
            "{} of {} users expired, {} are left, numbered under generation {}; the dictionary took {} bytes and takes {}\n",
            number("expired"),
            number("users_before"),
            number("users"),
            report["generation"],
            number("dictionary_bytes_before"),
            number("dictionary_bytes"),
        )
    })
}
