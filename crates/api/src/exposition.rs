//! The text that Prometheus reads: names, what they mean, and where each number is from.
//!
//! Numbers that the catalog keeps outlive the process, so counters begin at what they were.

use crate::Problem;
use crate::gates::OpenCalls;
use crate::parity_metrics::of_parity;
use crate::sink_metrics::of_sinks;
use crate::topic_metrics::of_topics;
use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use taghouse_engine::LastParity;
use taghouse_feed::{Extent, Lag};
use taghouse_ingest::LiveTotals;
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::LiveBody;

/// What is known of an app.
pub(crate) struct AppNumbers {
    pub(crate) app: AppId,
    pub(crate) is_ready: bool,
    /// `None`: its definitions cannot be read.
    pub(crate) live: Option<LiveBody>,
    pub(crate) messages: LiveTotals,
    pub(crate) feed: Extent,
    pub(crate) lag: Lag,
    /// The last comparison of live tags with the batch.
    pub(crate) parity: Option<LastParity>,
}

/// What is known of the process.
pub(crate) struct ProcessNumbers {
    pub(crate) uptime_ms: i64,
    pub(crate) open: Vec<OpenCalls>,
}

/// A number of each app; `None`: there is none now.
struct AppMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&AppNumbers) -> Option<f64>,
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    of: fn(&AppNumbers) -> Option<f64>,
) -> AppMetric {
    AppMetric { name, help, kind: MetricType::GAUGE, of }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    of: fn(&AppNumbers) -> Option<f64>,
) -> AppMetric {
    AppMetric { name, help, kind: MetricType::COUNTER, of }
}

/// A number of the log and of the live tags.
macro_rules! live {
    ($app:ident => $live:ident, $number:expr) => {
        |$app| {
            let $live = $app.live.as_ref()?;
            $number
        }
    };
}

const APP_METRICS: [AppMetric; 29] = [
    gauge(
        "taghouse_app_ready",
        "Whether the app can be asked: 1, or 0 where its definitions cannot be read or its live tags have no values yet.",
        |app| Some(f64::from(u8::from(app.is_ready))),
    ),
    gauge(
        "taghouse_log_end_position",
        "Last position of the app's log of live calls.",
        live!(app => live, number(live.log_end)),
    ),
    gauge(
        "taghouse_log_landed_position",
        "Position of the log through which calls have landed in the lake.",
        live!(app => live, number(live.landed_position)),
    ),
    gauge(
        "taghouse_log_waiting_records",
        "Records of the log that have not landed.",
        live!(app => live, number(live.waiting_records)),
    ),
    gauge(
        "taghouse_live_tags",
        "Tags that the stream keeps current.",
        live!(app => live, number(live.tags.live_tags)),
    ),
    gauge(
        "taghouse_live_position",
        "Position of the log up to which everything is in the values of live tags; absent while there are no states.",
        live!(app => live, maybe(live.tags.position)),
    ),
    gauge(
        "taghouse_live_checkpoint_position",
        "Position of the log that the last checkpoint of the live tags' states holds.",
        live!(app => live, maybe(live.tags.saved_position)),
    ),
    gauge(
        "taghouse_live_lag_records",
        "Records of the log that are not in the values of live tags yet; absent while there are no states.",
        live!(app => live, maybe(live.lag_records)),
    ),
    gauge(
        "taghouse_live_lag_seconds",
        "Age of the oldest record of the log that is not in the values of live tags yet, 0 if there is none; absent while there are no states.",
        live!(app => live, live.lag_seconds),
    ),
    gauge(
        "taghouse_live_computing",
        "Whether states of live tags are being computed from the lake: 1 or 0.",
        live!(app => live, Some(f64::from(u8::from(live.tags.computing)))),
    ),
    gauge(
        "taghouse_live_seen_users",
        "Users whom the live tags have seen.",
        live!(app => live, number(live.tags.live_users)),
    ),
    gauge(
        "taghouse_live_state_disk_bytes",
        "Bytes of the stored states of live tags.",
        live!(app => live, number(live.tags.state_bytes)),
    ),
    gauge(
        "taghouse_live_state_memory_bytes",
        "Bytes of the states of live tags in memory.",
        live!(app => live, number(live.tags.memory_bytes)),
    ),
    gauge(
        "taghouse_live_timers",
        "Values of live tags that will change by time alone.",
        live!(app => live, number(live.tags.timers)),
    ),
    gauge(
        "taghouse_live_timers_due",
        "Those of these values whose time has come already.",
        live!(app => live, number(live.tags.timers_due)),
    ),
    counter(
        "taghouse_live_values_changed_total",
        "Values of live tags that changed since the process began.",
        live!(app => live, number(live.tags.values)),
    ),
    counter(
        "taghouse_live_tags_computed_total",
        "Live tags whose values were computed from the lake since the process began.",
        live!(app => live, number(live.tags.computed)),
    ),
    counter(
        "taghouse_live_file_rows_total",
        "Rows of files that came into live tags without such a computation.",
        live!(app => live, number(live.tags.file_rows)),
    ),
    gauge("taghouse_feed_last_id", "Id of the last record of the app's change feed.", |app| {
        number(app.feed.end)
    }),
    gauge("taghouse_feed_disk_bytes", "Bytes of the app's change feed on disk.", |app| {
        number(app.feed.bytes)
    }),
    gauge("taghouse_feed_subscribers", "Subscribers of the app's change feed.", |app| {
        number(app.lag.subscribers)
    }),
    gauge(
        "taghouse_feed_slowest_lag_records",
        "Records of the change feed that the slowest subscriber has not taken; 0 without subscribers.",
        |app| number(app.lag.records),
    ),
    gauge(
        "taghouse_feed_slowest_lag_seconds",
        "Age of the oldest record that the slowest subscriber of the change feed has not taken, 0 if there is none.",
        |app| Some(app.lag.age_ms as f64 / 1000.0),
    ),
    counter(
        "taghouse_messages_total",
        "Messages of live calls that landed, whatever became of them.",
        |app| number(app.messages.messages),
    ),
    counter(
        "taghouse_messages_accepted_total",
        "Messages of live calls that gave events, attributes or a user.",
        |app| number(app.messages.accepted),
    ),
    counter(
        "taghouse_messages_filtered_total",
        "Messages of live calls that a filter left out.",
        |app| number(app.messages.filtered),
    ),
    counter(
        "taghouse_messages_duplicate_total",
        "Messages of live calls dropped because their message id had been received before.",
        |app| number(app.messages.duplicates),
    ),
    counter(
        "taghouse_rejected_rows_total",
        "Rows of rejected_events from live calls: messages, and single fields of messages that landed without them.",
        |app| number(app.messages.rejected),
    ),
    gauge(
        "taghouse_last_landing_timestamp_seconds",
        "When live calls landed last, in seconds since 1970 UTC.",
        |app| app.messages.landed_ms.map(seconds),
    ),
];

/// Exact up to 2^53, far beyond what is counted here.
pub(crate) fn number(number: u64) -> Option<f64> {
    Some(number as f64)
}

fn maybe(number: Option<u64>) -> Option<f64> {
    number.map(|number| number as f64)
}

pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The text of all metrics.
///
/// # Errors
/// Internal: the encoder refuses a metric.
pub(crate) fn exposed(process: &ProcessNumbers, apps: &[AppNumbers]) -> Result<String, Problem> {
    let mut families = of_process(process);
    for metric in &APP_METRICS {
        let sample = |app: &AppNumbers| {
            Some(sample(metric.kind, (metric.of)(app)?, &[("app", app.app.as_str())]))
        };
        families.push(family(
            metric.name,
            metric.help,
            metric.kind,
            apps.iter().filter_map(sample).collect(),
        ));
    }
    families.extend(of_topics(apps));
    families.extend(of_parity(apps));
    families.extend(of_sinks(apps));
    // The encoder refuses one without a number.
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|error| Problem::new(ErrorKind::Internal, error.to_string()))
}

fn of_process(process: &ProcessNumbers) -> Vec<MetricFamily> {
    let kind = MetricType::GAUGE;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let open = |open: &OpenCalls| sample(kind, open.calls as f64, &[("kind", open.kind)]);
    vec![
        family(
            "taghouse_build_info",
            "The version of the server; always 1.",
            kind,
            vec![sample(kind, 1.0, &version)],
        ),
        family(
            "taghouse_uptime_seconds",
            "How long the process has been running.",
            kind,
            vec![sample(kind, seconds(process.uptime_ms), &[])],
        ),
        family(
            "taghouse_open_requests",
            "Requests under way that count against a limit of their key.",
            kind,
            process.open.iter().map(open).collect(),
        ),
    ]
}

pub(crate) fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    samples: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

pub(crate) fn sample(kind: MetricType, value: f64, labels: &[(&str, &str)]) -> Metric {
    let label = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    let mut metric = Metric::from_label(labels.iter().map(label).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut names = HashSet::new();
        for AppMetric { name, help, kind, .. } in &APP_METRICS {
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("taghouse_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricType::COUNTER, "{name}");
            assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        }
    }
}
