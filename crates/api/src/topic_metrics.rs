//! Numbers of the topics that sources read and sinks write, for Prometheus.

use crate::exposition::{AppNumbers, family, number, sample};
use prometheus::proto::{MetricFamily, MetricType};
use taghouse_wire::{SinkReport, TopicReport};

/// A number of each source that reads a topic; `None`: there is none now.
struct TopicMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&TopicReport) -> Option<f64>,
}

const TOPIC_METRICS: [TopicMetric; 7] = [
    TopicMetric {
        name: "taghouse_kafka_partitions",
        help: "Partitions of the source's topic that this server reads.",
        kind: MetricType::GAUGE,
        of: |topic| number(topic.partitions.len() as u64),
    },
    TopicMetric {
        name: "taghouse_kafka_lag_records",
        help: "Records of these partitions that are not in the log yet; absent while that is not known.",
        kind: MetricType::GAUGE,
        of: |topic| topic.lag_records.and_then(number),
    },
    TopicMetric {
        name: "taghouse_kafka_problem",
        help: "Whether something keeps the source from reading its topic: 1 or 0.",
        kind: MetricType::GAUGE,
        of: |topic| Some(f64::from(u8::from(topic.problem.is_some()))),
    },
    TopicMetric {
        name: "taghouse_kafka_records_total",
        help: "Records of the source's topic that landed, whatever became of them.",
        kind: MetricType::COUNTER,
        of: |topic| number(topic.records),
    },
    TopicMetric {
        name: "taghouse_kafka_rejected_total",
        help: "Records of the source's topic that were rejected.",
        kind: MetricType::COUNTER,
        of: |topic| number(topic.rejected),
    },
    TopicMetric {
        name: "taghouse_kafka_filtered_total",
        help: "Records of the source's topic that a filter left out, or that had no value.",
        kind: MetricType::COUNTER,
        of: |topic| number(topic.filtered),
    },
    TopicMetric {
        name: "taghouse_kafka_duplicate_total",
        help: "Records of the source's topic that were taken before, by offset or message id.",
        kind: MetricType::COUNTER,
        of: |topic| number(topic.duplicates),
    },
];

/// A number of each sink; `None`: there is none now.
struct SinkMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&SinkReport) -> Option<f64>,
}

const SINK_METRICS: [SinkMetric; 3] = [
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

/// The metrics of all sinks.
fn of_sinks(apps: &[AppNumbers]) -> impl Iterator<Item = MetricFamily> {
    SINK_METRICS.iter().map(move |metric| {
        let mut samples = Vec::new();
        for app in apps {
            for sink in app.live.iter().flat_map(|live| &live.sinks) {
                let labels = [("app", app.app.as_str()), ("sink", sink.sink.as_str())];
                samples.extend((metric.of)(sink).map(|value| sample(metric.kind, value, &labels)));
            }
        }
        family(metric.name, metric.help, metric.kind, samples)
    })
}

/// The metrics of all sources that read topics, and of all sinks.
pub(crate) fn of_topics(apps: &[AppNumbers]) -> Vec<MetricFamily> {
    let made = TOPIC_METRICS.iter().map(|metric| {
        let mut samples = Vec::new();
        for app in apps {
            for topic in app.live.iter().flat_map(|live| &live.topics) {
                let labels = [("app", app.app.as_str()), ("source", topic.source.as_str())];
                samples.extend((metric.of)(topic).map(|value| sample(metric.kind, value, &labels)));
            }
        }
        family(metric.name, metric.help, metric.kind, samples)
    });
    made.chain(of_sinks(apps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for TopicMetric { name, help, kind, .. } in &TOPIC_METRICS {
            assert!(name.starts_with("taghouse_kafka_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricType::COUNTER, "{name}");
            assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        }
    }
}
