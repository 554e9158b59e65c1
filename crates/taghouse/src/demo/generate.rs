use super::calendar::{self, Day, day_number};
use super::catalogue::Catalogue;
use super::dice::{Dice, Stream};
use super::line::{Damage, EVENTS_HEADER, push_event};
use super::population::{Population, USERS_HEADER};
use super::session::{Deed, Event, Shop};
use anyhow::{Context, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of a file that are gathered before they are written.
const CHUNK_BYTES: usize = 1 << 20;

/// How often a million events are written twice, and how often a spoilt line is put between.
const DUPLICATES_IN_MILLION: u32 = 4_000;
const DAMAGED_IN_MILLION: u32 = 2_000;

/// How large the shop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShopOptions {
    /// Users, all of them in `users.csv`; at least 1.
    pub(crate) users: u32,
    /// Sound events, each counted once. Duplicates and spoilt lines come on top.
    pub(crate) events: u64,
    /// Days, and so files, up to 2026-06-30; 1 to 3650.
    pub(crate) days: u32,
    /// Another seed, another shop.
    pub(crate) seed: u64,
}

impl Default for ShopOptions {
    fn default() -> Self {
        Self { users: 200_000, events: 5_000_000, days: 180, seed: 1 }
    }
}

/// What was written. An ingestion of all files accepts `events`, drops `duplicates` and rejects
/// [`Damaged::total`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ShopSummary {
    /// How many users are generated.
    pub(crate) users: u32,
    /// Rows of `users.csv`: some users stand there twice, the row with the later `updated_at`
    /// counts.
    pub(crate) user_rows: u64,
    /// Files of events.
    pub(crate) files: u32,
    /// Sound events, each counted once.
    pub(crate) events: u64,
    /// The same by name.
    pub(crate) events_by_name: BTreeMap<&'static str, u64>,
    /// Of them, those that happened before the day of their file.
    pub(crate) late: u64,
    /// Lines that stand a second time, some lines after the first, with the same message id.
    pub(crate) duplicates: u64,
    /// Lines that no ingestion can take.
    pub(crate) damaged: Damaged,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// The first day, as `2026-01-02`.
    pub(crate) first_day: String,
    /// The last day.
    pub(crate) last_day: String,
}

/// Spoilt lines by what ails them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Damaged {
    /// Quotes that swallow commas: too few columns.
    pub(crate) broken_quotes: u64,
    /// Too few columns.
    pub(crate) cut_short: u64,
    /// No user id.
    pub(crate) no_user: u64,
    /// A price that is not a valid number.
    pub(crate) bad_number: u64,
    /// A time in the thirteenth month.
    pub(crate) bad_time: u64,
    /// Bytes that are not UTF-8.
    pub(crate) bad_utf8: u64,
}

impl Damaged {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.broken_quotes
            + self.cut_short
            + self.no_user
            + self.bad_number
            + self.bad_time
            + self.bad_utf8
    }

    fn count(&mut self, damage: Damage) {
        *match damage {
            Damage::BrokenQuotes => &mut self.broken_quotes,
            Damage::CutShort => &mut self.cut_short,
            Damage::NoUser => &mut self.no_user,
            Damage::BadNumber => &mut self.bad_number,
            Damage::BadTime => &mut self.bad_time,
            Damage::BadUtf8 => &mut self.bad_utf8,
        } += 1;
    }
}

/// Writes the shop's files into `folder`, which is made if need be; files of the same names are
/// overwritten. `progress` is told, after each day, how many of how many events are written.
///
/// # Errors
/// Options out of range; a folder or file that cannot be written.
pub(crate) fn generate(
    folder: &Path,
    options: &ShopOptions,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<ShopSummary> {
    ensure!(options.users > 0, "a shop needs at least one user");
    let days = calendar::days(options.days, options.events)?;
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(ShopSummary::default());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let population =
        Population::new(options.seed, options.users, day_number(first.date), day_number(last.date));
    let catalogue = Catalogue::new(options.seed);
    let mut shop = Shop::new(&population, &catalogue, options.seed, days.len());
    let mut lines = Lines {
        dice: Dice::new(options.seed, Stream::Lines),
        summary: ShopSummary {
            users: options.users,
            files: options.days,
            first_day: first.date.to_string(),
            last_day: last.date.to_string(),
            ..ShopSummary::default()
        },
    };
    lines.write_users(folder, &population, options.seed)?;
    for (index, day) in days.iter().enumerate() {
        let events = shop.day(index, day);
        lines.write_day(folder, index as u32, day, &events)?;
        progress(lines.summary.events, options.events);
    }
    Ok(lines.summary)
}

/// Writes files and counts what is in them.
struct Lines {
    dice: Dice,
    summary: ShopSummary,
}

impl Lines {
    fn write_users(
        &mut self,
        folder: &Path,
        population: &Population,
        seed: u64,
    ) -> anyhow::Result<()> {
        let mut file = Output::create(folder, "users.csv", USERS_HEADER)?;
        let mut dice = Dice::new(seed, Stream::Profiles);
        for user in 0..population.users() {
            self.summary.user_rows += population.push_rows(&mut file.buffer, &mut dice, user);
            file.flush_full()?;
        }
        self.summary.bytes += file.finish()?;
        Ok(())
    }

    fn write_day(
        &mut self,
        folder: &Path,
        index: u32,
        day: &Day,
        events: &[Event],
    ) -> anyhow::Result<()> {
        let mut file = Output::create(folder, &format!("events-{}.csv", day.date), EVENTS_HEADER)?;
        let mut by_deed = [0_u64; Deed::ALL.len()];
        let mut row = 0;
        // A line that will stand a second time, and how many lines later.
        let mut again: Option<(Vec<u8>, u32)> = None;
        for event in events {
            let start = file.buffer.len();
            push_event(&mut file.buffer, index, row, event, None);
            row += 1;
            by_deed[event.deed as usize] += 1;
            self.summary.late += u64::from(event.time_ms < day.start_ms);
            if self.dice.chance(DUPLICATES_IN_MILLION) && again.is_none() {
                again = Some((file.buffer[start..].to_vec(), self.dice.below(200)));
            }
            if self.dice.chance(DAMAGED_IN_MILLION) {
                let damage = Damage::draw(&mut self.dice);
                push_event(&mut file.buffer, index, row, event, Some(damage));
                row += 1;
                self.summary.damaged.count(damage);
            }
            again = match again {
                Some((line, 0)) => {
                    file.buffer.extend_from_slice(&line);
                    self.summary.duplicates += 1;
                    None
                }
                Some((line, lines)) => Some((line, lines - 1)),
                None => None,
            };
            file.flush_full()?;
        }
        for (deed, count) in Deed::ALL.iter().zip(by_deed).filter(|(_, count)| *count > 0) {
            *self.summary.events_by_name.entry(deed.name()).or_default() += count;
        }
        self.summary.events += events.len() as u64;
        self.summary.bytes += file.finish()?;
        Ok(())
    }
}

/// A file that is written in large pieces.
struct Output {
    file: File,
    path: PathBuf,
    /// Written by the caller, emptied by `flush_full`.
    buffer: Vec<u8>,
    written: u64,
}

impl Output {
    fn create(folder: &Path, name: &str, header: &str) -> anyhow::Result<Self> {
        let path = folder.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut buffer = Vec::with_capacity(CHUNK_BYTES + 4096);
        buffer.extend_from_slice(header.as_bytes());
        Ok(Self { file, path, buffer, written: 0 })
    }

    /// Writes the buffer and empties it once it is a full piece.
    fn flush_full(&mut self) -> anyhow::Result<()> {
        if self.buffer.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is left; returns the size of the file in bytes.
    fn finish(mut self) -> anyhow::Result<u64> {
        self.flush()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.file
            .write_all(&self.buffer)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
