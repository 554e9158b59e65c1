//! `taghouse effect`

use super::Context;
use crate::args::Effect;
use crate::client::encode;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::Value;
use taghouse_wire::{ArmBody, EffectAnswer, EffectRequest};

/// Prints the arms of a crowd's split, compared by a metric.
pub(crate) async fn effect(context: &Context, arguments: &Effect) -> Result<()> {
    let body = EffectRequest {
        metric: arguments.metric.clone(),
        before: arguments.before.clone(),
        exposed: arguments.exposed.clone().map(Value::String),
        control: arguments.control.clone(),
    };
    let path = context.path(&format!("crowds/{}/effect", encode(&arguments.crowd))).await?;
    let answer: EffectAnswer = context.client.ask(&path, &body).await?;
    context.print(&answer, describe)
}

fn describe(answer: &EffectAnswer) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let row = |arm: &ArmBody| {
        vec![
            arm.arm.clone(),
            arm.share.clone(),
            thousands(arm.users),
            number(arm.mean),
            number(arm.difference),
            number(arm.low),
            number(arm.high),
            percent(arm.relative),
            number(arm.p),
        ]
    };
    let rows: Vec<_> = answer.arms.iter().map(row).collect();
    let headers = ["arm", "share", "users", "mean", "difference", "from", "to", "relative", "p"];
    let table = table::render(&headers, &rows);
    let explained = answer.explained.map(|share| {
        format!("corrected by what was before, which explains {}\n", percent(Some(share)))
    });
    let off = answer.ratio_is_off.then(|| {
        format!(
            "the arms are unlike in size (p = {:.6}): users did not come into them by chance, and the comparison tells nothing\n",
            answer.ratio_p
        )
    });
    format!(
        "{table}\ndifferences from {}; from and to: the 95% interval\n{}{}",
        answer.control,
        explained.unwrap_or_default(),
        off.unwrap_or_default()
    )
}
