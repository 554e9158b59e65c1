//! `taghouse status`: how far live calls and live tags have come.

use super::Context;
use crate::table::{self, thousands};
use anyhow::Result;
use serde::Serialize;
use taghouse_wire::{
    AppList, LiveBody, ParityStanding, SinkReport, SubscribersReport, TopicReport,
};

/// How every app that was asked for stands.
#[derive(Serialize)]
struct Standing {
    apps: Vec<AppStanding>,
}

#[derive(Serialize)]
struct AppStanding {
    app: String,
    #[serde(flatten)]
    live: LiveBody,
}

/// Shows the app named, or all apps.
pub(crate) async fn status(context: &Context) -> Result<()> {
    let named = match context.named_app() {
        Some(app) => vec![app.to_owned()],
        None => {
            let all: AppList = context.client.get("/api/v1/apps").await?;
            all.apps.into_iter().map(|app| app.id).collect()
        }
    };
    let mut apps = Vec::new();
    for app in named {
        let live = context.client.get(&format!("/api/v1/apps/{app}/live")).await?;
        apps.push(AppStanding { app, live });
    }
    context.print(&Standing { apps }, |standing| {
        standing.apps.iter().map(listed).collect::<Vec<_>>().join("\n")
    })
}

/// A row for each number: there are more of them than fit side by side.
fn listed(standing: &AppStanding) -> String {
    let AppStanding { app, live } = standing;
    let tags = &live.tags;
    let number = |number: Option<u64>| number.map_or_else(|| "–".to_owned(), thousands);
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let lag = match (live.lag_records, live.lag_seconds) {
        (Some(records), Some(seconds)) if records > 0 => {
            format!("{}, {seconds:.1} s", thousands(records))
        }
        (records, _) => number(records),
    };
    let mut rows = vec![
        ("log end", thousands(live.log_end)),
        ("landed position", thousands(live.landed_position)),
        ("waiting records", thousands(live.waiting_records)),
        ("live tags", thousands(tags.live_tags)),
    ];
    if tags.live_tags > 0 {
        let state = if tags.computing { "computing from the lake" } else { followed(live) };
        rows.extend([
            ("state", state.to_owned()),
            ("as of", text(&tags.current_as_of)),
            ("position", number(tags.position)),
            ("lag", lag),
            ("checkpoint", number(tags.saved_position)),
            ("users seen", thousands(tags.live_users)),
            ("bytes on disk", thousands(tags.state_bytes)),
            ("bytes in memory", thousands(tags.memory_bytes)),
            ("timers", thousands(tags.timers)),
            ("problem", text(&tags.problem)),
            ("subscribers", subscribed(&live.subscribers)),
            ("parity", live.parity.as_ref().map_or_else(|| "–".to_owned(), compared)),
        ]);
    }
    let mut rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    rows.extend(live.topics.iter().flat_map(topic_rows));
    rows.extend(live.sinks.iter().flat_map(sink_rows));
    table::render(&["app", app], &rows)
}

/// Who reads the change feed, and how far behind the slowest is.
fn subscribed(subscribers: &SubscribersReport) -> String {
    let SubscribersReport { count, slowest_lag_records, slowest_lag_seconds } = subscribers;
    match slowest_lag_records {
        0 => thousands(*count),
        records => format!(
            "{}, the slowest {} records and {slowest_lag_seconds:.1} s behind",
            thousands(*count),
            thousands(*records)
        ),
    }
}

/// What the last comparison with the batch found.
fn compared(parity: &ParityStanding) -> String {
    let differ: u64 = parity.differences.values().sum();
    let found = match (parity.defects, differ) {
        (0, 0) => "no difference".to_owned(),
        (0, differ) => format!("{} values differ, all explained", thousands(differ)),
        (defects, _) => format!("{} values are wrong: see `taghouse parity`", thousands(defects)),
    };
    format!("{found}; {} users, {}", thousands(parity.users), parity.ended)
}

/// How a topic is read, and what keeps it from being read.
fn topic_rows(topic: &TopicReport) -> Vec<Vec<String>> {
    let TopicReport { source, state, partitions, records, rejected, .. } = topic;
    let lag = topic.lag_records.map_or_else(|| "–".to_owned(), thousands);
    let mut rows = vec![vec![
        format!("source {source}"),
        format!(
            "{state}, partitions {}, lag {lag}, records {}, rejected {}",
            partitions.len(),
            thousands(*records),
            thousands(*rejected)
        ),
    ]];
    let errors = [("problem", &topic.problem), ("last error", &topic.last_error)];
    for (name, error) in errors {
        if let Some(error) = error
            && (name == "problem" || topic.problem.as_ref() != Some(error))
        {
            rows.push(vec![format!("{name} of {source}"), error.clone()]);
        }
    }
    rows
}

/// How a sink is written, and what keeps it from being written.
fn sink_rows(sink: &SinkReport) -> Vec<Vec<String>> {
    let SinkReport { sink: name, state, sent, .. } = sink;
    let lag = sink.lag_records.map_or_else(|| "–".to_owned(), thousands);
    let mut shown = format!("{state}, sent {}, lag {lag}", thousands(*sent));
    if let Some(seconds) = sink.lag_seconds.filter(|seconds| *seconds > 0.0) {
        shown += &format!(", {seconds:.1} s");
    }
    if let Some(webhook) = &sink.webhook {
        let counts = [
            ("retried", webhook.retried),
            ("dead letters", webhook.dead_letters.unwrap_or(0)),
            ("removed", webhook.removed),
            ("lost", webhook.lost),
        ];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            shown += &format!(", {what} {}", thousands(count));
        }
    }
    let mut rows = vec![vec![format!("sink {name}"), shown]];
    if let Some(problem) = &sink.problem {
        rows.push(vec![format!("problem of {name}"), problem.clone()]);
    }
    rows
}

fn followed(live: &LiveBody) -> &'static str {
    match live.tags.position {
        Some(_) => "current",
        None => "not followed: no server runs",
    }
}
