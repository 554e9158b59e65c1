//! `crowd.dense5_floor`: a dense five-leaf count against the least that any engine must do for it,
//! one pass over the words of five plain arrays, on one thread, in the same process.

use crate::crowd_spec::{Set, Spec};
use crate::nested_set::leaf;
use crate::published::Published;
use crate::timing::median_ms;
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::thread;

const RUNS: usize = 31;

/// `{count, floor_ms, floor_two_threads_ms, one_thread_ms, two_threads_ms}`: medians, of ours with
/// the query compiled.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::bools(folder, spec.users, &spec.dense5.sets).await?;
    let query =
        published.query(&spec.dense5.trees.first().context("no expression")?.text(&leaf)?)?;
    let ours = |threads: usize| median_ms(RUNS, || Ok(query.count_on(threads)?));
    let words = |name: &str| -> anyhow::Result<Vec<u64>> {
        let set = spec.dense5.sets.get(name).with_context(|| format!("no set {name}"))?;
        Ok(words_of(*set, spec.users))
    };
    let arrays = [
        words("half")?,
        words("tenth_a")?,
        words("tenth_b")?,
        words("hundredth")?,
        words("third")?,
    ];
    let (one, two) = (ours(1)?, ours(2)?);
    let parts = |parts: usize| rows(&arrays, arrays[0].len().div_ceil(parts));
    let (count, floor_ms) = median_ms(RUNS, || Ok(parts(1).map(count_words).sum::<u64>()))?;
    // What the machine's memory gives to two cores.
    let (counted, floor_two_threads_ms) = median_ms(RUNS, || {
        Ok(thread::scope(|scope| {
            let threads: Vec<_> =
                parts(2).map(|part| scope.spawn(move || count_words(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum::<u64>()
        }))
    })?;
    ensure!(
        counted == count && one.0 == count && two.0 == count,
        "ours {} and {}, the floor {count}",
        one.0,
        two.0
    );
    Ok(
        json!({ "count": count, "floor_ms": floor_ms, "floor_two_threads_ms": floor_two_threads_ms, "one_thread_ms": one.1, "two_threads_ms": two.1 }),
    )
}

fn words_of(set: Set, users: u32) -> Vec<u64> {
    let mut words = vec![0; users.div_ceil(64) as usize];
    set.users().for_each(|user| words[user as usize / 64] |= 1 << (user % 64));
    words
}

/// half ∧ (tenth_a ∨ tenth_b) ∧ ¬hundredth ∧ third, of one word.
fn word([half, tenth_a, tenth_b, hundredth, third]: [u64; 5]) -> u64 {
    half & (tenth_a | tenth_b) & !hundredth & third
}

/// The same words of all five, so many at a time.
fn rows(arrays: &[Vec<u64>; 5], words: usize) -> impl Iterator<Item = [&[u64]; 5]> {
    let [a, b, c, d, e] = arrays.each_ref().map(Vec::as_slice);
    chunks([a, b, c, d, e], words)
}

fn chunks([a, b, c, d, e]: [&[u64]; 5], words: usize) -> impl Iterator<Item = [&[u64]; 5]> {
    a.chunks(words)
        .zip(b.chunks(words))
        .zip(c.chunks(words))
        .zip(d.chunks(words))
        .zip(e.chunks(words))
        .map(|((((a, b), c), d), e)| [a, b, c, d, e])
}

fn combined<'a>([a, b, c, d, e]: [&'a [u64]; 5]) -> impl Iterator<Item = u64> + 'a {
    a.iter().zip(b).zip(c).zip(d).zip(e).map(|((((a, b), c), d), e)| word([*a, *b, *c, *d, *e]))
}

/// At 100 million users this waits for memory: compiled for a machine that counts the bits of
/// vectors it takes a ninth less, and with carry-save adders (Harley and Seal) more.
fn count_words(arrays: [&[u64]; 5]) -> u64 {
    // Blocks of a size that the compiler knows to be the same in all five, so that it checks no
    // bounds and vectorises.
    const BLOCK: usize = 1024;
    chunks(arrays, BLOCK)
        .map(|row| combined(row).map(|word| u64::from(word.count_ones())).sum::<u64>())
        .sum()
}
