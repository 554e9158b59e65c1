//! What the last comparison of live tags with the batch found, for Prometheus.

use crate::exposition::{AppNumbers, family, sample, seconds};
use prometheus::proto::{MetricFamily, MetricType};

/// The class that is there for every tag, so that an alert on it has a number to look at.
const DEFECT: &str = "defect";

/// The families of the apps whose live tags were compared.
pub(crate) fn of_parity(apps: &[AppNumbers]) -> Vec<MetricFamily> {
    let kind = MetricType::GAUGE;
    let (mut differences, mut ended, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for of in apps {
        let Some(last) = &of.parity else { continue };
        let app = of.app.as_str();
        ended.push(sample(kind, seconds(last.ended_ms), &[("app", app)]));
        users.push(sample(kind, last.report.compared_users as f64, &[("app", app)]));
        for tag in &last.report.compared_tags {
            let none = (!tag.differences.contains_key(DEFECT)).then_some((DEFECT, 0));
            let counted = tag.differences.iter().map(|(class, count)| (class.as_str(), *count));
            for (class, count) in counted.chain(none) {
                let labels = [("app", app), ("tag", tag.name.as_str()), ("class", class)];
                differences.push(sample(kind, count as f64, &labels));
            }
        }
    }
    vec![
        family(
            "taghouse_parity_differences",
            "Values of the sample that differed between the stream and the batch at the last comparison, by class; 0 for the class defect where there is none.",
            kind,
            differences,
        ),
        family(
            "taghouse_parity_users",
            "Users whom the last comparison of live tags with the batch looked at.",
            kind,
            users,
        ),
        family(
            "taghouse_parity_last_run_timestamp_seconds",
            "When live tags were compared with the batch last, in seconds since 1970 UTC.",
            kind,
            ended,
        ),
    ]
}
