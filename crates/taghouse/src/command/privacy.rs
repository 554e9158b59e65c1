//! `taghouse suppress` and `taghouse receipts`

use super::Context;
use crate::args::SuppressAction;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::Result;
use taghouse_wire::{
    LiftRequest, PrivacyReceipt, ReceiptList, SuppressRequest, SuppressionAnswer, SuppressionList,
};

/// Suppresses ids, lifts that, or shows which are.
pub(crate) async fn suppress(context: &Context, action: &SuppressAction) -> Result<()> {
    match action {
        SuppressAction::Add { ids, delete } => {
            let body = SuppressRequest { ids: ids.clone(), delete: *delete };
            let answer: SuppressionAnswer =
                context.client.post(&context.path("suppressions").await?, &body).await?;
            context.print(&answer, |answer| {
                let mut text = format!("suppressed: {}\n", listed(&answer.ids));
                if let Some(deletion) = &answer.deletion {
                    text += &format!("deleted: {}\n", listed(&deletion.users));
                }
                text + &format!("receipt {}\n", answer.receipt)
            })
        }
        SuppressAction::Lift { ids } => {
            let body = LiftRequest { ids: ids.clone() };
            let answer: SuppressionAnswer =
                context.client.post(&context.path("suppressions/lift").await?, &body).await?;
            context.print(&answer, |answer| {
                format!("lifted: {}\nreceipt {}\n", listed(&answer.ids), answer.receipt)
            })
        }
        SuppressAction::List { limit } => {
            let path = context.path(&format!("suppressions?limit={limit}")).await?;
            let list: SuppressionList = context.client.get(&path).await?;
            context.print(&list, |list| {
                let rows: Vec<_> = list
                    .suppressions
                    .iter()
                    .map(|of| vec![of.since.clone(), of.digest.clone().unwrap_or_default()])
                    .collect();
                let count = thousands(list.count);
                format!(
                    "{}{count} ids are suppressed\n",
                    table::render(&["since", "digest"], &rows)
                )
            })
        }
        SuppressAction::Check { id } => {
            let path = context.path(&format!("suppressions?id={}", encode(id))).await?;
            let list: SuppressionList = context.client.get(&path).await?;
            context.print(&list, |list| match list.suppressions.first() {
                Some(of) => format!("suppressed since {}\n", of.since),
                None => "not suppressed\n".to_owned(),
            })
        }
    }
}

/// Prints one receipt, or the newest.
pub(crate) async fn receipts(context: &Context, id: Option<&str>, limit: usize) -> Result<()> {
    let Some(id) = id else {
        let list: ReceiptList =
            context.client.get(&context.path(&format!("receipts?limit={limit}")).await?).await?;
        return context.print(&list, |list| {
            let row = |of: &PrivacyReceipt| {
                let ids = thousands(of.digests.len() as u64);
                vec![
                    of.id.clone(),
                    of.at.clone(),
                    of.kind.as_str().to_owned(),
                    ids,
                    of.actor.clone(),
                ]
            };
            let rows: Vec<_> = list.receipts.iter().map(row).collect();
            table::render(&["receipt", "at", "what", "ids", "by"], &rows)
        });
    };
    let path = context.path(&format!("receipts/{}", encode(id))).await?;
    let receipt: PrivacyReceipt = context.client.get(&path).await?;
    context.print(&receipt, |receipt| {
        let of = |place: &taghouse_wire::ReceiptPlace| {
            let count = place.count.map(thousands).unwrap_or_default();
            vec![place.place.clone(), place.done.clone(), count]
        };
        let rows: Vec<_> = receipt.places.iter().map(of).collect();
        let PrivacyReceipt { kind, at, actor, digests, .. } = receipt;
        format!(
            "{} at {at} by {actor}\nsha256 {}\n{}",
            kind.as_str(),
            digests.join(", "),
            table::render(&["where", "what", "count"], &rows)
        )
    })
}

fn listed(ids: &[String]) -> String {
    if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") }
}
