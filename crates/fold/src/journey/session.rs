use super::{instant, ratio, whole};
use crate::partial::SessionSpan;
use crate::{Calendar, Outcome};
use taghouse_model::{TimestampMs, ValueType};
use taghouse_rules::SessionFunction;

/// A session tag, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) gap_ms: i64,
    pub(crate) function: SessionFunction,
    pub(crate) tag_type: ValueType,
    pub(crate) calendar: Calendar,
}

impl Session {
    /// What the spans, in order, come to.
    pub(crate) fn outcome(&self, spans: &[SessionSpan]) -> Outcome {
        let Some(last) = spans.last() else { return Outcome::Nothing };
        use SessionFunction as F;
        let count = spans.len() as i64;
        let bounces = spans.iter().filter(|span| span.events == 1).count() as i64;
        let events: i128 = spans.iter().map(|span| i128::from(span.events)).sum();
        let lengths = || spans.iter().map(length_ms);
        match self.function {
            F::Count => whole(count),
            F::Bounces => whole(bounces),
            F::Events => whole(i64::try_from(events).unwrap_or(i64::MAX)),
            F::Seconds => whole((lengths().sum::<i128>() / 1000) as i64),
            F::LongestSeconds => whole((lengths().max().unwrap_or(0) / 1000) as i64),
            F::AvgEvents => ratio(events, i128::from(count), self.tag_type),
            F::AvgSeconds => ratio(lengths().sum(), i128::from(count) * 1000, self.tag_type),
            F::BounceRate => ratio(i128::from(bounces), i128::from(count), self.tag_type),
            F::LastStart => instant(last.first_ms, self.tag_type, &self.calendar),
        }
    }
}

fn length_ms(span: &SessionSpan) -> i128 {
    let from: TimestampMs = span.first_ms;
    i128::from(span.last_ms) - i128::from(from)
}
