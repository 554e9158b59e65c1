//! What questions about numbers cost: 20-bit numbers of all users, and a random crowd of 1% of
//! them.
//!
//! `cargo run --release -p taghouse-bitmap --example numbers -- 100000000`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;
use taghouse_bitmap::{BitSlices, Bitmap, Error, Formula, Query};

type Result<T> = std::result::Result<T, Error>;

const BITS: u32 = 20;

/// Mixes a counter into 64 random bits (splitmix).
fn random(of: u64) -> u64 {
    let mut mixed = of.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// What all threads have worked so far, in ms, as Linux says it; 0 elsewhere.
fn worked_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let worked = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    worked.sum::<f64>() / 1e6
}

/// What a run costs: the quickest in ms of the clock, and the mean in ms of all cores' work, which
/// tells more where others work beside.
struct Cost {
    clock_ms: f64,
    work_ms: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms (work of {:.2} ms)", self.clock_ms, self.work_ms)
    }
}

fn timed<T>(mut run: impl FnMut() -> Result<T>) -> Result<(Cost, T)> {
    let mut last = run()?;
    let (mut clock_ms, before) = (f64::MAX, worked_ms());
    let (start, mut runs) = (Instant::now(), 0);
    while runs < 7 || start.elapsed().as_millis() < 300 {
        let start = Instant::now();
        last = run()?;
        clock_ms = clock_ms.min(start.elapsed().as_secs_f64() * 1e3);
        runs += 1;
    }
    Ok((Cost { clock_ms, work_ms: (worked_ms() - before) / f64::from(runs) }, last))
}

fn questions(
    slices: &BitSlices,
    users: &Arc<Bitmap>,
    crowd: &Arc<Bitmap>,
    name: &str,
    bytes: usize,
) -> Result<()> {
    let bandwidth = |cost: &Cost| bytes as f64 / cost.work_ms / 1e6;
    let (low, high) = (200_000, 600_000);
    let range = || Formula::and(vec![Formula::owned(crowd.clone()), slices.between(low, high)]);
    let (cost, count) = timed(|| Query::new(users.clone(), range()).count())?;
    println!(
        "{name}: range ∧ crowd, count {count}: {cost} ({:.0} GB/s of all slices a core)",
        bandwidth(&cost)
    );
    let (cost, found) = timed(|| Query::new(users.clone(), range()).bitmap())?;
    println!("{name}: range ∧ crowd, bitmap: {cost}");
    let (cost, sum) = timed(|| slices.sum(Some(&found)))?;
    println!("{name}: sum over it {sum:?}: {cost} ({:.0} GB/s a core)", bandwidth(&cost));
    let (cost, sum) = timed(|| slices.sum(Some(crowd)))?;
    println!("{name}: sum over the crowd {sum:?}: {cost} ({:.0} GB/s a core)", bandwidth(&cost));
    let (cost, bounds) = timed(|| slices.bounds_within(crowd))?;
    println!("{name}: bounds {bounds:?}: {cost}");
    let (cost, median) = timed(|| slices.quantiles(Some(crowd), &[0.5]))?;
    println!("{name}: median {median:?}: {cost}");
    let (cost, nine) = timed(|| {
        slices.quantiles(Some(crowd), &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
    })?;
    println!("{name}: nine quantiles {nine:?}: {cost}");
    let edges: Vec<i128> = (0..=20).map(|edge| (edge << BITS) / 20).collect();
    let (cost, _) = timed(|| slices.histogram(Some(crowd), &edges))?;
    println!("{name}: histogram of 20 bins: {cost}");
    let edges: Vec<i128> = (0..=1000).map(|edge| (edge << BITS) / 1000).collect();
    let (cost, _) = timed(|| slices.histogram(Some(crowd), &edges))?;
    println!("{name}: histogram of 1000 bins: {cost}");
    for parts in [100, 1000] {
        let ranks: Vec<u64> = (0..parts).map(|part| crowd.len() * part / parts).collect();
        let (cost, _) = timed(|| BitSlices::select(&[(slices, Some(crowd))], &ranks))?;
        println!("{name}: {parts} ranks: {cost}");
    }
    Ok(())
}

/// How many have each number, where few are different, beside what going through all pairs takes.
fn values(crowd: &Bitmap, users: u32, name: &str) -> Result<()> {
    for different in [2, 16, 64, 256, 1024, 4096] {
        let number = |user: u32| (random(u64::from(user)) % different) as i64;
        let slices = BitSlices::open(BitSlices::encode(
            &(0..users).collect::<Vec<_>>(),
            &(0..users).map(number).collect::<Vec<_>>(),
        )?)?;
        let (cost, found) = timed(|| slices.values(Some(crowd), 1 << 16))?;
        println!("{name}: each of {} values: {cost}", found.map_or(0, |found| found.len()));
        let (cost, _) = timed(|| slices.values(Some(crowd), 1))?;
        println!("{name}: too many values: {cost}");
        let (cost, _) =
            timed(|| Ok(slices.iter()?.fold(0_i128, |sum, (_, number)| sum.wrapping_add(number))))?;
        println!("{name}: all pairs of {different} values: {cost}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let users: u32 =
        std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let ordinals: Vec<u32> = (0..users).collect();
    let numbers: Vec<i64> =
        (0..users).map(|user| (random(u64::from(user)) >> (64 - BITS)) as i64).collect();
    let start = Instant::now();
    let bytes = BitSlices::encode(&ordinals, &numbers)?;
    drop((ordinals, numbers));
    println!(
        "{users} users, {:.1} MB, encoded in {:.2} s",
        bytes.len() as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    let len = bytes.len();
    let (cost, _) = timed(|| {
        Ok(std::hint::black_box(
            std::hint::black_box(&bytes)
                .as_chunks::<8>()
                .0
                .iter()
                .fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word))),
        ))
    })?;
    println!("one pass over all bytes: {cost} ({:.0} GB/s)", len as f64 / cost.work_ms / 1e6);
    let slices = BitSlices::open(bytes)?;
    let (start, before) = (Instant::now(), worked_ms());
    slices.load()?;
    println!(
        "first load, all checks: {:.2} ms (work of {:.2} ms)",
        start.elapsed().as_secs_f64() * 1e3,
        worked_ms() - before
    );
    let everybody = Arc::new(Bitmap::from_range(0..=users - 1));
    let shares = std::env::args()
        .nth(2)
        .map_or(vec![100, 10_000, 4, 1], |share| share.parse().into_iter().collect());
    let (cost, _) = timed(|| Ok(everybody.serialize_portable64().len()))?;
    println!("portable form of everybody: {cost}");
    for share in shares {
        let crowd = if share == 1 {
            everybody.clone()
        } else {
            Arc::new(Bitmap::from_sorted_iter(
                (0..users).filter(|user| random(u64::from(*user) << 32 | 7).is_multiple_of(share)),
            ))
        };
        let name = format!("1 of {share}");
        questions(&slices, &everybody, &crowd, &name, len)?;
        values(&crowd, users, &name)?;
    }
    Ok(())
}
