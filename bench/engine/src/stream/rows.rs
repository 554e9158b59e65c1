//! The stream alone: rows that were read and decided by somebody else, from the fold to the values
//! shown.

use crate::stream::node::{Node, SetClock};
use crate::stream::play::{LAND_EVERY, TURN, check, settle};
use crate::stream::tags::definitions;
use crate::stream::traffic::{BEGIN_MS, Event, Traffic, user_id};
use crate::timing::{cpu_seconds, peak_bytes};
use anyhow::Context;
use arrow::array::{
    ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_ingest::{Admitted, Follower};
use taghouse_rules::Definitions;

/// An empty folder: `{events, seconds, events_per_s, cpu_seconds, values, users, state_bytes,
/// checked, peak_bytes}`. Rows are built outside the time, which ends when all states are
/// checkpointed and every value is in the index and the feed.
pub(crate) async fn run(folder: &Path, traffic: &Traffic, budget_mib: u64) -> anyhow::Result<Json> {
    std::fs::create_dir_all(folder)?;
    let clock = SetClock::at(BEGIN_MS);
    let node = Node::open(folder, definitions()?, clock, budget_mib << 20).await?;
    let Taken { time, cpu_seconds } = take_in(&node, traffic).await?;
    let (seconds, peak_bytes) = (time.as_secs_f64(), peak_bytes());
    let checked = check(&node, traffic, traffic.events).await?;
    let status = node.stream.status(&node.app).await.context("there are no live tags")?;
    Ok(json!({
        "events": traffic.events, "seconds": seconds,
        "events_per_s": traffic.events as f64 / seconds,
        "cpu_seconds": cpu_seconds, "values": status.values, "users": status.users,
        "state_bytes": status.state_bytes, "checked": checked, "peak_bytes": peak_bytes,
    }))
}

/// What it took.
pub(crate) struct Taken {
    time: Duration,
    cpu_seconds: f64,
}

/// Shows the stream of an empty folder all rows, until its states are checkpointed.
pub(crate) async fn take_in(node: &Node, traffic: &Traffic) -> anyhow::Result<Taken> {
    // The states of nobody.
    node.follow(0).await?;
    let (mut taken, mut cpu, mut at) = (Duration::ZERO, 0.0, 0);
    let mut saved = Instant::now();
    while at < traffic.events {
        let to = (at + TURN).min(traffic.events);
        let (events, attributes) = (batch(traffic, at..to)?, RecordBatch::new_empty(attributes()));
        let positions: Vec<u64> = (at + 1..=to).collect();
        node.clock.set(traffic.time_ms(to));
        let (start, cpu_before) = (Instant::now(), cpu_seconds()?);
        node.stream.admitted(rows(node, (at, to), &events, &positions, &attributes)).await;
        node.stream.tick(&node.definitions).await?;
        if saved.elapsed() >= LAND_EVERY {
            node.stream.landing(&node.app, to).await;
            saved = Instant::now();
        }
        taken += start.elapsed();
        cpu += cpu_seconds()? - cpu_before;
        at = to;
    }
    let (start, cpu_before) = (Instant::now(), cpu_seconds()?);
    node.stream.landing(&node.app, at).await;
    settle(node).await?;
    node.feeds.flush(&node.app).await?;
    let cpu_seconds = cpu + cpu_seconds()? - cpu_before;
    Ok(Taken { time: taken + start.elapsed(), cpu_seconds })
}

fn rows<'a>(
    node: &'a Node,
    (after, through): (u64, u64),
    events: &'a RecordBatch,
    event_positions: &'a [u64],
    attributes: &'a RecordBatch,
) -> Admitted<'a> {
    let definitions: &Arc<Definitions> = &node.definitions;
    Admitted {
        app: &node.app,
        definitions,
        after,
        gone: &[],
        changed: &[],
        links: &[],
        events,
        event_positions,
        attributes,
        attribute_positions: &[],
        through,
    }
}

fn batch(traffic: &Traffic, numbers: std::ops::Range<u64>) -> anyhow::Result<RecordBatch> {
    let events: Vec<Event> = numbers.map(|number| traffic.event(number)).collect();
    let texts = |of: &dyn Fn(&Event) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(of)))
    };
    let times = TimestampMicrosecondArray::from_iter_values(
        events.iter().map(|event| event.time_ms * 1000),
    );
    let amounts =
        Decimal128Array::from_iter_values(events.iter().map(|event| i128::from(event.cents)));
    Ok(RecordBatch::try_from_iter([
        ("user_id", texts(&|event| user_id(event.user))),
        ("event", texts(&|event| format!("event_{}", event.name))),
        ("time", Arc::new(times.with_timezone("+00:00")) as ArrayRef),
        ("message_id", texts(&|event| event.number.to_string())),
        ("source", texts(&|_| "live".to_owned())),
        ("amount", Arc::new(amounts.with_precision_and_scale(38, 2)?)),
    ])?)
}

fn attributes() -> arrow::datatypes::SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let names = ["user_id", "name", "value", "message_id"];
    let fields = names.map(text).into_iter().chain([Field::new("time", time, true)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
