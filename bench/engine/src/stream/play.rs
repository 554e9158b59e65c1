//! Lets the log of a folder pass by, and what must come of it.

use crate::stream::node::Node;
use crate::stream::tags::{DAYS, NAMES};
use crate::stream::traffic::{Traffic, user_id};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use taghouse_model::{Clock, Value};

/// Records that are shown to the stream at a time: as many as are admitted at once.
pub(crate) const TURN: u64 = 50_000;

/// How often what is admitted lands, as the server does it.
pub(crate) const LAND_EVERY: Duration = Duration::from_secs(10);

/// One of so many users is checked.
const CHECKED_EVERY: u64 = 97;
/// Besides the first users.
const CHECKED_FIRST: u64 = 20;

/// Shows the stream the events up to a number, as fast as it takes them, then what time it is.
pub(crate) async fn play(
    node: &Node,
    traffic: &Traffic,
    range: std::ops::Range<u64>,
) -> anyhow::Result<()> {
    let mut landed = Instant::now();
    let mut at = range.start;
    while at < range.end {
        at = (at + TURN).min(range.end);
        node.clock.reach(traffic.time_ms(at));
        node.follow(at).await?;
        if landed.elapsed() >= LAND_EVERY {
            node.land(at).await?;
            landed = Instant::now();
        }
    }
    node.land(range.end).await?;
    settle(node).await?;
    node.feeds.flush(&node.app).await?;
    Ok(())
}

/// Until all is shown that time alone changes.
pub(crate) async fn settle(node: &Node) -> anyhow::Result<()> {
    loop {
        let status = node.stream.status(&node.app).await.context("there are no live tags")?;
        if status.timers_due == 0 {
            node.index.position(&node.app).await?;
            return Ok(());
        }
        node.stream.tick(&node.definitions).await?;
    }
}

/// Holds the values in the index against a plain count of the events up to a number, of some users,
/// as of what the clock shows.
pub(crate) async fn check(node: &Node, traffic: &Traffic, events: u64) -> anyhow::Result<u64> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let last_day = (node.clock.now_ms() - 1).div_euclid(DAY_MS);
    let is_checked = |user: u64| user < CHECKED_FIRST || user.is_multiple_of(CHECKED_EVERY);
    let mut expected: BTreeMap<(u64, u64), (i64, u64)> = BTreeMap::new();
    for event in (0..events).map(|number| traffic.event(number)) {
        if is_checked(event.user) && event.time_ms.div_euclid(DAY_MS) > last_day - DAYS {
            let (count, cents) = expected.entry((event.user, event.name)).or_default();
            *count += 1;
            *cents += event.cents;
        }
    }
    let snapshot = node.index.snapshot(&node.app).await?.context("nothing is shown")?;
    let users: Vec<u64> = (0..traffic.users).filter(|user| is_checked(*user)).collect();
    let ids: Vec<String> = users.iter().map(|user| user_id(*user)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let ordinals = node.dictionary.lookup(&node.app, &ids)?;
    let mut checked = 0;
    for name in 0..NAMES {
        let counts = snapshot.tag(&format!("count_{name}"))?.context("a tag is missing")?;
        let sums = snapshot.tag(&format!("sum_{name}"))?.context("a tag is missing")?;
        for (user, ordinal) in users.iter().zip(&ordinals) {
            let wanted = expected.get(&(*user, name));
            let Some(ordinal) = ordinal else {
                ensure!(wanted.is_none(), "user {user} is not known");
                continue;
            };
            let count = counts.value_of(*ordinal)?;
            let cents = match sums.value_of(*ordinal)? {
                Some(Value::Decimal(sum)) => Some(sum.to_string().parse::<f64>()? * 100.0),
                Some(other) => anyhow::bail!("a sum is {other:?}"),
                None => None,
            };
            let wanted_count = wanted.map(|(count, _)| Value::Int(*count));
            let wanted_cents = wanted.map(|(_, cents)| *cents as f64);
            ensure!(
                count == wanted_count,
                "user {user} has {count:?} of event {name}, not {wanted_count:?}"
            );
            ensure!(
                cents
                    .zip(wanted_cents)
                    .map_or(cents.is_none() && wanted_cents.is_none(), |(a, b)| (a - b).abs()
                        < 0.5),
                "user {user} has {cents:?} cents of event {name}, not {wanted_cents:?}"
            );
            checked += 1;
        }
    }
    Ok(checked)
}
