//! `taghouse identities`

use super::Context;
use crate::args::IdentityAction;
use crate::client::encode;
use crate::table;
use anyhow::Result;
use taghouse_wire::{IdentityBody, LinkLine, LinkRequest, LinkedIdBody, UnlinkRequest};

/// Shows, links or unlinks ids.
pub(crate) async fn identities(context: &Context, action: &IdentityAction) -> Result<()> {
    let answer: IdentityBody = match action {
        IdentityAction::Show { id } => {
            let path = context.path(&format!("identities?id={}", encode(id))).await?;
            context.client.get(&path).await?
        }
        IdentityAction::Link { id, user, id_type } => {
            let (id, id_type, user) = (id.clone(), id_type.clone(), user.clone());
            let body = LinkRequest { id, id_type, user };
            context.client.post(&context.path("identities/link").await?, &body).await?
        }
        IdentityAction::Unlink { id } => {
            let body = UnlinkRequest { id: id.clone() };
            context.client.post(&context.path("identities/unlink").await?, &body).await?
        }
    };
    context.print(&answer, describe)
}

fn describe(answer: &IdentityBody) -> String {
    let mut text = format!("{} is the user {}\n", answer.id, answer.user);
    if !answer.ids.is_empty() {
        let row = |linked: &LinkedIdBody| vec![linked.id.clone(), linked.id_type.clone()];
        let rows: Vec<_> = answer.ids.iter().map(row).collect();
        text += &format!("\n{}", table::render(&["other id", "type"], &rows));
    }
    if !answer.log.is_empty() {
        let row = |line: &LinkLine| {
            vec![line.at.clone(), line.event.clone(), line.id.clone(), line.user.clone()]
        };
        let rows: Vec<_> = answer.log.iter().map(row).collect();
        text += &format!("\n{}", table::render(&["at", "event", "id", "user"], &rows));
    }
    text
}
