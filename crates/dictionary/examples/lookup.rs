//! Times the dictionary: `cargo run --release -p taghouse-dictionary --example lookup [ids]
//! [folder]`, 10 million ids by default.
//!
//! Ids are 36-character UUID text, made from a counter. The making of text is not in the times. Nor
//! is the first touch of stored blocks, when their checksums are verified, in the one of lookups.
//! Rates are by the clock and, in brackets, by the time on cores, of all threads, which says the
//! same on a machine that is busy with other work too.

#![allow(clippy::print_stdout)]

use std::ops::AddAssign;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use taghouse_dictionary::Dictionary;
use taghouse_model::AppId;

/// Ids of one `assign`.
const LOAD: u64 = 1 << 20;
/// Ids of one `lookup`.
const BATCH: usize = 1 << 16;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let ids: u64 = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse())?;
    let parent = std::env::args().nth(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    let app = AppId::new("shop")?;

    let dictionary = Dictionary::open(folder.path())?;
    let mut spent = Spent::default();
    let mut slowest = Duration::ZERO;
    for start in (0..ids).step_by(LOAD as usize) {
        let texts = Texts::new(start..ids.min(start + LOAD));
        let texts = texts.get();
        let begun = Begun::now();
        let given = dictionary.assign(&app, &texts)?;
        spent += begun.spent();
        slowest = slowest.max(begun.spent().clock);
        if u64::from(given[0]) != start {
            return Err("not in first-seen order".into());
        }
    }
    report("assign, new ids", ids, spent);
    println!("slowest call of 2^20 new ids: {:.3} s", slowest.as_secs_f64());
    println!("bytes an id: {:.2}", dictionary.bytes_on_disk(&app)? as f64 / ids as f64);
    drop(dictionary);

    let begun = Begun::now();
    let dictionary = Dictionary::open(folder.path())?;
    println!("open: {}", begun.spent().text());
    let first = Texts::new(ids / 2..ids / 2 + 1);
    dictionary.lookup(&app, &first.get())?;
    println!("open and first answer: {}", begun.spent().text());

    look_ups(&dictionary, &app, ids)?;
    let texts = Texts::new(0..ids.min(LOAD));
    let texts = texts.get();
    let begun = Begun::now();
    dictionary.assign(&app, &texts)?;
    report("assign, known ids", texts.len() as u64, begun.spent());

    let begun = Begun::now();
    let bytes: usize = dictionary
        .resolve_sorted(&app, 0..u32::try_from(ids)?)
        .map(|pair| pair.map_or(0, |(_, id)| id.len()))
        .sum();
    if bytes as u64 != 36 * ids {
        return Err("not all ids came back".into());
    }
    report("resolve in order", ids, begun.spent());

    let begun = Begun::now();
    dictionary
        .repack(&app, (0..u32::try_from(ids)?).step_by(2))?
        .finish(|_| Ok::<(), taghouse_dictionary::Error>(()))?;
    report("repack, half of the ids", ids / 2, begun.spent());
    println!(
        "bytes an id: {:.2}",
        dictionary.bytes_on_disk(&app)? as f64 / (ids.div_ceil(2)) as f64
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status
        .lines()
        .filter(|line| ["VmHWM", "RssAnon", "RssFile"].iter().any(|name| line.starts_with(name)))
    {
        println!("{line}");
    }
    Ok(())
}

/// Lookups of known ids in batches and one by one, and of unknown ones.
fn look_ups(dictionary: &Dictionary, app: &AppId, ids: u64) -> Outcome<()> {
    let mut random = 1;
    look_up(dictionary, app, ids, 64, &mut random)?;
    report(
        "lookup, random known ids",
        256 * BATCH as u64,
        look_up(dictionary, app, ids, 256, &mut random)?,
    );
    let one = Texts::of((0..BATCH as u64).map(|number| mix(number) % ids));
    let one = one.get();
    let begun = Begun::now();
    for id in one.iter().cycle().take(16 * BATCH) {
        dictionary.lookup(app, &[id])?;
    }
    report("lookup, random known ids one by one", 16 * BATCH as u64, begun.spent());
    let unknown = Texts::new(ids..ids + BATCH as u64);
    let unknown = unknown.get();
    let begun = Begun::now();
    for _ in 0..32 {
        if dictionary.lookup(app, &unknown)?.iter().any(Option::is_some) {
            return Err("an unknown id was found".into());
        }
    }
    report("lookup, unknown ids", 32 * BATCH as u64, begun.spent());
    Ok(())
}

/// Looks up batches of random ids and gives the time without the making of text.
fn look_up(
    dictionary: &Dictionary,
    app: &AppId,
    ids: u64,
    batches: usize,
    random: &mut u64,
) -> Outcome<Spent> {
    let mut spent = Spent::default();
    for _ in 0..batches {
        let numbers = (0..BATCH).map(|_| {
            *random += 1;
            mix(*random) % ids
        });
        let numbers: Vec<u64> = numbers.collect();
        let texts = Texts::of(numbers.iter().copied());
        let texts = texts.get();
        let begun = Begun::now();
        let found = dictionary.lookup(app, &texts)?;
        spent += begun.spent();
        if !found
            .iter()
            .zip(numbers)
            .all(|(ordinal, number)| ordinal.map(u64::from) == Some(number))
        {
            return Err("a wrong ordinal".into());
        }
    }
    Ok(spent)
}

fn report(what: &str, count: u64, spent: Spent) {
    let rate = |time: Duration| count as f64 / time.as_secs_f64() / 1e6;
    println!("{what}: {:.2} ({:.2}) M/s, {}", rate(spent.clock), rate(spent.core), spent.text());
}

#[derive(Clone, Copy, Default)]
struct Spent {
    clock: Duration,
    core: Duration,
}

impl Spent {
    fn text(&self) -> String {
        format!("{:.3} ({:.3}) s", self.clock.as_secs_f64(), self.core.as_secs_f64())
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.clock += more.clock;
        self.core += more.core;
    }
}

struct Begun {
    clock: Instant,
    core: Duration,
}

impl Begun {
    fn now() -> Self {
        Self { clock: Instant::now(), core: time_on_cores() }
    }

    fn spent(&self) -> Spent {
        Spent { clock: self.clock.elapsed(), core: time_on_cores() - self.core }
    }
}

/// Of all threads, in steps of 10 ms; zero where the system does not say.
fn time_on_cores() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The numbers follow the name in brackets; the 12th and 13th are the ticks in the program and
    // in the system.
    let numbers = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    Duration::from_millis(
        10 * numbers.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>(),
    )
}

/// UUID texts in one buffer.
struct Texts(String);

impl Texts {
    fn new(numbers: Range<u64>) -> Self {
        Self::of(numbers)
    }

    fn of(numbers: impl Iterator<Item = u64>) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::new();
        for number in numbers {
            let bits = u128::from(mix(number)) << 64 | u128::from(mix(!number));
            for place in 0..32 {
                if [8, 12, 16, 20].contains(&place) {
                    text.push('-');
                }
                text.push(char::from(DIGITS[(bits >> (124 - 4 * place)) as usize & 15]));
            }
        }
        Self(text)
    }

    fn get(&self) -> Vec<&str> {
        (0..self.0.len()).step_by(36).map(|at| &self.0[at..at + 36]).collect()
    }
}

/// A bijection of 64 bits that looks random (the end of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
