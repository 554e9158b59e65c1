//! `crowd.dense5_floor`: a dense five-leaf count against the least that any engine must do for it, one pass over the words of five plain arrays, on
//! one thread, in the same process.

use crate::crowd_spec::{Set, Spec};
use crate::nested_set::leaf;
use crate::published::Published;
use crate::timing::median_ms;
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;

const RUNS: usize = 31;

/// `{count, floor_ms, floor_form, one_thread_ms, two_threads_ms}`: medians, of ours with the query compiled.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::bools(folder, spec.users, &spec.dense5.sets).await?;
    let query = published.query(&spec.dense5.trees.first().context("no expression")?.text(&leaf)?)?;
    let ours = |threads: usize| -> anyhow::Result<(u64, f64)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| median_ms(RUNS, || Ok(query.count()?)))
    };
    let words = |name: &str| -> anyhow::Result<Vec<u64>> {
        let set = spec.dense5.sets.get(name).with_context(|| format!("no set {name}"))?;
        Ok(words_of(*set, spec.users))
    };
    let arrays = [words("half")?, words("tenth_a")?, words("tenth_b")?, words("hundredth")?, words("third")?];
    let (one, two) = (ours(1)?, ours(2)?);
    let plain = median_ms(RUNS, || Ok(count_plain(&arrays)))?;
    let carried = median_ms(RUNS, || Ok(count_carried(&arrays)))?;
    ensure!(one.0 == plain.0 && two.0 == plain.0 && carried.0 == plain.0, "ours {}, the floor {} and {}", one.0, plain.0, carried.0);
    let (floor_ms, form) = if plain.1 < carried.1 { (plain.1, "a count of each word") } else { (carried.1, "carry-save adders over 8 words") };
    Ok(json!({ "count": plain.0, "floor_ms": floor_ms, "floor_form": form, "one_thread_ms": one.1, "two_threads_ms": two.1 }))
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

fn rows(arrays: &[Vec<u64>; 5]) -> impl Iterator<Item = [&[u64]; 5]> {
    // Blocks of a size that the compiler knows to be the same in all five, so that it checks no bounds and vectorises.
    const BLOCK: usize = 1024;
    let [a, b, c, d, e] = arrays;
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).zip(c.chunks(BLOCK)).zip(d.chunks(BLOCK)).zip(e.chunks(BLOCK)).map(|((((a, b), c), d), e)| [a, b, c, d, e])
}

fn combined<'a>([a, b, c, d, e]: [&'a [u64]; 5]) -> impl Iterator<Item = u64> + 'a {
    a.iter().zip(b).zip(c).zip(d).zip(e).map(|((((a, b), c), d), e)| word([*a, *b, *c, *d, *e]))
}

fn count_plain(arrays: &[Vec<u64>; 5]) -> u64 {
    rows(arrays).map(|row| combined(row).map(|word| u64::from(word.count_ones())).sum::<u64>()).sum()
}

/// Counts bits of eight lines of words at a time by carry-save adders (Harley and Seal): quicker where the machine's count is not used.
fn count_carried(arrays: &[Vec<u64>; 5]) -> u64 {
    const LINE: usize = 8;
    let mut total = 0;
    let mut buffer = [0; 1024];
    for row in rows(arrays) {
        let length = row[0].len();
        buffer.iter_mut().zip(combined(row)).for_each(|(slot, word)| *slot = word);
        let whole = length - length % (8 * LINE);
        let [mut ones, mut twos, mut fours] = [[0u64; LINE]; 3];
        let mut eights = 0;
        for group in buffer[..whole].chunks_exact(8 * LINE) {
            for lane in 0..LINE {
                let line = |number: usize| group[number * LINE + lane];
                let (sum, twos_a) = add(ones[lane], line(0), line(1));
                let (sum, twos_b) = add(sum, line(2), line(3));
                let (twos_sum, fours_a) = add(twos[lane], twos_a, twos_b);
                let (sum, twos_a) = add(sum, line(4), line(5));
                let (sum, twos_b) = add(sum, line(6), line(7));
                let (twos_sum, fours_b) = add(twos_sum, twos_a, twos_b);
                let (fours_sum, carry) = add(fours[lane], fours_a, fours_b);
                (ones[lane], twos[lane], fours[lane]) = (sum, twos_sum, fours_sum);
                eights += u64::from(carry.count_ones());
            }
        }
        let bits = |words: &[u64]| words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        total += 8 * eights + 4 * bits(&fours) + 2 * bits(&twos) + bits(&ones) + bits(&buffer[whole..length]);
    }
    total
}

/// Adds three bits in every place: the sums and the carries.
fn add(a: u64, b: u64, c: u64) -> (u64, u64) {
    let half = a ^ b;
    (half ^ c, (a & b) | (half & c))
}
