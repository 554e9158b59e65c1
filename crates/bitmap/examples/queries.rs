//! How fast sets are counted: `cargo run --release -p taghouse-bitmap --example queries -- [USERS
//! [SETS [dense5 | mixes | overlap]]]`
//!
//! Prints medians and, in brackets, the least of the runs and the mean of the thread's own time,
//! and ratios of what runs in this process: a busy machine disturbs both sides alike.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use taghouse_bitmap::{Bitmap, Bundle, BundleBuilder, Formula, Query, Result, UserSet, overlap};

const RUNS: usize = 41;

/// SplitMix64, so that every run draws the same sets.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Each of `users` with probability `share`, by the gaps between them.
    fn sparse(&mut self, users: u32, share: f64) -> Vec<u32> {
        let mut chosen = Vec::with_capacity((f64::from(users) * share * 1.1) as usize);
        let mut at = 0.0;
        loop {
            let unit = ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            at += 1.0 + (unit.ln() / (1.0 - share).ln()).floor();
            if at > f64::from(users) {
                return chosen;
            }
            chosen.push((at - 1.0) as u32);
        }
    }

    /// Neighbours together: blocks of some thousand users.
    fn clustered(&mut self, users: u32, share: f64) -> Vec<u32> {
        const BLOCK: u32 = 5_000;
        let blocks = self.sparse(users / BLOCK, share);
        blocks.into_iter().flat_map(|block| block * BLOCK..(block + 1) * BLOCK).collect()
    }
}

fn stored(sets: &[Vec<u32>]) -> Result<Bundle> {
    let mut bundle = BundleBuilder::new();
    for (index, set) in sets.iter().enumerate() {
        bundle.push_sorted(index as u32, set);
    }
    Bundle::open(bundle.finish(sets.len() as u32)?)
}

/// Of some runs: the median, the least, and the mean of what the calling thread spent on a
/// processor, which others do not disturb.
#[derive(Clone, Copy)]
struct Times {
    median_ms: f64,
    least_ms: f64,
    thread_ms: f64,
}

fn times(mut run: impl FnMut()) -> Times {
    let busy = thread_ms();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Times {
        median_ms: times[RUNS / 2],
        least_ms: times[0],
        thread_ms: (thread_ms() - busy) / RUNS as f64,
    }
}

/// Linux tells it; elsewhere 0.
fn thread_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// What all threads spent on processors, in milliseconds; Linux tells it in hundredths of a second.
fn process_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = told.rsplit(')').next().unwrap_or_default().split(' ');
    fields.skip(12).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// How long it took, and what all threads spent on processors meanwhile.
fn once<T>(run: impl FnOnce() -> T) -> (T, f64, f64) {
    let (start, busy) = (Instant::now(), process_ms());
    let result = run();
    (result, start.elapsed().as_secs_f64() * 1e3, process_ms() - busy)
}

/// One pass over plain words, with the vector popcount of the machine.
fn floor(words: &[Vec<u64>; 5]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")]
    fn wide(words: &[Vec<u64>; 5]) -> u64 {
        pass(words)
    }
    #[inline(always)]
    fn pass([a, b, c, d, e]: &[Vec<u64>; 5]) -> u64 {
        let operands = a.iter().zip(b).zip(c).zip(d).zip(e);
        operands.map(|((((a, b), c), d), e)| u64::from((a & (b | c) & !d & e).count_ones())).sum()
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the features were just detected; the rest of them come with these.
        #[allow(unsafe_code)]
        return unsafe { wide(words) };
    }
    pass(words)
}

fn words_of(set: &[u32], users: u32) -> Vec<u64> {
    let mut words = vec![0; users.div_ceil(64) as usize];
    set.iter().for_each(|user| words[*user as usize / 64] |= 1 << (user % 64));
    words
}

/// Prints median (least) of one thread, of two, and of as many as the query wakes.
fn report(name: &str, query: &Query) -> Result<Times> {
    let count = query.count()?;
    let on = |threads| times(|| assert_eq!(query.count_on(threads).ok(), Some(count)));
    let (one, two, auto) = (on(1), on(2), times(|| assert_eq!(query.count().ok(), Some(count))));
    println!(
        "{name:44} {count:>10}  one {:7.3} ({:6.3}, {:6.3}) ms  two {:7.3} ({:6.3}) ms, {:4.2} ({:4.2}) x  count() {:7.3} ms",
        one.median_ms,
        one.least_ms,
        one.thread_ms,
        two.median_ms,
        two.least_ms,
        one.median_ms / two.median_ms,
        one.least_ms / two.least_ms,
        auto.median_ms
    );
    Ok(one)
}

fn dense5(users: u32, draws: &mut Draws) -> Result<()> {
    let everybody = Arc::new(Bitmap::from_range(0..=users - 1));
    let shares = [0.5, 0.1, 0.1, 0.01, 0.3];
    let sets: Vec<Vec<u32>> = shares.iter().map(|share| draws.sparse(users, *share)).collect();
    let words: [Vec<u64>; 5] = std::array::from_fn(|index| words_of(&sets[index], users));
    let bundle = stored(&sets)?;
    let leaf = |index| Formula::stored(bundle.get(index));
    let formula =
        Formula::and(vec![leaf(0), Formula::or(vec![leaf(1), leaf(2)]), leaf(3).not(), leaf(4)]);
    let dense5 = Query::new(everybody.clone(), formula);
    assert_eq!(dense5.count()?, floor(&words));
    for _ in 0..3 {
        let floor = times(|| {
            black_box(floor(black_box(&words)));
        });
        let one = report("dense5: 50% & (10% | 10%) - 1% & 30%", &dense5)?;
        println!(
            "    floor {:.3} ({:.3}, {:.3}) ms; one thread takes {:.2} ({:.2}, {:.2}) x that",
            floor.median_ms,
            floor.least_ms,
            floor.thread_ms,
            one.median_ms / floor.median_ms,
            one.least_ms / floor.least_ms,
            one.thread_ms / floor.thread_ms
        );
    }
    drop(words);
    println!("    scratch at most {} KiB a thread", dense5.scratch_bytes() >> 10);
    Ok(())
}

fn mixes(users: u32, draws: &mut Draws) -> Result<()> {
    let everybody = Arc::new(Bitmap::from_range(0..=users - 1));
    let shares = [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.01, 0.003, 0.001, 0.001, 0.0001];
    let mut sets: Vec<Vec<u32>> = shares.iter().map(|share| draws.sparse(users, *share)).collect();
    sets.extend([0.3, 0.1, 0.02, 0.002].iter().map(|share| draws.clustered(users, *share)));
    let bundle = stored(&sets)?;
    drop(sets);
    let leaf = |index| Formula::stored(bundle.get(index));
    let and = Formula::and;
    let or = |leaves: &[u32]| Formula::or(leaves.iter().map(|index| leaf(*index)).collect());
    for (name, formula) in [
        ("50% & 30%", and(vec![leaf(0), leaf(1)])),
        ("0.1% & 0.1%", and(vec![leaf(9), leaf(10)])),
        ("0.01% & 50%", and(vec![leaf(11), leaf(0)])),
        ("1% & 1%", and(vec![leaf(6), leaf(7)])),
        ("5% & 50%", and(vec![leaf(4), leaf(0)])),
        ("1% & (50% | 30%) - 10%", and(vec![leaf(6), or(&[0, 1]), leaf(3).not()])),
        ("5% | 2% | 1% | 1%", or(&[4, 5, 6, 7])),
        ("1% | 0.3% | 0.1% | 0.1% | 0.01%", or(&[6, 8, 9, 10, 11])),
        ("0.1% | 0.1%", or(&[9, 10])),
        ("c30% & c10%", and(vec![leaf(12), leaf(13)])),
        ("c30% & 50% - c10%", and(vec![leaf(12), leaf(0), leaf(13).not()])),
        ("c2% & 50%", and(vec![leaf(14), leaf(0)])),
        (
            "(c30% | c2%) & (50% | 1%) - (c10% | 5%)",
            and(vec![or(&[12, 14]), or(&[0, 6]), or(&[13, 4]).not()]),
        ),
        ("c0.2% | 50% | c30%", or(&[15, 0, 12])),
        ("not (20% | 10%) & not c30%", and(vec![or(&[2, 3]).not(), leaf(12).not()])),
        ("20 leaves", {
            let a = and(vec![leaf(0), or(&[1, 2, 3]), or(&[4, 5, 6]).not(), leaf(12)]);
            let b = and(vec![leaf(1), or(&[0, 8, 9]), leaf(13).not(), leaf(2)]);
            let c = and(vec![leaf(3), or(&[12, 15, 7]), leaf(10).not(), leaf(0)]);
            Formula::or(vec![a, b, c])
        }),
    ] {
        report(name, &Query::new(everybody.clone(), formula))?;
    }
    patched(users, &everybody, &bundle, draws)
}

/// The dense half of the leaves, with few users and with many changed.
fn patched(users: u32, everybody: &Arc<Bitmap>, bundle: &Bundle, draws: &mut Draws) -> Result<()> {
    let leaf = |index| Formula::stored(bundle.get(index));
    for share in [0.000_001, 0.000_1, 0.01, 0.2] {
        let changed = Arc::new(Bitmap::from_sorted(&draws.sparse(users, share)));
        let adds = Arc::new(changed.iter().step_by(2).collect::<Bitmap>());
        let live = |index: u32| {
            Formula::or(vec![
                Formula::and(vec![leaf(index), Formula::owned(changed.clone()).not()]),
                Formula::owned(adds.clone()),
            ])
        };
        let base = Formula::and(vec![leaf(0), Formula::or(vec![leaf(1), leaf(3)]), leaf(6).not()]);
        let now = Formula::and(vec![live(0), Formula::or(vec![live(1), live(3)]), leaf(6).not()]);
        let query = Query::patched(everybody.clone(), base, changed, everybody.clone(), now);
        report(&format!("patched, {} % changed", share * 100.0), &query)?;
    }
    Ok(())
}

/// The share of the users in the set of a rank.
type Share<'a> = &'a dyn Fn(usize) -> f64;

fn overlaps(users: u32, sets: usize, draws: &mut Draws) -> Result<()> {
    let members = |bundle: &Bundle| {
        (0..bundle.len()).map(|index| UserSet::Stored(bundle.get(index))).collect::<Vec<_>>()
    };
    let zipf = |rank: usize| (0.3 / (rank + 1) as f64).max(0.000_1);
    let cases: [(&str, Share<'_>, usize); 4] = [
        ("0.1% each", &|_| 0.001, sets),
        ("Zipf from 30%", &zipf, sets),
        ("10% each", &|_| 0.1, sets.min(60)),
        (
            "one in ten 20%, the rest 0.1%",
            &|rank| if rank % 10 == 0 { 0.2 } else { 0.001 },
            sets.min(300),
        ),
    ];
    for (name, share, sets) in cases {
        let bundle =
            stored(&(0..sets).map(|rank| draws.sparse(users, share(rank))).collect::<Vec<_>>())?;
        let sets = members(&bundle);
        let sample: Vec<usize> = (0..8).map(|index| index * sets.len() / 8).collect();
        let owned =
            sample.iter().map(|index| sets[*index].to_bitmap()).collect::<Result<Vec<_>>>()?;
        let (pairwise, pairwise_ms, pairwise_cpu) = once(|| {
            owned.iter().flat_map(|a| owned.iter().map(|b| a.and_len(b))).collect::<Vec<u64>>()
        });
        let (counts, same_ms, same_cpu) = once(|| overlap(&sets, &sets, None));
        let counts = counts?;
        let at = |row: usize, column: usize| counts[row * sets.len() + column];
        assert!(
            sample
                .iter()
                .flat_map(|row| sample.iter().map(|column| at(*row, *column)))
                .eq(pairwise.iter().copied())
        );
        let others: Vec<UserSet> = sets.iter().rev().cloned().collect();
        let (other, other_ms, other_cpu) = once(|| overlap(&sets, &others, None));
        assert!(other?[sets.len() - 1] == counts[0]);
        let pairs = (sets.len() * sets.len()) as f64;
        println!("overlap {0} x {0}, {name}: ms a pair (of processors)", sets.len());
        println!(
            "    with itself {:.5} ({:.5}), with others {:.5} ({:.5})",
            same_ms / pairs,
            same_cpu / pairs,
            other_ms / pairs,
            other_cpu / pairs
        );
        let pairs = pairwise.len() as f64;
        println!(
            "    pair by pair with croaring, in memory {:.4} ({:.4})",
            pairwise_ms / pairs,
            pairwise_cpu / pairs
        );
        let crowd = Arc::new(Bitmap::from_sorted(&draws.sparse(users, 0.05)));
        let (row, ms, cpu) = once(|| overlap(&[UserSet::Owned(crowd)], &sets, None));
        println!("    a crowd of 5% against {}: {ms:.1} ({cpu:.1}) ms", row?.len());
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| {
        arguments.next().and_then(|argument| argument.parse().ok()).unwrap_or(default)
    };
    let (users, sets) = (number(100_000_000), number(1_000) as usize);
    let part = arguments.next();
    let wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let mut draws = Draws(1);
    if wanted("dense5") {
        dense5(users, &mut draws)?;
    }
    if wanted("mixes") {
        mixes(users, &mut draws)?;
    }
    if wanted("overlap") {
        overlaps(users, sets, &mut draws)?;
    }
    Ok(())
}
