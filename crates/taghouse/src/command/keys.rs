//! `taghouse keys`

use super::Context;
use crate::args::KeyAction;
use crate::client::encode;
use crate::system::SystemClock;
use crate::table;
use anyhow::{Result, bail};
use serde_json::json;
use taghouse_engine::clock_text::instant;
use taghouse_model::Clock;
use taghouse_wire::{CreatedKey, KeyBody, KeyList, NewKey, RotateRequest};

/// Lists, makes or revokes keys.
pub(crate) async fn keys(context: &Context, action: Option<&KeyAction>) -> Result<()> {
    match action {
        None | Some(KeyAction::List) => {
            let answer: KeyList = context.client.get("/api/v1/keys").await?;
            let now_ms = SystemClock.now_ms();
            context.print(&answer, |answer| {
                let row = |key: &KeyBody| {
                    let app = key.app.as_deref().unwrap_or("every app").to_owned();
                    vec![
                        key.id.clone(),
                        key.role.to_string(),
                        app,
                        state(key, now_ms),
                        key.used_ms.map_or_else(|| "never".to_owned(), instant),
                        key.grants.join(" "),
                        key.note.clone(),
                    ]
                };
                let rows: Vec<_> = answer.keys.iter().map(row).collect();
                table::render(&["id", "role", "app", "state", "last used", "grants", "note"], &rows)
            })
        }
        Some(KeyAction::Create { role, note, all_apps, terms }) => {
            let app = match (all_apps, context.named_app()) {
                (true, Some(_)) => bail!("--all-apps and --app exclude each other"),
                (true, None) => None,
                (false, _) => Some(context.app().await?),
            };
            let body = NewKey {
                role: role.to_owned(),
                app,
                note: note.to_owned(),
                grants: terms.grants.clone(),
                expires: terms.expires.clone(),
                requests_per_second: terms.requests_per_second,
                burst: terms.burst,
            };
            let answer: CreatedKey = context.client.post("/api/v1/keys", &body).await?;
            context.print(&answer, |answer| format!("{}\n", answer.secret))
        }
        Some(KeyAction::Rotate { id, grace, expires }) => {
            let body = RotateRequest { grace: grace.clone(), expires: expires.clone() };
            let place = format!("/api/v1/keys/{}/rotate", encode(id));
            let answer: CreatedKey = context.client.post(&place, &body).await?;
            context.print(&answer, |answer| format!("{}\n", answer.secret))
        }
        Some(KeyAction::Revoke { id }) => {
            context.client.delete(&format!("/api/v1/keys/{}", encode(id))).await?;
            let answer = json!({"id": id, "revoked": true});
            context.print(&answer, |_| format!("revoked {id}\n"))
        }
    }
}

/// Whether the key works, and until when.
fn state(key: &KeyBody, now_ms: i64) -> String {
    match (key.revoked_ms, key.expires_ms) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at_ms)) if at_ms <= now_ms => format!("expired {}", instant(at_ms)),
        (None, Some(at_ms)) => format!("works until {}", instant(at_ms)),
        (None, None) => "works".to_owned(),
    }
}
