//! `taghouse lookalike`

use super::Context;
use super::ask::given;
use super::group::label;
use crate::args::Lookalike;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::Value;
use taghouse_wire::{AffinityBody, LookalikeAnswer, LookalikeRequest, ReachBody};

/// Prints what the users of a crowd have in common, and how many others are like them.
pub(crate) async fn lookalike(context: &Context, arguments: &Lookalike) -> Result<()> {
    let body = LookalikeRequest {
        expression: given(&arguments.crowd)?,
        among: arguments.among.clone().map(Value::String),
        tags: arguments.tags.clone(),
    };
    let answer: LookalikeAnswer =
        context.client.ask(&context.path("lookalike").await?, &body).await?;
    context.print(&answer, |answer| describe(answer, arguments.limit))
}

fn describe(answer: &LookalikeAnswer, limit: usize) -> String {
    let [seed, candidates] = [answer.seed, answer.candidates].map(thousands);
    if answer.affinities.is_empty() {
        return format!(
            "no value tells the {seed} users of the crowd from the {candidates} others beyond chance: name other tags\n"
        );
    }
    let affinity = |of: &AffinityBody| {
        vec![
            of.contrast.tag.clone(),
            label(&of.contrast.group),
            percent(Some(of.contrast.crowd_share)),
            percent(Some(of.contrast.base_share)),
            format!("{:+.2}", of.weight),
        ]
    };
    let rows: Vec<_> = answer.affinities.iter().take(limit).map(affinity).collect();
    let affinities = table::render(&["tag", "value", "crowd", "all", "weight"], &rows);

    let reach = |reach: &ReachBody| {
        vec![
            thousands(reach.users),
            percent(Some(reach.share)),
            format!("{:.2}", reach.least_score),
            format!("{:.2}", reach.similarity),
            percent(Some(reach.recall)),
        ]
    };
    let rows: Vec<_> = answer.curve.iter().map(reach).collect();
    let curve =
        table::render(&["users", "of others", "least score", "similarity", "of crowd"], &rows);
    format!(
        "{affinities}\n{curve}\n{seed} users in the crowd, {candidates} others; similarity 1: as alike as the crowd's own users\n"
    )
}
