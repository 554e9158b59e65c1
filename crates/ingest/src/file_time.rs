//! When a file's rows hold, where no column says so: the date in the file's name, or when it was
//! last written to.

use crate::folder::FoundFile;
use crate::halt::Halt;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::time::UNIX_EPOCH;
use taghouse_model::TimestampMs;
use taghouse_rules::FileTime;

/// What dates the rows of a source's files.
#[derive(Debug, Clone)]
pub(crate) struct FileTimes {
    pub(crate) by: FileTime,
    /// The time zone of the app.
    pub(crate) zone: TimeZone,
}

impl FileTimes {
    /// # Errors
    /// [`Halt::Refused`] for a name without a date where it must have one.
    pub(crate) fn of(&self, file: &FoundFile) -> Result<TimestampMs, Halt> {
        let named = if self.by == FileTime::Modified { None } else { date_in(&file.name) };
        match named {
            Some(date) => self.midnight(date),
            None if self.by == FileTime::Name => Err(Halt::Refused(
                "its name holds no date such as 2026-03-02 or 20260302, and `time: { file: name }` dates its rows by that: rename it, or say \
                 `time: { file: modified }`"
                    .to_owned(),
            )),
            None => modified(file),
        }
    }

    fn midnight(&self, date: Date) -> Result<TimestampMs, Halt> {
        let day = date.to_zoned(self.zone.clone());
        day.map(|day| day.timestamp().as_millisecond())
            .map_err(|e| Halt::Refused(format!("the date in its name: {e}")))
    }
}

fn modified(file: &FoundFile) -> Result<TimestampMs, Halt> {
    let unknown = |e: std::io::Error| {
        Halt::Refused(format!("when it was last written to cannot be told: {e}"))
    };
    let modified =
        std::fs::metadata(&file.path).and_then(|metadata| metadata.modified()).map_err(unknown)?;
    let since = modified
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Halt::Refused("it was last written to before 1970: touch it".to_owned()))?;
    i64::try_from(since.as_millis())
        .map_err(|_| Halt::Refused("it was last written to in a far future: touch it".to_owned()))
}

/// The last date in a name: eight digits, or four, two and two parted by one sign of `-`, `_` and
/// `.`, with no digit beside them.
fn date_in(name: &str) -> Option<Date> {
    let bytes = name.as_bytes();
    (0..bytes.len()).rev().find_map(|start| {
        if start > 0 && bytes[start - 1].is_ascii_digit() {
            return None;
        }
        compact(&bytes[start..]).or_else(|| parted(&bytes[start..]))
    })
}

fn compact(text: &[u8]) -> Option<Date> {
    let ended = |at: usize| text.get(at).is_none_or(|next| !next.is_ascii_digit());
    let digits =
        text.get(..8).filter(|digits| digits.iter().all(u8::is_ascii_digit) && ended(8))?;
    date(&digits[..4], &digits[4..6], &digits[6..])
}

fn parted(text: &[u8]) -> Option<Date> {
    let text = text.get(..10).filter(|_| text.get(10).is_none_or(|next| !next.is_ascii_digit()))?;
    let sign = text[4];
    let fits = [b'-', b'_', b'.'].contains(&sign) && text[7] == sign;
    if fits { date(&text[..4], &text[5..7], &text[8..]) } else { None }
}

fn date(year: &[u8], month: &[u8], day: &[u8]) -> Option<Date> {
    let number = |digits: &[u8]| -> Option<i16> {
        if digits.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(digits).ok()?.parse().ok()
        } else {
            None
        }
    };
    let small = |digits: &[u8]| i8::try_from(number(digits)?).ok();
    // Numbers of eight digits are mostly no dates.
    let year = number(year).filter(|year| (1970..2200).contains(year))?;
    Date::new(year, small(month)?, small(day)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_date_of_a_name_is_found() {
        for (name, expected) in [
            ("people-2026-03-02.csv", Some("2026-03-02")),
            ("people_20260302.csv.gz", Some("2026-03-02")),
            ("2026_03_02-full.csv", Some("2026-03-02")),
            ("dt=2026-03-02/part-00000.csv", Some("2026-03-02")),
            ("2026-01-01/people.2026.03.02.csv", Some("2026-03-02")),
            ("20260302T101500.csv", Some("2026-03-02")),
            ("people-2026-13-02.csv", None),
            ("order-12345678.csv", None),
            ("920260302.csv", None),
            ("202603021.csv", None),
            ("2026-03_02.csv", None),
            ("2026-03-021.csv", None),
            ("leute-ä2026-03-02ä.csv", Some("2026-03-02")),
            ("people.csv", None),
            ("", None),
        ] {
            assert_eq!(date_in(name).map(|date| date.to_string()).as_deref(), expected, "{name}");
        }
    }
}
