//! `crowd.member`: is this user in that crowd; and `crowd.profile`: all values of one user, of
//! 10,000.

use crate::crowd_spec::{Spec, mix};
use crate::published::Published;
use crate::scenario::texts;
use crate::timing::{ms, percentile, us};
use serde_json::{Value as Json, json};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use taghouse_bitmap::Bitmap;

/// Users asked of each expression.
const USERS: u64 = 5_000;
/// How many profiles are read.
const PROFILES: u64 = 2_000;

/// Asks the index of `folder`, warm: `{member_p50_us, member_p99_us, evaluate_p50_us,
/// evaluate_p99_us, profile_p50_ms, profile_p99_ms, values}`.
///
/// `member` asks the set of a computed crowd, as a judgment does; `evaluate` asks the expression of
/// the stored tags, as `holds it for this user?` does.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::open(folder).await?;
    let user = |number: u64| (mix(number) % u64::from(spec.users)) as u32;
    let expressions = texts(spec)?
        .iter()
        .step_by(10)
        .map(|text| published.query(text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (mut members, mut evaluations) = (Vec::new(), Vec::new());
    for (number, expression) in expressions.iter().enumerate() {
        // All the blocks that a question can touch are then here and verified.
        let crowd = Bitmap::open(expression.bitmap()?.to_bytes()?)?;
        for ask in 0..USERS {
            let user = user(ask + ((number as u64) << 32));
            let start = Instant::now();
            let in_crowd = black_box(crowd.contains(black_box(user))?);
            members.push(start.elapsed());
            let start = Instant::now();
            let holds = black_box(expression.contains(black_box(user))?);
            evaluations.push(start.elapsed());
            anyhow::ensure!(in_crowd == holds, "user {user} is judged in two ways");
        }
    }
    let mut values = 0;
    let mut profile = |number: u64| -> anyhow::Result<Duration> {
        let start = Instant::now();
        for (_, segment) in published.snapshot.segments() {
            values += usize::from(segment?.value_of(user(number))?.is_some());
        }
        Ok(start.elapsed())
    };
    // The same users twice: the first time reads and verifies what lies on disk.
    (0..PROFILES).try_for_each(|number| profile(number).map(drop))?;
    let mut profiles = (0..PROFILES).map(profile).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({
        "member_p50_us": us(percentile(&mut members, 0.5)), "member_p99_us": us(percentile(&mut members, 0.99)),
        "evaluate_p50_us": us(percentile(&mut evaluations, 0.5)), "evaluate_p99_us": us(percentile(&mut evaluations, 0.99)),
        "profile_p50_ms": ms(percentile(&mut profiles, 0.5)), "profile_p99_ms": ms(percentile(&mut profiles, 0.99)), "values": values,
    }))
}
