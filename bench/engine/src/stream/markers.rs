//! Calls that come all the time, among them some of users whom nobody knows, by which it is seen
//! when a call shows.

use crate::crowd_spec::mix;
use crate::stream::node::Node;
use crate::stream::traffic::{Event, Traffic};
use std::time::{Duration, Instant};
use taghouse_model::Clock;
use tokio_util::sync::CancellationToken;

/// How often calls are appended.
const APPENDED_EVERY: Duration = Duration::from_millis(10);

/// A call of a new user, acknowledged.
pub(crate) struct Marker {
    /// Beyond all users of the traffic.
    pub(crate) user: u64,
    pub(crate) acknowledged: Instant,
}

/// Appends so many events a second, as of now, until it is stopped. With every tenth append comes
/// a marker: an event of name 0.
pub(crate) async fn write(
    node: &Node,
    traffic: &Traffic,
    per_s: u64,
    told: tokio::sync::mpsc::UnboundedSender<Marker>,
    stop: &CancellationToken,
) -> anyhow::Result<u64> {
    let (start, mut written) = (Instant::now(), 0);
    for turn in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let due = (start.elapsed().as_secs_f64() * per_s as f64) as u64;
        let now_ms = node.clock.now_ms();
        // Numbers that the log has not seen, so that message ids are new.
        let number = |at: u64| traffic.events + at;
        let mut events: Vec<Event> = (written..due)
            .map(|at| Event { time_ms: now_ms - 1, number: number(at), ..traffic.event(at) })
            .collect();
        written = due;
        let marked = (turn % 10 == 0).then_some(traffic.users + turn);
        if let Some(user) = marked {
            let number = mix(turn) | 1 << 63;
            events.push(Event { number, user, name: 0, cents: 100, time_ms: now_ms - 1 });
        }
        let records = events.iter().map(Event::record).collect::<anyhow::Result<Vec<_>>>()?;
        if !records.is_empty() {
            node.log.append(&node.app, records).await?;
        }
        if let Some(user) = marked {
            let _ = told.send(Marker { user, acknowledged: Instant::now() });
        }
        let next = APPENDED_EVERY * (turn as u32 + 1);
        tokio::time::sleep(next.saturating_sub(start.elapsed())).await;
    }
    Ok(written)
}
