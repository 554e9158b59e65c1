//! How long something takes, again and again.

use std::time::{Duration, Instant};

/// The answer of `ask`, which must be the same each time, and the median of `runs` times in ms. One
/// run before them warms up.
///
/// # Errors
/// The first one of `ask`; answers that differ.
pub(crate) fn median_ms<T: PartialEq>(
    runs: usize,
    mut ask: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(T, f64)> {
    let answer = ask()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        let again = ask()?;
        times.push(start.elapsed());
        anyhow::ensure!(again == answer, "the same question has two answers");
    }
    Ok((answer, ms(percentile(&mut times, 0.5))))
}

/// The time that a share of `times` (not empty) does not exceed.
pub(crate) fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

/// The most memory of this process that was resident at a time, in bytes; 0 where the system does
/// not say.
pub(crate) fn peak_bytes() -> u64 {
    memory_bytes("VmHWM:")
}

/// What this process allocated and holds resident now, without mapped files, in bytes; 0 where the
/// system does not say.
pub(crate) fn held_bytes() -> u64 {
    memory_bytes("RssAnon:")
}

fn memory_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// The time that all threads of this process have had of cores so far, in seconds.
pub(crate) fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may hold spaces; user and system time are the 12th and 13th behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    // Linux counts a hundred a second for this file.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
