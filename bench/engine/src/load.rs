//! `crowd.load`: the loader on one thread, from (ordinal, value), and from (user id, value) through
//! the dictionary. From the first point given to the segments on disk; the making of points and of
//! ids is in no time.

use crate::crowd_spec::{Spec, mix};
use crate::dictionary::Texts;
use crate::published::{LOADER_BYTES, app};
use crate::timing::peak_bytes;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::{Duration, Instant};
use taghouse_dictionary::Dictionary;
use taghouse_index::{LoadOptions, Loader};
use taghouse_model::ValueType;

const BATCH: u64 = 1 << 16;

/// Values of the tag.
const VALUES: u64 = 1000;

/// `{points_per_s, rows_per_s, points_note, rows_note, peak_bytes}`. Works below `folder`, which it
/// clears.
pub(crate) fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let users = u64::from(spec.users);
    let unsorted = points(folder, users, users, |number| (mix(number) % users) as u32)?;
    let sorted = points(folder, users, users, |number| number as u32)?;
    let (rows, ids) = ((users / 5).max(1), (users / 10).max(1));
    let (row_time, assigned) = rows_of_ids(folder, rows, ids)?;
    let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    Ok(json!({
        "points_per_s": rate(users, unsorted),
        "points_note": format!("{users} unsorted points of {VALUES} values into a set tag, one thread; sorted by user {:.3} M/s", rate(users, sorted) / 1e6),
        "rows_per_s": rate(rows, row_time),
        "rows_note": format!("{rows} rows of {ids} new ids in any order, one thread; {:.0} % of the time in the dictionary", 100.0 * assigned.as_secs_f64() / row_time.as_secs_f64()),
        "peak_bytes": peak_bytes(),
    }))
}

fn loader(folder: &Path, users: u64) -> anyhow::Result<Loader> {
    let shards = 0..users.div_ceil(1 << 20) as u32;
    Ok(Loader::new(LoadOptions {
        spill: folder.join("spill"),
        memory_bytes: LOADER_BYTES,
        shards,
        threads: 1,
    })?)
}

fn points(
    folder: &Path,
    users: u64,
    count: u64,
    user_of: impl Fn(u64) -> u32,
) -> anyhow::Result<Duration> {
    let loader = loader(folder, users)?;
    let tag = loader.tag("tag", ValueType::Set)?;
    let codes = (0..VALUES)
        .map(|value| loader.code(tag, &format!("value {value:03}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut feeder = loader.feeder();
    let mut time = Duration::ZERO;
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let numbers = first..(first + BATCH).min(count);
        let pairs: Vec<(u32, u32)> = numbers
            .map(|number| (user_of(number), codes[(mix(!number) % VALUES) as usize]))
            .collect();
        let start = Instant::now();
        feeder.push_pairs(tag, &pairs)?;
        time += start.elapsed();
    }
    let start = Instant::now();
    feeder.finish()?;
    loader.finish(&folder.join("loaded"))?;
    time += start.elapsed();
    std::fs::remove_dir_all(folder)?;
    Ok(time)
}

/// The time of all, and of it the dictionary's.
fn rows_of_ids(folder: &Path, rows: u64, ids: u64) -> anyhow::Result<(Duration, Duration)> {
    let loader = loader(folder, ids)?;
    let dictionary = Dictionary::open(&folder.join("dictionary"))?;
    let (app, tag) = (app()?, loader.tag("tag", ValueType::Set)?);
    let values: Vec<String> = (0..VALUES).map(|value| format!("value {value:03}")).collect();
    let codes =
        values.iter().map(|value| loader.code(tag, value)).collect::<Result<Vec<_>, _>>()?;
    let mut feeder = loader.feeder();
    let (mut time, mut assigned) = (Duration::ZERO, Duration::ZERO);
    for first in (0..rows).step_by(usize::try_from(BATCH)?) {
        let numbers: Vec<u64> = (first..(first + BATCH).min(rows)).collect();
        let texts = Texts::of(numbers.iter().map(|number| mix(*number) % ids));
        let texts = texts.all();
        let start = Instant::now();
        let ordinals = dictionary.assign(&app, &texts)?;
        assigned += start.elapsed();
        let pairs: Vec<(u32, u32)> = ordinals
            .into_iter()
            .zip(&numbers)
            .map(|(ordinal, number)| (ordinal, codes[(mix(!number) % VALUES) as usize]))
            .collect();
        feeder.push_pairs(tag, &pairs)?;
        time += start.elapsed();
    }
    let start = Instant::now();
    feeder.finish()?;
    loader.finish(&folder.join("loaded"))?;
    time += start.elapsed();
    drop(dictionary);
    std::fs::remove_dir_all(folder)?;
    Ok((time, assigned))
}
