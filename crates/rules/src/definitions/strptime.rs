//! Whether a strptime pattern is one that days, or instants, can be read with.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// What is read with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Days,
    Instants,
}

/// A time all of whose parts have their full width, so that patterns without separators are read
/// back too.
const SAMPLE: DateTime = DateTime::constant(2011, 12, 19, 12, 50, 30, 123_000_000);

/// Writes a time with the pattern and reads it back: some directives can only be written (`%c`,
/// `%Z`), and some patterns name no day.
pub(super) fn check(pattern: &str, reads: Reads) -> Result<(), String> {
    if !pattern.contains('%') {
        return Err(format!("`{pattern}` is not a valid strptime pattern such as %Y-%m-%d"));
    }
    let wrong = |e: jiff::Error| {
        let cause = e.to_string();
        let plain = cause
            .strip_prefix("strftime formatting failed: ")
            .or_else(|| cause.strip_prefix("strptime parsing failed: "));
        format!("`{pattern}` is not a valid strptime pattern: {}", plain.unwrap_or(&cause))
    };
    let sample = SAMPLE.to_zoned(TimeZone::UTC).map_err(wrong)?;
    let text = strtime::format(pattern, &sample).map_err(wrong)?;
    let read = strtime::parse(pattern, &text).map_err(wrong)?;
    match reads {
        _ if read.to_date().is_ok() => Ok(()),
        Reads::Instants if read.to_timestamp().is_ok() => Ok(()),
        Reads::Instants => Err(format!(
            "`{pattern}` names no day: write year, month and day, such as %Y-%m-%d %H:%M:%S"
        )),
        Reads::Days => {
            Err(format!("`{pattern}` names no day: write year, month and day, such as %Y-%m-%d"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let days = [
            "%Y-%m-%d",
            "%d.%m.%Y",
            "%m/%d/%y",
            "%Y%m%d",
            "%-d/%-m/%Y",
            "%e %B %Y",
            "%d-%b-%Y",
            "%F",
            "%D",
            "%Y-%j",
            "%G-W%V-%u",
            "%A, %d %B %Y",
            "%Y-%m-%d %H:%M",
            "%m/%d/%Y %I:%M %p",
            "%a %b %d %T %Y",
            "%d/%b/%Y:%H:%M:%S %z",
            "%FT%T%.f%:z",
            "%F %T%.3f",
            "%F %T %Q",
            "100%% %F",
        ];
        for pattern in days {
            assert_eq!(check(pattern, Reads::Days), Ok(()), "{pattern}");
            assert_eq!(check(pattern, Reads::Instants), Ok(()), "{pattern}");
        }
        assert_eq!(check("%s", Reads::Instants), Ok(()));
        for pattern in [
            "%s", "%Q", "%H:%M", "%Y", "%m-%d", "%", "%F %", "%F %!", "%F %Z", "%c", "yyyy", "",
            "%%",
        ] {
            assert!(check(pattern, Reads::Days).is_err(), "{pattern}");
            assert_eq!(check(pattern, Reads::Instants).is_err(), pattern != "%s", "{pattern}");
        }
    }
}
