//! `serve.which_crowds`: which of very many crowds hold a user. The crowds lie on disk as productions
//! leave them, each a version of its own object; what is measured is the question as the route asks it.

use crate::crowd_spec::mix;
use crate::published::{app, index};
use crate::timing::{held_bytes, ms, percentile};
use anyhow::{Context, ensure};
use object_store::local::LocalFileSystem;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::{Catalog, Change, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_model::{Clock, TimestampMs};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

const USERS: u32 = 1_000_000;
/// Pointers of one commit.
const COMMITTED: usize = 1_000;
/// Questions that count, after one that reads what lies on disk.
const ASKED: u64 = 2_000;

/// Members of a crowd: a few are large, most are small.
fn members(crowd: u64) -> u64 {
    match crowd % 100 {
        0 => 50_000,
        1..10 => 5_000,
        _ => 300,
    }
}

/// No age is measured here.
struct Still;

impl Clock for Still {
    fn now_ms(&self) -> TimestampMs {
        1
    }
}

/// Users of whom it is known which crowds hold them.
const KNOWN: [u32; 3] = [0, 77_777, 999_999];

fn members_of(crowd: u64) -> Bitmap {
    let drawn = (0..members(crowd)).map(|member| mix((crowd << 32) | member));
    drawn.map(|drawn| (drawn % u64::from(USERS)) as u32).collect()
}

/// Makes `crowds` crowds below `folder`, which it clears, and asks: `{p50_ms, p99_ms, first_s,
/// memory_bytes, crowds, held}`.
pub(crate) async fn run(folder: &Path, crowds: u64) -> anyhow::Result<Json> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let index = Arc::new(index(folder).await?);
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary"))?);
    let ids: Vec<String> = (0..USERS).map(|user| format!("u{user:07}")).collect();
    dictionary.assign(&app()?, &ids.iter().map(String::as_str).collect::<Vec<_>>())?;
    let holding = make(folder, catalog.as_ref(), dictionary.generation(&app()?), crowds).await?;
    let definitions = definitions(crowds)?;

    let before = held_bytes();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.join("objects"))?);
    let known = Crowds::new(store, catalog, index, dictionary, Arc::new(Still));
    known.define(&definitions);
    let start = Instant::now();
    known.crowds_of(&definitions, "u0000000").await?;
    let first_s = start.elapsed().as_secs_f64();
    let (mut times, mut held) = (Vec::new(), 0);
    for asked in 0..ASKED {
        let user = (mix(asked) % u64::from(USERS)) as u32;
        let start = Instant::now();
        let found = known.crowds_of(&definitions, &format!("u{user:07}")).await?;
        times.push(start.elapsed());
        held += found.crowds.len();
        ensure!(found.unanswered_count == 0, "{} do not answer", found.unanswered_count);
    }
    for (user, expected) in KNOWN.into_iter().zip(holding) {
        let found = known.crowds_of(&definitions, &format!("u{user:07}")).await?.crowds.len();
        ensure!(found == expected, "{found} crowds hold user {user}, not {expected}");
    }
    Ok(json!({
        "p50_ms": ms(percentile(&mut times, 0.5)), "p99_ms": ms(percentile(&mut times, 0.99)),
        "first_s": first_s, "memory_bytes": held_bytes().saturating_sub(before),
        "crowds": crowds, "held": held as f64 / ASKED as f64,
    }))
}

fn definitions(crowds: u64) -> anyhow::Result<Arc<Definitions>> {
    let mut text = "kind: app\nid: bench\ntime_zone: UTC\n---\n{kind: tag, name: t, type: int, aggregate: {events: [e], function: count}}\n".to_owned();
    for crowd in 0..crowds {
        text += &format!("---\n{{kind: crowd, name: c{crowd:06}, expression: \"t >= 1\"}}\n");
    }
    let file = DefinitionFile { path: "bench.yaml".to_owned(), text };
    let parsed = parse_definitions(&[file])
        .map_err(|errors| anyhow::anyhow!("the definitions cannot be read: {errors:?}"))?;
    let checked = Definitions::check(&parsed)
        .map_err(|errors| anyhow::anyhow!("the definitions do not check: {errors:?}"))?;
    Ok(Arc::new(checked))
}

/// Writes the objects and their pointers. Gives how many hold each of [`KNOWN`].
async fn make(
    folder: &Path,
    catalog: &dyn Catalog,
    generation: u64,
    crowds: u64,
) -> anyhow::Result<[usize; 3]> {
    let mut holding = [0; 3];
    let objects = folder.join("objects/crowds/bench");
    std::fs::create_dir_all(&objects)?;
    let mut changes = Vec::with_capacity(COMMITTED);
    for crowd in 0..crowds {
        let bitmap = members_of(crowd);
        for (user, holding) in KNOWN.into_iter().zip(&mut holding) {
            *holding += usize::from(bitmap.contains(user));
        }
        let object = format!("crowds/bench/{crowd}.crowd");
        let place = objects.join(format!("{crowd}.crowd"));
        std::fs::write(&place, bitmap.to_bytes()?)
            .with_context(|| format!("cannot write {}", place.display()))?;
        let version = json!({
            "version": 1, "size": bitmap.len(), "revision": 1, "generation": generation,
            "oldest_as_of_ms": null, "newest_as_of_ms": null, "expression": "t >= 1",
            "created_ms": 1, "object": object,
        });
        changes.push(Change::PutPointer {
            kind: "crowd".to_owned(),
            app: app()?,
            name: format!("c{crowd:06}"),
            expected: None,
            value: json!({"current": 1, "last": 1, "versions": [version], "turns": []}),
        });
        if changes.len() == COMMITTED || crowd + 1 == crowds {
            catalog.commit(std::mem::take(&mut changes)).await?;
        }
    }
    Ok(holding)
}
