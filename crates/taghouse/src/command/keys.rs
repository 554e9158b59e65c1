//! `taghouse keys`

use super::Context;
use crate::args::KeyAction;
use crate::client::encode;
use crate::table;
use anyhow::{Result, bail};
use serde_json::json;
use taghouse_wire::{CreatedKey, KeyBody, KeyList, NewKey};

/// Lists, makes or revokes keys.
pub(crate) async fn keys(context: &Context, action: Option<&KeyAction>) -> Result<()> {
    match action {
        None | Some(KeyAction::List) => {
            let answer: KeyList = context.client.get("/api/v1/keys").await?;
            context.print(&answer, |answer| {
                let row = |key: &KeyBody| {
                    let app = key.app.as_deref().unwrap_or("every app").to_owned();
                    let state = if key.revoked_ms.is_none() { "works" } else { "revoked" };
                    vec![
                        key.id.clone(),
                        key.role.to_string(),
                        app,
                        state.to_owned(),
                        key.note.clone(),
                    ]
                };
                let rows: Vec<_> = answer.keys.iter().map(row).collect();
                table::render(&["id", "role", "app", "state", "note"], &rows)
            })
        }
        Some(KeyAction::Create { role, note, all_apps }) => {
            let app = match (all_apps, context.named_app()) {
                (true, Some(_)) => bail!("--all-apps and --app exclude each other"),
                (true, None) => None,
                (false, _) => Some(context.app().await?),
            };
            let body = NewKey { role: role.to_owned(), app, note: note.to_owned() };
            let answer: CreatedKey = context.client.post("/api/v1/keys", &body).await?;
            context.print(&answer, |answer| format!("{}\n", answer.secret))
        }
        Some(KeyAction::Revoke { id }) => {
            context.client.delete(&format!("/api/v1/keys/{}", encode(id))).await?;
            let answer = json!({"id": id, "revoked": true});
            context.print(&answer, |_| format!("revoked {id}\n"))
        }
    }
}
