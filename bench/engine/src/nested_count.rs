//! A nested crowd expression over generated bool tags, from its text to the number of users,
//! through a published index on disk.

use anyhow::{Context, ensure};
use object_store::local::LocalFileSystem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_bitmap::Bitmap;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{Index, Publication, SegmentBuilder, Snapshot, TagPublication};
use taghouse_model::{AppId, Name, Value, ValueType};
use xxhash_rust::xxh3::xxh3_64;

/// Tags and their shares in a thousand users; `bench/chdb_nested.py` draws the same.
const TAGS: [(&str, u64); 5] =
    [("half", 500), ("tenth_a", 100), ("tenth_b", 100), ("hundredth", 10), ("third", 300)];

const EXPRESSION: &str =
    "half == true && (tenth_a == true || tenth_b == true) && !(hundredth == true) && third == true";

const RUNS: usize = 15;

/// Publishes the tags for `users` users below `folder`, and times the count: the median of 15 in
/// `median_ms`.
///
/// # Errors
/// A folder that cannot be written; a count that differs from a plain one.
pub(crate) async fn run(folder: &Path, users: u32) -> anyhow::Result<serde_json::Value> {
    let snapshot = publish(folder, users).await?;
    let mut times = Vec::with_capacity(RUNS);
    let mut count = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        count = count_users(&snapshot)?;
        times.push(start.elapsed());
    }
    times.sort();
    let expected = plain_count(users);
    ensure!(count == expected, "the index counts {count} users, a plain count {expected}");
    Ok(
        serde_json::json!({ "count": count, "median_ms": ms(times[RUNS / 2]), "least_ms": ms(times[0]) }),
    )
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn has(user: u32, tag: usize) -> bool {
    let input = u64::from(user) + ((tag as u64 + 1) << 32);
    xxh3_64(&input.to_le_bytes()) % 1000 < TAGS[tag].1
}

fn plain_count(users: u32) -> u64 {
    (0..users)
        .filter(|&user| {
            has(user, 0) && (has(user, 1) || has(user, 2)) && !has(user, 3) && has(user, 4)
        })
        .count() as u64
}

async fn publish(folder: &Path, users: u32) -> anyhow::Result<Arc<Snapshot>> {
    let objects = folder.join("objects");
    std::fs::create_dir_all(&objects)
        .with_context(|| format!("cannot make {}", objects.display()))?;
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    let index =
        Index::new(Arc::new(LocalFileSystem::new_with_prefix(&objects)?), catalog).local(objects);
    let app = AppId::new("bench")?;
    let mut tags = Vec::new();
    for (tag, (name, _)) in TAGS.iter().enumerate() {
        let mut builder = SegmentBuilder::new(ValueType::Bool);
        for user in (0..users).filter(|&user| has(user, tag)) {
            builder.add(user, &Value::Bool(true))?;
        }
        tags.push(TagPublication {
            name: Name::new(name)?,
            value_type: ValueType::Bool,
            as_of_ms: 0,
            definition: serde_json::Value::Null,
            segment: builder.finish()?.into(),
            flushed_through: None,
        });
    }
    let users: Bitmap = (0..users).collect();
    index
        .publish(&app, Publication { generation: 1, users, tags, drop: Vec::new() }, Vec::new())
        .await?;
    index.snapshot(&app).await?.context("nothing was published")
}

fn count_users(snapshot: &Snapshot) -> anyhow::Result<u64> {
    let types = |name: &str| TAGS.iter().any(|(tag, _)| *tag == name).then_some(ValueType::Bool);
    let predicate = taghouse_rules::parse_predicate(EXPRESSION)?.check(
        &types,
        &|_| false,
        &jiff::tz::TimeZone::UTC,
    )?;
    Ok(snapshot.evaluate(&predicate, &|_| None)?.count()?)
}
