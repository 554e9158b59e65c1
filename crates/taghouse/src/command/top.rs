//! `taghouse top`

use super::Context;
use super::ask::{given, plain};
use crate::table::{self, percent, thousands};
use anyhow::Result;
use taghouse_wire::{TopAnswer, TopRequest, TopValue};

/// Prints the values of a tag that most users have.
pub(crate) async fn top(
    context: &Context,
    tag: &str,
    expression: Option<&str>,
    limit: usize,
) -> Result<()> {
    let body = TopRequest {
        tag: tag.to_owned(),
        expression: expression.map(given).transpose()?,
        limit: Some(limit),
    };
    let answer: TopAnswer = context.client.ask(&context.path("top").await?, &body).await?;
    context.print(&answer, |answer| {
        let row = |found: &TopValue| {
            vec![plain(&found.value), thousands(found.users), percent(Some(found.share))]
        };
        let table = table::render(
            &[tag, "users", "share"],
            &answer.values.iter().map(row).collect::<Vec<_>>(),
        );
        let [distinct, with_value, users] =
            [answer.distinct as u64, answer.with_value, answer.users].map(thousands);
        format!("{table}\n{distinct} different values; {with_value} of {users} users have one\n")
    })
}
