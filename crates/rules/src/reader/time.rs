//! Times and dates from text. The common forms are read digit by digit with the zone's offset
//! remembered; jiff reads the rest.

use super::number::parse_units_cut;
use crate::TimeFormat;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use taghouse_model::TimestampMs;

const DAY_SECONDS: i64 = 86_400;

/// Reads the times of one column. Not shared between threads: it remembers the zone's last offset.
#[derive(Debug, Clone)]
pub struct TimeReader {
    form: Form,
    offsets: Offsets,
}

#[derive(Debug, Clone)]
enum Form {
    Iso8601,
    Epoch(EpochUnit),
    Pattern { text: String, fields: Option<Vec<Field>> },
}

/// A part of a strptime pattern of fixed width.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Byte(u8),
}

/// Times of our days, which tell in what unit a number is counted: 1990 to 2099.
const OUR_DAYS_MS: std::ops::Range<TimestampMs> = 631_152_000_000..4_102_444_800_000;

/// 1971 and 2200: a number of our days, read in another unit than its own, names a time before or
/// behind.
const IMPLAUSIBLE_BEFORE_MS: TimestampMs = 31_536_000_000;
const IMPLAUSIBLE_FROM_MS: TimestampMs = 7_258_118_400_000;

/// In what time since 1970 UTC is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// `epoch_s`
    Seconds,
    /// `epoch_ms`
    Milliseconds,
    /// `epoch_us`
    Microseconds,
    /// `epoch_ns`
    Nanoseconds,
}

impl EpochUnit {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    /// As a `format` is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "epoch_s",
            Self::Milliseconds => "epoch_ms",
            Self::Microseconds => "epoch_us",
            Self::Nanoseconds => "epoch_ns",
        }
    }

    /// What to do about a number of this unit.
    pub fn hint(self) -> String {
        let unit = match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        };
        format!("seems to be {unit} since 1970: write `format: {}`", self.name())
    }

    /// The instant that a number names, digits behind the millisecond cut off.
    fn instant(self, text: &str) -> Option<TimestampMs> {
        let units = match self {
            Self::Seconds => parse_units_cut(text, 3).ok()?,
            Self::Milliseconds => parse_units_cut(text, 0).ok()?,
            Self::Microseconds => parse_units_cut(text, 0).ok()?.div_euclid(1_000),
            Self::Nanoseconds => parse_units_cut(text, 0).ok()?.div_euclid(1_000_000),
        };
        i64::try_from(units).ok()
    }

    /// The unit in which a number names a time of our days; there is one at most.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        Self::ALL
            .into_iter()
            .find(|unit| unit.instant(text).is_some_and(|ms| OUR_DAYS_MS.contains(&ms)))
    }
}

/// A wall time: days since 1970 and milliseconds of the day, with the offset if the text names one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WallTime {
    local_ms: i64,
    offset_seconds: Option<i64>,
}

impl TimeReader {
    /// A reader of a format; times that name no zone are those of `zone`.
    pub fn new(format: &TimeFormat, zone: TimeZone) -> Self {
        let form = match format {
            TimeFormat::Iso8601 => Form::Iso8601,
            TimeFormat::Epoch(unit) => Form::Epoch(*unit),
            TimeFormat::Pattern(text) => {
                Form::Pattern { text: text.clone(), fields: fixed_fields(text) }
            }
        };
        Self { form, offsets: Offsets::new(zone) }
    }

    /// The instant that `text` names, or `None` where it names none.
    pub fn instant(&mut self, text: &str) -> Option<TimestampMs> {
        let text = text.trim_ascii();
        match &self.form {
            Form::Epoch(unit) => unit.instant(text),
            Form::Iso8601 => match iso_wall(text.as_bytes()) {
                Some(wall) => self.offsets.instant(wall),
                None => self.other_iso(text),
            },
            Form::Pattern { text: pattern, fields } => {
                match fields.as_ref().and_then(|fields| fixed_wall(fields, text.as_bytes())) {
                    Some(wall) => self.offsets.instant(wall),
                    None => self.offsets.by_pattern(pattern, text),
                }
            }
        }
    }

    /// Whether times are numbers, counted since 1970.
    pub fn counts(&self) -> bool {
        matches!(self.form, Form::Epoch(_))
    }

    /// The unit in which a number seems to be counted, if in the reader's it names a time long past
    /// or far ahead, and in that one a time of our days.
    pub fn other_unit(&self, text: &str) -> Option<EpochUnit> {
        let Form::Epoch(own) = &self.form else { return None };
        let ms = own.instant(text.trim_ascii()).unwrap_or(TimestampMs::MAX);
        if (IMPLAUSIBLE_BEFORE_MS..IMPLAUSIBLE_FROM_MS).contains(&ms) {
            return None;
        }
        EpochUnit::of(text)
    }

    /// The unit in which a text that the reader cannot read seems to be counted.
    pub fn unit_of(&self, text: &str) -> Option<EpochUnit> {
        if self.counts() { None } else { EpochUnit::of(text) }
    }

    /// Whether a number names midnight UTC.
    pub fn is_whole_day(&self, text: &str) -> bool {
        let Form::Epoch(own) = &self.form else { return false };
        own.instant(text.trim_ascii()).is_some_and(|ms| ms.rem_euclid(DAY_SECONDS * 1000) == 0)
    }

    /// The instant of a time that was stored as wall time (without a zone), in milliseconds.
    pub fn instant_of_wall(&mut self, local_ms: i64) -> Option<TimestampMs> {
        self.offsets.instant(WallTime { local_ms, offset_seconds: None })
    }

    /// The calendar day (days since 1970) that `text` names: of a time with an offset the day in
    /// the reader's zone.
    pub fn day(&mut self, text: &str) -> Option<i32> {
        let text = text.trim_ascii();
        let days = match &self.form {
            Form::Pattern { text: pattern, fields } => {
                match fields.as_ref().and_then(|fields| fixed_wall(fields, text.as_bytes())) {
                    Some(wall) => wall.local_ms.div_euclid(DAY_SECONDS * 1000),
                    None => days_of(jiff::fmt::strtime::parse(pattern, text).ok()?.to_date().ok()?),
                }
            }
            Form::Epoch(unit) => return unit.instant(text).and_then(|ms| self.day_of_instant(ms)),
            Form::Iso8601 => match iso_wall(text.as_bytes())? {
                wall @ WallTime { offset_seconds: Some(_), .. } => {
                    return self.offsets.instant(wall).and_then(|ms| self.day_of_instant(ms));
                }
                WallTime { local_ms, .. } => local_ms.div_euclid(DAY_SECONDS * 1000),
            },
        };
        i32::try_from(days).ok()
    }

    /// The calendar day of an instant in the reader's zone. Midnight UTC is the day it names: so
    /// JavaScript writes a date without a time, which west of Greenwich would be the day
    /// before.
    pub fn day_of_instant(&self, ms: TimestampMs) -> Option<i32> {
        let local_ms = match ms.rem_euclid(DAY_SECONDS * 1000) {
            0 => ms,
            _ => civil_ms(self.offsets.zone.to_datetime(Timestamp::from_millisecond(ms).ok()?)),
        };
        i32::try_from(local_ms.div_euclid(DAY_SECONDS * 1000)).ok()
    }

    fn other_iso(&mut self, text: &str) -> Option<TimestampMs> {
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(floor_ms(instant));
        }
        let civil: DateTime = text.parse().ok()?;
        self.offsets.instant(WallTime { local_ms: civil_ms(civil), offset_seconds: None })
    }
}

/// A zone with the span of wall time in which its last offset holds without doubt.
#[derive(Debug, Clone)]
struct Offsets {
    zone: TimeZone,
    from_ms: i64,
    before_ms: i64,
    offset_ms: i64,
}

impl Offsets {
    fn new(zone: TimeZone) -> Self {
        Self { zone, from_ms: 0, before_ms: 0, offset_ms: 0 }
    }

    fn instant(&mut self, wall: WallTime) -> Option<TimestampMs> {
        if let Some(offset) = wall.offset_seconds {
            return Some(wall.local_ms - offset * 1000);
        }
        if wall.local_ms >= self.from_ms && wall.local_ms < self.before_ms {
            return Some(wall.local_ms - self.offset_ms);
        }
        let civil = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
            .checked_add(SignedDuration::from_millis(wall.local_ms))
            .ok()?;
        // A wall time that the clocks skipped is read with the offset before, one they repeat is
        // its first instance.
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        let certain = !ambiguous.is_ambiguous();
        let instant = ambiguous.compatible().ok()?;
        if certain {
            self.remember(instant);
        }
        Some(floor_ms(instant))
    }

    /// Remembers between which wall times the offset at `instant` is the only one possible.
    fn remember(&mut self, instant: Timestamp) {
        let ms_of = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
        let offset = ms_of(self.zone.to_offset(instant));
        let next = self.zone.following(instant).next();
        let after = instant.checked_add(SignedDuration::from_nanos(1)).unwrap_or(instant);
        let last = self.zone.preceding(after).next();
        let (from, before) = match &last {
            Some(change) => {
                let earlier = change
                    .timestamp()
                    .checked_sub(SignedDuration::from_nanos(1))
                    .unwrap_or(change.timestamp());
                let old = ms_of(self.zone.to_offset(earlier));
                (
                    floor_ms(change.timestamp()).saturating_add(offset.max(old)).saturating_add(1),
                    i64::MAX,
                )
            }
            None => (i64::MIN, i64::MAX),
        };
        let before = match &next {
            Some(change) => {
                floor_ms(change.timestamp()).saturating_add(offset.min(ms_of(change.offset())))
            }
            None => before,
        };
        (self.from_ms, self.before_ms, self.offset_ms) = (from, before, offset);
    }

    fn by_pattern(&mut self, pattern: &str, text: &str) -> Option<TimestampMs> {
        let broken = jiff::fmt::strtime::parse(pattern, text).ok()?;
        if let Ok(instant) = broken.to_timestamp() {
            return Some(floor_ms(instant));
        }
        let civil = match broken.to_datetime() {
            Ok(civil) => civil,
            Err(_) => broken.to_date().ok()?.to_datetime(jiff::civil::Time::midnight()),
        };
        self.instant(WallTime { local_ms: civil_ms(civil), offset_seconds: None })
    }
}

fn floor_ms(instant: Timestamp) -> TimestampMs {
    instant.as_nanosecond().div_euclid(1_000_000) as i64
}

fn civil_ms(civil: DateTime) -> i64 {
    let time = civil.time();
    let seconds =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    (days_of(civil.date()) * DAY_SECONDS + seconds) * 1000 + i64::from(time.millisecond())
}

fn days_of(date: Date) -> i64 {
    days_from_civil(i64::from(date.year()), i64::from(date.month()), i64::from(date.day()))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn checked_day(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    (1..=length).contains(&day).then(|| days_from_civil(year, month, day))
}

/// The pattern's parts, if each has a fixed width and a whole day is among them.
fn fixed_fields(pattern: &str) -> Option<Vec<Field>> {
    let pattern =
        pattern.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S").replace("%R", "%H:%M");
    let mut fields = Vec::new();
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        fields.push(match byte {
            b'%' => match bytes.next()? {
                b'Y' => Field::Year,
                b'm' => Field::Month,
                b'd' => Field::Day,
                b'H' => Field::Hour,
                b'M' => Field::Minute,
                b'S' => Field::Second,
                _ => return None,
            },
            // Blanks match any run of blanks, which only jiff knows.
            b'0'..=b'9' | b'\t' | b'\n' | b'\r' => return None,
            other => Field::Byte(other),
        });
    }
    let once = |field: Field| fields.iter().filter(|f| **f == field).count() == 1;
    (once(Field::Year) && once(Field::Month) && once(Field::Day)).then_some(fields)
}

fn fixed_wall(fields: &[Field], mut text: &[u8]) -> Option<WallTime> {
    let (mut year, mut month, mut day, mut seconds) = (0, 0, 0, 0);
    for field in fields {
        match field {
            Field::Year => year = take_digits(&mut text, 4)?,
            Field::Month => month = take_digits(&mut text, 2)?,
            Field::Day => day = take_digits(&mut text, 2)?,
            Field::Hour => seconds += below(take_digits(&mut text, 2)?, 24)? * 3600,
            Field::Minute => seconds += below(take_digits(&mut text, 2)?, 60)? * 60,
            Field::Second => seconds += below(take_digits(&mut text, 2)?, 60)?,
            Field::Byte(byte) => take_byte(&mut text, *byte)?,
        }
    }
    if !text.is_empty() {
        return None;
    }
    Some(WallTime {
        local_ms: (checked_day(year, month, day)? * DAY_SECONDS + seconds) * 1000,
        offset_seconds: None,
    })
}

/// `2011-12-09`, `2011-12-09T12:50`, `2011-12-09 12:50:00.123`, each time with or without `Z`,
/// `+01`, `+0100` or `+01:00`.
fn iso_wall(mut text: &[u8]) -> Option<WallTime> {
    let day = take_day(&mut text)?;
    if text.is_empty() {
        return Some(WallTime { local_ms: day * DAY_SECONDS * 1000, offset_seconds: None });
    }
    let [b'T' | b't' | b' ', rest @ ..] = text else { return None };
    text = rest;
    let mut seconds = below(take_digits(&mut text, 2)?, 24)? * 3600;
    take_byte(&mut text, b':')?;
    seconds += below(take_digits(&mut text, 2)?, 60)? * 60;
    let mut ms = 0;
    if take_byte(&mut text, b':').is_some() {
        seconds += below(take_digits(&mut text, 2)?, 60)?;
        if let [b'.' | b',', rest @ ..] = text {
            text = rest;
            ms = take_fraction(&mut text)?;
        }
    }
    let offset_seconds = take_offset(&mut text)?;
    text.is_empty()
        .then_some(WallTime { local_ms: (day * DAY_SECONDS + seconds) * 1000 + ms, offset_seconds })
}

fn take_day(text: &mut &[u8]) -> Option<i64> {
    let year = take_digits(text, 4)?;
    take_byte(text, b'-')?;
    let month = take_digits(text, 2)?;
    take_byte(text, b'-')?;
    checked_day(year, month, take_digits(text, 2)?)
}

/// The digits after the point as milliseconds; those behind the third carry nothing.
fn take_fraction(text: &mut &[u8]) -> Option<i64> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 || length > 9 {
        return None;
    }
    let digit = |at: usize| if at < length { i64::from(text[at] - b'0') } else { 0 };
    let ms = digit(0) * 100 + digit(1) * 10 + digit(2);
    *text = &text[length..];
    Some(ms)
}

/// `None`: malformed. `Some(None)`: no offset is written.
fn take_offset(text: &mut &[u8]) -> Option<Option<i64>> {
    let sign = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => {
            *text = &[];
            return Some(Some(0));
        }
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    *text = &text[1..];
    let mut seconds = below(take_digits(text, 2)?, 24)? * 3600;
    if !text.is_empty() {
        let _ = take_byte(text, b':');
        seconds += below(take_digits(text, 2)?, 60)? * 60;
    }
    Some(Some(sign * seconds))
}

fn take_digits(text: &mut &[u8], width: usize) -> Option<i64> {
    let (head, tail) = text.split_at_checked(width)?;
    let mut value = 0;
    for byte in head {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    *text = tail;
    Some(value)
}

fn take_byte(text: &mut &[u8], byte: u8) -> Option<()> {
    match text {
        [head, tail @ ..] if *head == byte => {
            *text = tail;
            Some(())
        }
        _ => None,
    }
}

fn below(value: i64, limit: i64) -> Option<i64> {
    (value < limit).then_some(value)
}

#[cfg(test)]
mod tests;
