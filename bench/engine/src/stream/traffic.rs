//! Who does what when: events drawn by one formula, so that they need not be kept to be known.

use crate::crowd_spec::mix;
use crate::stream::tags::NAMES;
use anyhow::{Context, ensure};
use taghouse_ingest::{LogRecord, RecordBody};
use taghouse_model::TimestampMs;

/// 2026-03-01T00:00Z
pub(crate) const BEGIN_MS: TimestampMs = 1_772_323_200_000;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Events of so many users, evenly over so many days; the first user's share is `skew` percent, the
/// others' as in Zipf's law.
pub(crate) struct Traffic {
    pub(crate) events: u64,
    pub(crate) users: u64,
    pub(crate) days: i64,
    /// The share of events up to each rank.
    shares: Vec<f64>,
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    /// From 0; the record's position is one higher.
    pub(crate) number: u64,
    pub(crate) user: u64,
    pub(crate) name: u64,
    pub(crate) cents: u64,
    pub(crate) time_ms: TimestampMs,
}

impl Traffic {
    /// `EVENTS,USERS,DAYS,PERCENT`, the last one the first user's share; `even` where all users
    /// have the same.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(',').collect();
        let [events, users, days, first] = parts[..] else {
            anyhow::bail!("traffic is EVENTS,USERS,DAYS,PERCENT or EVENTS,USERS,DAYS,even");
        };
        let (events, users, days) = (events.parse()?, users.parse()?, days.parse()?);
        ensure!(events > 0 && users > 1 && days > 0, "there is nothing to draw");
        let weights: Vec<f64> = match first {
            "even" => vec![1.0; usize::try_from(users)?],
            percent => skewed(usize::try_from(users)?, percent.parse::<f64>()? / 100.0),
        };
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let shares = weights
            .into_iter()
            .map(|weight| {
                sum += weight / total;
                sum
            })
            .collect();
        Ok(Self { events, users, days, shares })
    }

    pub(crate) fn event(&self, number: u64) -> Event {
        let share = (mix(number) >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = self.shares.partition_point(|up_to| *up_to <= share) as u64;
        let other = mix(number ^ (1 << 60));
        Event {
            number,
            user: rank.min(self.users - 1),
            name: other % NAMES,
            cents: (other >> 32) % 100_000,
            time_ms: self.time_ms(number),
        }
    }

    /// When the event of this number happens.
    pub(crate) fn time_ms(&self, number: u64) -> TimestampMs {
        let span = self.days * DAY_MS;
        BEGIN_MS + (i128::from(number) * i128::from(span) / i128::from(self.events)) as i64
    }
}

/// Zipf's law, with the first user's share set.
fn skewed(users: usize, first: f64) -> Vec<f64> {
    let mut weights: Vec<f64> = (1..=users).map(|rank| 1.0 / rank as f64).collect();
    let others: f64 = weights[1..].iter().sum();
    weights[0] = others * first / (1.0 - first);
    weights
}

/// A user's id.
pub(crate) fn user_id(user: u64) -> String {
    format!("u{:015x}", mix(user) >> 4)
}

impl Event {
    pub(crate) fn record(&self) -> anyhow::Result<Vec<u8>> {
        let Self { number, user, name, cents, time_ms } = *self;
        let (high, low) = (mix(number ^ (1 << 61)), mix(number ^ (1 << 62)));
        let record = LogRecord {
            message_id: format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                (high >> 4) & 0xfff,
                low >> 52,
                low & 0xffff_ffff_ffff
            ),
            received_at_ms: time_ms,
            replaced: 0,
            anonymous: false,
            other_ids: Vec::new(),
            body: RecordBody::Event {
                user_id: user_id(user),
                time_ms,
                name: format!("event_{name}"),
                properties: format!("{{\"amount\":{}.{:02}}}", cents / 100, cents % 100),
            },
        };
        record.encode().context("an event cannot be a record")
    }
}
