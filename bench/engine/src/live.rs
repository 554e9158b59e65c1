//! `crowd.live`: adds and removes of set members, durable before they are acknowledged, while the
//! scenario's expressions are asked one after the other.

use crate::crowd_spec::{Spec, mix};
use crate::published::{Published, app, index};
use crate::scenario::{TAGS, tag_name, texts, value_name};
use crate::timing::{ms, peak_bytes, percentile};
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use taghouse_index::{ChangeColumn, Changes, Index, LiveOptions, TagChanges};
use taghouse_model::{AppId, Name, Value};

/// How long is asked at rest, and how long meanwhile.
const ASKED: Duration = Duration::from_secs(15);

/// Callers that change at a time, each waiting for its answer.
const WRITERS: u64 = 2;

/// A change that is not seen then is lost.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// The pace of all writers together: a little more than the bound, so that what is asked meanwhile
/// is asked under the load that the bound speaks of.
const POINTS_PER_S: u64 = 1_100_000;

/// Points of one call: half of them added, half removed, in so many tags.
const CALL: u64 = 40_000;
const TAGS_OF_CALL: u64 = 10;

/// Works on a copy of the index of `folder`, in `copy`: `{points, points_per_s, seen_after_ms,
/// before, during, peak_bytes}`.
pub(crate) async fn run(spec: &Spec, folder: &Path, copy: &Path) -> anyhow::Result<Json> {
    if copy.exists() {
        std::fs::remove_dir_all(copy)
            .with_context(|| format!("cannot clear {}", copy.display()))?;
    }
    link_below(folder, copy)?;
    let index = Arc::new(index(copy).await?.with_live(copy.join("live"), LiveOptions::default()));
    let texts = Arc::new(texts(spec)?);
    let before = ask(&index, &texts, &AtomicBool::new(false), Some(ASKED)).await?;
    index.flush_in_background();

    let done = Arc::new(AtomicBool::new(false));
    let asked = tokio::spawn({
        let (index, texts, done) = (index.clone(), texts.clone(), done.clone());
        async move { ask(&index, &texts, &done, None).await }
    });
    let start = Instant::now();
    let (users, values) = (u64::from(spec.users), (spec.scenario.tags.len() / TAGS) as u64);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(index.clone(), (users, values), writer, start)))
        .collect();
    let (mut points, mut seen) = (0, Duration::ZERO);
    for writer in writers {
        let (acknowledged, until_seen) = writer.await??;
        points += acknowledged;
        seen = seen.max(until_seen);
    }
    let seconds = (start.elapsed() - seen).as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let during = asked.await??;
    Ok(json!({
        "points": points, "points_per_s": points as f64 / seconds, "seen_after_ms": ms(seen),
        "before": before.into_json(), "during": during.into_json(), "peak_bytes": peak_bytes(),
    }))
}

/// How long answers took, from taking the newest snapshot, and how much of that was the snapshot.
#[derive(Default)]
struct Answers {
    all: Vec<Duration>,
    snapshots: Vec<Duration>,
}

impl Answers {
    fn into_json(mut self) -> Json {
        let asked = self.all.len();
        let mut of = |share| {
            json!([
                ms(percentile(&mut self.all, share)),
                ms(percentile(&mut self.snapshots, share))
            ])
        };
        json!({ "asked": asked, "p50_ms_and_of_snapshots": of(0.5), "p99_ms_and_of_snapshots": of(0.99) })
    }
}

/// Asks until `done`, or for a time.
async fn ask(
    index: &Index,
    texts: &[String],
    done: &AtomicBool,
    limit: Option<Duration>,
) -> anyhow::Result<Answers> {
    let app = app()?;
    // The first round reads from disk.
    let warm = Published::of(index.snapshot(&app).await?.context("nothing was published")?);
    texts.iter().try_for_each(|text| warm.count(text).map(drop))?;
    let (start, mut answers) = (Instant::now(), Answers::default());
    for text in texts.iter().cycle() {
        if done.load(Ordering::Relaxed) || limit.is_some_and(|limit| start.elapsed() >= limit) {
            break;
        }
        let start = Instant::now();
        let published =
            Published::of(index.snapshot(&app).await?.context("nothing was published")?);
        answers.snapshots.push(start.elapsed());
        tokio::task::block_in_place(|| published.count(text))?;
        answers.all.push(start.elapsed());
    }
    ensure!(!answers.all.is_empty(), "nothing was asked");
    Ok(answers)
}

/// Changes for as long as is asked: how many points were acknowledged, and how long until the last
/// of them was seen.
async fn write(
    index: Arc<Index>,
    (users, values): (u64, u64),
    writer: u64,
    start: Instant,
) -> anyhow::Result<(u64, Duration)> {
    let app = app()?;
    let each = CALL / TAGS_OF_CALL / 2;
    let mut points = 0;
    let mut last = (0, 0, 0);
    for call in 0.. {
        if start.elapsed() >= ASKED {
            break;
        }
        let random = |number: u64| mix(number + (call << 20) + (writer << 44));
        let mut changes = Changes { generation: 1, ..Changes::default() };
        for place in 0..TAGS_OF_CALL {
            let tag = (random(place) % TAGS as u64) as usize;
            let value = (random(place + 64) % values) as usize;
            let ordinals = |from: u64| {
                (from..from + each)
                    .map(|number| (random(number + 128 + place * CALL) % users) as u32)
                    .collect::<Vec<_>>()
            };
            let (texts, codes) =
                (vec![Arc::from(value_name(value))], vec![0; usize::try_from(each)?]);
            let (added, removed) = (ordinals(0), ordinals(each));
            last = (
                tag,
                value,
                added
                    .iter()
                    .copied()
                    .find(|user| !removed.contains(user))
                    .context("all were removed again")?,
            );
            let tag = Name::new(&tag_name(tag))?;
            let remove = ChangeColumn::Remove { texts: texts.clone(), codes: codes.clone() };
            changes.columns.push(TagChanges {
                tag: tag.clone(),
                ordinals: removed,
                column: remove,
            });
            changes.columns.push(TagChanges {
                tag,
                ordinals: added,
                column: ChangeColumn::Add { texts, codes },
            });
        }
        index.change(&app, changes).await?;
        points += 2 * each * TAGS_OF_CALL;
        // Ahead of the pace, it waits.
        let due = Duration::from_secs_f64(points as f64 / (POINTS_PER_S / WRITERS) as f64);
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
    }
    let acknowledged = Instant::now();
    while !is_member(&index, &app, last).await? {
        ensure!(
            acknowledged.elapsed() < GIVEN_UP,
            "an acknowledged change is not seen after {GIVEN_UP:?}: {last:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((points, acknowledged.elapsed()))
}

/// Whether a user is seen to have a value: (tag, value, user).
async fn is_member(
    index: &Index,
    app: &AppId,
    (tag, value, user): (usize, usize, u32),
) -> anyhow::Result<bool> {
    let snapshot = index.snapshot(app).await?.context("nothing was published")?;
    let found = snapshot.tag(&tag_name(tag))?.context("the tag is gone")?.value_of(user)?;
    let member: Arc<str> = value_name(value).into();
    Ok(matches!(found, Some(Value::Set(members)) if members.contains(&member)))
}

/// The same files below another folder: hard links, but copies of what a database writes in place.
fn link_below(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            link_below(&from, &to)?;
        } else if entry.file_name().to_string_lossy().starts_with("catalog.db") {
            std::fs::copy(&from, &to)?;
        } else {
            std::fs::hard_link(&from, &to)?;
        }
    }
    Ok(())
}
