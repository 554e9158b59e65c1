//! Numbers of the topics that sources read, for Prometheus.

use crate::exposition::{AppNumbers, family, number, sample};
use prometheus::proto::{MetricFamily, MetricType};
use taghouse_wire::TopicReport;

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

/// The metrics of all sources that read topics.
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
    made.collect()
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
