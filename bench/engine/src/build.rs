//! `crowd.build`: an index on disk out of the points' files, through the loader; `crowd.disk` what
//! it takes there.

use crate::crowd_spec::Spec;
use crate::points;
use crate::published::{index, loader, publish_all};
use crate::scenario::{TAGS, place_of, tag_name, value_name};
use crate::timing::peak_bytes;
use anyhow::{Context, anyhow};
use serde_json::{Value as Json, json};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;
use taghouse_index::{Feeder, Loader, TagId};
use taghouse_model::ValueType;

/// Code of each rank, within the tag of it.
type Codes = Vec<(TagId, u32)>;

/// Reads the files of `points` on all cores and publishes below `folder`: `{points, seconds,
/// peak_bytes, disk_bytes}`. The time is from the first byte read to the index visible.
pub(crate) async fn run(spec: &Spec, points: &Path, folder: &Path) -> anyhow::Result<Json> {
    let start = Instant::now();
    let loader = loader(folder, spec.users)?;
    let codes = codes(spec, &loader)?;
    let files = Mutex::new(points::files(points)?.into_iter());
    let fed = thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, NonZero::get))
            .map(|_| scope.spawn(|| feed(loader.feeder(), &files, &codes)))
            .collect();
        let fed = workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a reader of points failed"))?);
        fed.sum::<anyhow::Result<u64>>()
    })?;
    let loaded = folder.join("loaded");
    let segments = loader.finish(&loaded)?;
    publish_all(&index(folder).await?, spec.users, ValueType::Set, segments).await?;
    std::fs::remove_dir_all(&loaded)
        .with_context(|| format!("cannot clear {}", loaded.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(
        json!({ "points": fed, "seconds": seconds, "peak_bytes": peak_bytes(), "disk_bytes": bytes_below(&folder.join("objects"))? }),
    )
}

fn codes(spec: &Spec, loader: &Loader) -> anyhow::Result<Codes> {
    let tags = (0..TAGS)
        .map(|tag| loader.tag(tag_name(tag), ValueType::Set))
        .collect::<Result<Vec<_>, _>>()?;
    let code = |rank: usize| -> anyhow::Result<(TagId, u32)> {
        let (tag, value) = place_of(rank);
        Ok((tags[tag], loader.code(tags[tag], &value_name(value))?))
    };
    (0..spec.scenario.tags.len()).map(code).collect()
}

/// Takes files until there are none; how many points it fed.
fn feed(
    mut feeder: Feeder,
    files: &Mutex<std::vec::IntoIter<PathBuf>>,
    codes: &Codes,
) -> anyhow::Result<u64> {
    let next = || {
        files.lock().map(|mut files| files.next()).map_err(|_| anyhow!("a reader of points failed"))
    };
    let (mut ranks, mut users, mut fed) = (Vec::new(), Vec::new(), 0);
    while let Some(path) = next()? {
        let mut blocks = points::Blocks::open(&path)?;
        while blocks.next_into(&mut ranks, &mut users)? {
            fed += users.len() as u64;
            let mut users = &users[..];
            for run in ranks.chunk_by(|a, b| a == b) {
                let (of_run, rest) = users.split_at(run.len());
                users = rest;
                let (tag, code) = *codes
                    .get(usize::from(run[0]))
                    .with_context(|| format!("no tag of rank {}", run[0]))?;
                feeder.push_codes(tag, of_run, code)?;
            }
        }
    }
    feeder.finish()?;
    Ok(fed)
}

/// What the files below a folder take.
pub(crate) fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_below(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
