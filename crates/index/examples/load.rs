//! Measures the loader: `cargo run --release -p taghouse-index --example load -- [points] [form]
//! [threads] [memory MiB] [users] [values]`.
//!
//! Forms: `unsorted` (users in any order), `sorted` (by ascending user), `numbers` (a number a
//! point, unsorted). Points are made while they are pushed. Files go to the temporary folder and
//! are removed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;
use taghouse_index::{Feeder, LoadOptions, Loader, TagId};
use taghouse_model::ValueType;

const BATCH: usize = 4096;

#[derive(Clone, Copy)]
struct Shape {
    points: u64,
    users: u64,
    values: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).map_or(default, |arg| arg.parse().unwrap());
    let form = args.get(1).map_or("unsorted", String::as_str);
    let (threads, memory_mib) = (number(2, 2), number(3, 2560));
    let shape = Shape {
        points: number(0, 10_000_000),
        users: number(4, 100_000_000),
        values: number(5, 10_000),
    };
    let folder = std::env::temp_dir().join(format!("taghouse-load-{}", std::process::id()));
    let options = LoadOptions {
        spill: folder.join("spill"),
        memory_bytes: (memory_mib << 20) as usize,
        shards: 0..shape.users.div_ceil(1 << 20) as u32,
        threads: threads as usize,
    };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let loader = Loader::new(options).unwrap();
    let tag =
        loader.tag("tag", if form == "numbers" { ValueType::Int } else { ValueType::Set }).unwrap();
    if form != "numbers" {
        (0..shape.values).for_each(|value| {
            assert_eq!(u64::from(loader.code(tag, &format!("value {value:07}")).unwrap()), value)
        });
    }
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let feeder = loader.feeder();
            scope.spawn(move || feed(feeder, tag, form, shape, thread, threads));
        }
    });
    let fed = start.elapsed().as_secs_f64();
    let fed_cpu = cpu_seconds() - cpu;
    let segments = loader.finish(&folder.join("segments")).unwrap();
    let (all, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    std::fs::remove_dir_all(&folder).unwrap();
    let millions = shape.points as f64 / 1e6;
    println!(
        "{form}: {millions} M points, {} M users, {} values, {threads} threads",
        shape.users as f64 / 1e6,
        shape.values
    );
    println!("fed in {fed:.2} s, all in {all:.2} s: {:.1} M points/s", millions / all);
    println!("cpu {fed_cpu:.2} s, all {cpu:.2} s: {:.1} M points/s a core", millions / cpu);
    println!(
        "peak memory {} MiB; segment {} MiB, {} users",
        peak_mib(),
        segments[0].size_bytes >> 20,
        segments[0].users
    );
}

fn feed(mut feeder: Feeder, tag: TagId, form: &str, shape: Shape, thread: u64, threads: u64) {
    let part = shape.points * thread / threads..shape.points * (thread + 1) / threads;
    let scale = |random: u64, limit: u64| (((random & 0xFFFF_FFFF) * limit) >> 32) as u32;
    let mut pairs = Vec::with_capacity(BATCH);
    let (mut ordinals, mut units) = (Vec::new(), Vec::new());
    for first in part.clone().step_by(BATCH) {
        let batch = first..(first + BATCH as u64).min(part.end);
        if form == "numbers" {
            ordinals.clear();
            units.clear();
            ordinals.extend(batch.clone().map(|at| scale(mixed(at) >> 32, shape.users)));
            units.extend(batch.map(|at| (mixed(at) & 0xF_FFFF) as i64));
            feeder.push_numbers(tag, &ordinals, &units).unwrap();
            continue;
        }
        pairs.clear();
        match form {
            "sorted" => pairs.extend(batch.map(|at| {
                (
                    (u128::from(at) * u128::from(shape.users) / u128::from(shape.points)) as u32,
                    scale(mixed(at), shape.values),
                )
            })),
            _ => {
                pairs.extend(batch.map(|at| {
                    (scale(mixed(at) >> 32, shape.users), scale(mixed(at), shape.values))
                }))
            }
        }
        feeder.push_pairs(tag, &pairs).unwrap();
    }
    feeder.finish().unwrap();
}

/// The finaliser of SplitMix64.
fn mixed(at: u64) -> u64 {
    let mixed = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The most memory that was resident at a time.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    peak.unwrap_or(0) >> 10
}

/// What all threads took, of user and system time, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
