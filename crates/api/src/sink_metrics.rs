//! Numbers of the sinks, for Prometheus: topics and webhooks each have their own.

use crate::exposition::{AppNumbers, family, number, sample};
use prometheus::proto::{MetricFamily, MetricType};
use taghouse_wire::{SinkReport, WebhookReport};

/// A number of each sink of one format; `None`: there is none now.
struct SinkMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&SinkReport) -> Option<f64>,
}

const OF_TOPICS: [SinkMetric; 3] = [
    SinkMetric {
        name: "taghouse_kafka_sink_lag_records",
        help: "Records of the change feed that the sink has not sent yet; absent while that is not known.",
        kind: MetricType::GAUGE,
        of: |sink| sink.lag_records.and_then(number),
    },
    SinkMetric {
        name: "taghouse_kafka_sink_problem",
        help: "Whether something keeps the sink from being written: 1 or 0.",
        kind: MetricType::GAUGE,
        of: |sink| Some(f64::from(u8::from(sink.problem.is_some()))),
    },
    SinkMetric {
        name: "taghouse_kafka_sink_sent_total",
        help: "Events of the sink that the cluster has acknowledged since the process began.",
        kind: MetricType::COUNTER,
        of: |sink| number(sink.sent),
    },
];

fn webhook(sink: &SinkReport, of: fn(&WebhookReport) -> u64) -> Option<f64> {
    sink.webhook.as_ref().and_then(|webhook| number(of(webhook)))
}

const OF_WEBHOOKS: [SinkMetric; 9] = [
    SinkMetric {
        name: "taghouse_webhook_lag_records",
        help: "Records of the change feed that the sink has not delivered yet; absent while that is not known.",
        kind: MetricType::GAUGE,
        of: |sink| sink.lag_records.and_then(number),
    },
    SinkMetric {
        name: "taghouse_webhook_lag_seconds",
        help: "Age of the oldest change that waits to be delivered; 0 if none waits, absent while that is not known.",
        kind: MetricType::GAUGE,
        of: |sink| sink.lag_seconds,
    },
    SinkMetric {
        name: "taghouse_webhook_problem",
        help: "Whether something keeps the sink from delivering: 1 or 0.",
        kind: MetricType::GAUGE,
        of: |sink| Some(f64::from(u8::from(sink.problem.is_some()))),
    },
    SinkMetric {
        name: "taghouse_webhook_delivered_total",
        help: "Events that the receiver has taken since the process began.",
        kind: MetricType::COUNTER,
        of: |sink| number(sink.sent),
    },
    SinkMetric {
        name: "taghouse_webhook_retried_total",
        help: "Requests that failed and were, or are to be, repeated since the process began.",
        kind: MetricType::COUNTER,
        of: |sink| webhook(sink, |webhook| webhook.retried),
    },
    SinkMetric {
        name: "taghouse_webhook_dead_lettered_total",
        help: "Events that went to the dead letters since the process began.",
        kind: MetricType::COUNTER,
        of: |sink| webhook(sink, |webhook| webhook.dead_lettered),
    },
    SinkMetric {
        name: "taghouse_webhook_dead_letters",
        help: "Dead letters of the sink that there are; absent while that is not known.",
        kind: MetricType::GAUGE,
        of: |sink| sink.webhook.as_ref()?.dead_letters.and_then(number),
    },
    SinkMetric {
        name: "taghouse_webhook_removed_total",
        help: "Dead letters that were removed since the process began, because they were too old or too many.",
        kind: MetricType::COUNTER,
        of: |sink| webhook(sink, |webhook| webhook.removed),
    },
    SinkMetric {
        name: "taghouse_webhook_lost_total",
        help: "Records that the change feed did not keep until they were sent, since the process began.",
        kind: MetricType::COUNTER,
        of: |sink| webhook(sink, |webhook| webhook.lost),
    },
];

/// The metrics of all sinks.
pub(crate) fn of_sinks(apps: &[AppNumbers]) -> Vec<MetricFamily> {
    let topics = OF_TOPICS.iter().map(|metric| ("kafka", metric));
    let webhooks = OF_WEBHOOKS.iter().map(|metric| ("webhook", metric));
    let made = topics.chain(webhooks).map(|(format, metric)| {
        let mut samples = Vec::new();
        for app in apps {
            let sinks = app.live.iter().flat_map(|live| &live.sinks);
            for sink in sinks.filter(|sink| sink.format == format) {
                let labels = [("app", app.app.as_str()), ("sink", sink.sink.as_str())];
                samples.extend((metric.of)(sink).map(|value| sample(metric.kind, value, &labels)));
            }
        }
        family(metric.name, metric.help, metric.kind, samples)
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for SinkMetric { name, help, kind, .. } in OF_TOPICS.iter().chain(&OF_WEBHOOKS) {
            let of_format =
                name.starts_with("taghouse_kafka_sink_") || name.starts_with("taghouse_webhook_");
            assert!(of_format, "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricType::COUNTER, "{name}");
            assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        }
    }
}
