//! What questions about numbers cost: 20-bit numbers of all users, and a random crowd of 1% of them.
//!
//! `cargo run --release -p taghouse-bitmap --example numbers -- 100000000`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;
use taghouse_bitmap::{BitSlices, Bitmap, Error, Formula, Query, Repack};

type Result<T> = std::result::Result<T, Error>;

const BITS: u32 = 20;

/// Mixes a counter into 64 random bits (splitmix).
fn random(of: u64) -> u64 {
    let mut mixed = of.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// The quickest of some runs, in ms: the machine is shared.
fn timed<T>(mut run: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
    let mut last = run()?;
    let mut times = Vec::new();
    for _ in 0..15 {
        let start = Instant::now();
        last = run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[0], last))
}

fn questions(slices: &BitSlices, users: &Arc<Bitmap>, crowd: &Arc<Bitmap>, name: &str, bytes: usize) -> Result<()> {
    let bandwidth = |ms: f64| bytes as f64 / ms / 1e6;
    let (low, high) = (200_000, 600_000);
    let range = || Formula::and(vec![Formula::owned(crowd.clone()), slices.between(low, high)]);
    let (ms, count) = timed(|| Query::new(users.clone(), range()).count())?;
    println!("{name}: range ∧ crowd, count {count}: {ms:.2} ms ({:.0} GB/s of all slices)", bandwidth(ms));
    let (ms, found) = timed(|| Query::new(users.clone(), range()).bitmap())?;
    println!("{name}: range ∧ crowd, bitmap: {ms:.2} ms");
    let (ms, sum) = timed(|| slices.sum(Some(&found)))?;
    println!("{name}: sum over it {sum:?}: {ms:.2} ms ({:.0} GB/s)", bandwidth(ms));
    let (ms, sum) = timed(|| slices.sum(Some(crowd)))?;
    println!("{name}: sum over the crowd {sum:?}: {ms:.2} ms ({:.0} GB/s)", bandwidth(ms));
    let (ms, bounds) = timed(|| slices.bounds_within(crowd))?;
    println!("{name}: bounds {bounds:?}: {ms:.2} ms");
    let (ms, median) = timed(|| slices.quantiles(Some(crowd), &[0.5]))?;
    println!("{name}: median {median:?}: {ms:.2} ms");
    let (ms, nine) = timed(|| slices.quantiles(Some(crowd), &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]))?;
    println!("{name}: nine quantiles {nine:?}: {ms:.2} ms");
    let edges: Vec<i64> = (0..=20).map(|edge| (edge << BITS) / 20).collect();
    let (ms, _) = timed(|| slices.histogram(Some(crowd), &edges))?;
    println!("{name}: histogram of 20 bins: {ms:.2} ms");
    Ok(())
}

/// Half of the users go.
fn repacked(crowd: &Bitmap, users: u32, name: &str) -> Result<()> {
    let kept = Bitmap::from_sorted_iter((0..users).filter(|user| random(u64::from(*user) << 32 | 9) % 2 == 0));
    let (ms, repack) = timed(|| Ok(Repack::new(&kept)))?;
    println!("{name}: ranks of {} that are kept: {ms:.2} ms", repack.len());
    let rate = |ms: f64| crowd.len() as f64 / ms / 1e3;
    let (ms, packed) = timed(|| Ok(crowd.repack(&repack)))?;
    println!("{name}: re-packed to {}: {ms:.2} ms ({:.0} M ordinals/s)", packed.len(), rate(ms));
    let (ms, form) = timed(|| Ok(packed.serialize_portable()))?;
    println!("{name}: portable form, {} bytes: {ms:.2} ms", form.len());
    Ok(())
}

fn main() -> Result<()> {
    let users: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let ordinals: Vec<u32> = (0..users).collect();
    let numbers: Vec<i64> = (0..users).map(|user| (random(u64::from(user)) >> (64 - BITS)) as i64).collect();
    let start = Instant::now();
    let bytes = BitSlices::encode(&ordinals, &numbers)?;
    drop((ordinals, numbers));
    println!("{users} users, {:.1} MB, encoded in {:.2} s", bytes.len() as f64 / 1e6, start.elapsed().as_secs_f64());
    let len = bytes.len();
    let slices = BitSlices::open(bytes)?;
    slices.load()?;
    let everybody = Arc::new(Bitmap::from_range(0..=users - 1));
    let shares = std::env::args().nth(2).map_or(vec![100, 10_000, 4, 1], |share| share.parse().into_iter().collect());
    let (ms, _) = timed(|| Ok(everybody.serialize_portable64().len()))?;
    println!("portable form of everybody: {ms:.2} ms");
    for share in shares {
        let crowd = if share == 1 {
            everybody.clone()
        } else {
            Arc::new(Bitmap::from_sorted_iter((0..users).filter(|user| random(u64::from(*user) << 32 | 7) % share == 0)))
        };
        let name = format!("1 of {share}");
        questions(&slices, &everybody, &crowd, &name, len)?;
        repacked(&crowd, users, &name)?;
    }
    Ok(())
}
