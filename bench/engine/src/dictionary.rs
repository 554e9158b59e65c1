//! The group `dictionary`: ids that are the text of UUIDs, made from a counter, in first-seen
//! order.

use crate::published::app;
use crate::timing::held_bytes;
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::{Duration, Instant};
use taghouse_dictionary::Dictionary;

/// Ids of one `assign`.
const ASSIGNED: u64 = 1 << 20;
/// Ids of one `lookup`.
const BATCH: u64 = 1 << 16;
/// Batches that warm up, and batches that count.
const WARM: u64 = 64;
const COUNTED: u64 = 256;

/// Makes the dictionary of `ids` ids in `folder` unless it is there, and asks it: `{ids, bytes,
/// memory_bytes, lookups_per_s, reverse_per_s, note}`. The making of the ids' text is in no time.
pub(crate) fn run(folder: &Path, ids: u32) -> anyhow::Result<Json> {
    let assigned = make(folder, ids)?;
    let dictionary = Dictionary::open(folder)?;
    let app = app()?;
    look_up(&dictionary, ids, 0, WARM)?;
    let time = look_up(&dictionary, ids, WARM, COUNTED)?;
    let start = Instant::now();
    let mut bytes = 0;
    for pair in dictionary.resolve_sorted(&app, 0..ids) {
        bytes += pair?.1.len() as u64;
    }
    let reverse = start.elapsed();
    ensure!(bytes == 36 * u64::from(ids), "not all ids came back");
    let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    let note = format!(
        "random known ids in batches of {BATCH}, one thread; in order back to ids {:.3} M/s{}",
        rate(u64::from(ids), reverse) / 1e6,
        assigned.map_or(String::new(), |time| format!(
            "; new ids assigned {:.3} M/s",
            rate(u64::from(ids), time) / 1e6
        ))
    );
    Ok(json!({
        "ids": ids, "bytes": dictionary.bytes_on_disk(&app)?, "memory_bytes": held_bytes(),
        "lookups_per_s": rate(COUNTED * BATCH, time), "reverse_per_s": rate(u64::from(ids), reverse), "note": note,
    }))
}

/// The time that assigning took, or `None` where the folder has them already.
pub(crate) fn make(folder: &Path, ids: u32) -> anyhow::Result<Option<Duration>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (dictionary, app) = (Dictionary::open(folder)?, app()?);
    if dictionary.len(&app) == ids {
        return Ok(None);
    }
    ensure!(
        dictionary.len(&app) == 0,
        "{} holds another number of ids: remove it",
        folder.display()
    );
    let mut time = Duration::ZERO;
    for first in (0..u64::from(ids)).step_by(usize::try_from(ASSIGNED)?) {
        let texts = Texts::of(first..(first + ASSIGNED).min(u64::from(ids)));
        let texts = texts.all();
        let start = Instant::now();
        let given = dictionary.assign(&app, &texts)?;
        time += start.elapsed();
        ensure!(
            given.first().is_some_and(|ordinal| u64::from(*ordinal) == first),
            "not in first-seen order"
        );
    }
    Ok(Some(time))
}

/// Looks up batches of random ids; the time without the making of text.
fn look_up(
    dictionary: &Dictionary,
    ids: u32,
    first: u64,
    batches: u64,
) -> anyhow::Result<Duration> {
    let app = app()?;
    let mut time = Duration::ZERO;
    for batch in first..first + batches {
        let numbers: Vec<u64> = (batch * BATCH..(batch + 1) * BATCH)
            .map(|number| scrambled(number) % u64::from(ids))
            .collect();
        let texts = Texts::of(numbers.iter().copied());
        let texts = texts.all();
        let start = Instant::now();
        let found = dictionary.lookup(&app, &texts)?;
        time += start.elapsed();
        ensure!(
            found
                .iter()
                .zip(numbers)
                .all(|(ordinal, number)| ordinal.map(u64::from) == Some(number)),
            "a wrong ordinal"
        );
    }
    Ok(time)
}

/// UUIDs' texts of 36 bytes, in one buffer.
pub(crate) struct Texts(String);

impl Texts {
    pub(crate) fn of(numbers: impl Iterator<Item = u64>) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::new();
        for number in numbers {
            let bits = u128::from(scrambled(number)) << 64 | u128::from(scrambled(!number));
            for place in 0..32 {
                if [8, 12, 16, 20].contains(&place) {
                    text.push('-');
                }
                text.push(char::from(DIGITS[(bits >> (124 - 4 * place)) as usize & 15]));
            }
        }
        Self(text)
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        (0..self.0.len()).step_by(36).map(|at| &self.0[at..at + 36]).collect()
    }
}

/// A bijection of 64 bits that looks random (the end of SplitMix64).
fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
