//! `taghouse keys`

use super::Context;
use super::ask::plain;
use crate::args::KeyAction;
use crate::client::encode;
use crate::table;
use anyhow::{Result, bail};
use serde_json::json;

/// Lists, makes or revokes keys.
pub(crate) async fn keys(context: &Context, action: Option<&KeyAction>) -> Result<()> {
    match action {
        None | Some(KeyAction::List) => {
            let answer = context.client.get("/api/v1/keys").await?;
            context.print(&answer, |answer| {
                let keys = answer["keys"].as_array().into_iter().flatten();
                let rows: Vec<_> = keys
                    .map(|key| {
                        let app = key["app"].as_str().unwrap_or("every app").to_owned();
                        let state = if key["revoked_ms"].is_null() { "works" } else { "revoked" };
                        vec![plain(&key["id"]), plain(&key["role"]), app, state.to_owned(), plain(&key["note"])]
                    })
                    .collect();
                table::render(&["id", "role", "app", "state", "note"], &rows)
            })
        }
        Some(KeyAction::Create { role, note, all_apps }) => {
            let app = match (all_apps, context.named_app()) {
                (true, Some(_)) => bail!("--all-apps and --app exclude each other"),
                (true, None) => None,
                (false, _) => Some(context.app().await?),
            };
            let answer = context.client.post("/api/v1/keys", &json!({"role": role, "app": app, "note": note})).await?;
            context.print(&answer, |answer| format!("{}\n", plain(&answer["secret"])))
        }
        Some(KeyAction::Revoke { id }) => {
            context.client.delete(&format!("/api/v1/keys/{}", encode(id))).await?;
            let answer = json!({"id": id, "revoked": true});
            context.print(&answer, |_| format!("revoked {id}\n"))
        }
    }
}
