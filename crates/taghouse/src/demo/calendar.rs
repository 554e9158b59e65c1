use anyhow::{Context, ensure};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

/// The last day that is generated, whatever the number of days.
const LAST_DAY: Date = date(2026, 6, 30);

const TIME_ZONE: &str = "Europe/Berlin";

/// Monday to Sunday, how busy a day is.
const WEEKDAY_WEIGHTS: [u64; 7] = [95, 90, 92, 98, 110, 128, 134];

/// Midnight to midnight, how busy an hour of a local day is.
pub(super) const HOUR_WEIGHTS: [u32; 24] =
    [18, 10, 6, 4, 4, 7, 16, 32, 44, 50, 54, 58, 64, 60, 55, 54, 58, 66, 76, 88, 96, 90, 66, 38];

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// A local day: the events of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) date: Date,
    /// The instant at which it begins, in ms since 1970 UTC.
    pub(super) start_ms: i64,
    /// The instant at which the next begins: 23 to 25 hours later.
    pub(super) end_ms: i64,
    /// How many events it has.
    pub(super) events: u64,
}

/// The `days` days up to the last, with `events` shared among them by weekday and a slow growth.
///
/// # Errors
/// No days, or more than ten years.
pub(super) fn days(days: u32, events: u64) -> anyhow::Result<Vec<Day>> {
    ensure!((1..=3650).contains(&days), "{days} days asked for: use 1 to 3650");
    let zone = TimeZone::get(TIME_ZONE)
        .context("the time zone of the shop is not in the database of time zones")?;
    let start = |date: Date| anyhow::Ok(date.to_zoned(zone.clone())?.timestamp().as_millisecond());
    let dates: Vec<Date> =
        LAST_DAY.series(jiff::Span::new().days(-1)).take(days as usize).collect();
    let weights: Vec<u64> =
        dates.iter().rev().zip(0..).map(|(date, index)| weight(*date, index)).collect();
    let total: u64 = weights.iter().sum();
    let (mut passed, mut given) = (0_u64, 0_u64);
    let mut days = Vec::with_capacity(weights.len());
    for (date, weight) in dates.into_iter().rev().zip(weights) {
        passed += weight;
        let until = (u128::from(events) * u128::from(passed) / u128::from(total)) as u64;
        days.push(Day {
            date,
            start_ms: start(date)?,
            end_ms: start(date.tomorrow()?)?,
            events: until - given,
        });
        given = until;
    }
    Ok(days)
}

fn weight(date: Date, index: u64) -> u64 {
    let payday = if date.day() <= 3 || date.day() >= 28 { 115 } else { 100 };
    WEEKDAY_WEIGHTS[date.weekday().to_monday_zero_offset() as usize] * payday * (1000 + 2 * index)
}

/// Days since 1970-01-01.
pub(super) fn day_number(date: Date) -> i32 {
    (date.to_zoned(TimeZone::UTC).map_or(0, |midnight| midnight.timestamp().as_second()) / 86_400)
        as i32
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant's `civil_from_days`);
/// from year 0 on.
pub(super) fn civil(day: i32) -> (u32, u32, u32) {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    ((year_of_era + era * 400 + i64::from(month <= 2)) as u32, month as u32, day_of_month as u32)
}
