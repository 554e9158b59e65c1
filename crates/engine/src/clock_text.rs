//! Times as people read and write them.

use crate::{Error, Result};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use taghouse_model::TimestampMs;

/// `2026-07-01T00:00:00+02:00`: an instant of the app, such as an as-of time, as its people say it.
pub fn local(ms: TimestampMs, zone: &TimeZone) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| format!("{ms} ms"),
        |instant| instant.display_with_offset(zone.to_offset(instant)).to_string(),
    )
}

/// `2026-07-01T00:00:00Z`: an instant of the server, such as a run's start.
pub fn instant(ms: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |instant| instant.to_string())
}

/// A time with an offset, or one of the app's time zone without.
///
/// # Errors
/// [`Error::NotATime`].
pub fn parse(text: &str, zone: &TimeZone) -> Result<TimestampMs> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    let wrong = || Error::NotATime(text.to_owned());
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    Ok(local.to_zoned(zone.clone()).map_err(|_| wrong())?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_of_the_app_are_shown_in_its_zone_and_read_back() {
        for (zone, ms, text) in [
            ("Europe/London", 1_309_474_800_000, "2011-07-01T00:00:00+01:00"),
            ("UTC", 1_309_478_400_500, "2011-07-01T00:00:00.5+00:00"),
            ("Asia/Kolkata", 1_309_458_600_000, "2011-07-01T00:00:00+05:30"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(local(ms, &zone), text);
            assert_eq!(parse(text, &zone).unwrap(), ms);
        }
    }

    #[test]
    fn times_are_the_apps_unless_they_say_otherwise() {
        let london = TimeZone::get("Europe/London").unwrap();
        let cases = [
            ("2011-12-10T00:00", Some("2011-12-10T00:00:00Z")),
            ("2011-07-01T00:00", Some("2011-06-30T23:00:00Z")),
            ("2011-07-01", Some("2011-06-30T23:00:00Z")),
            ("2011-07-01T00:00:00+02:00", Some("2011-06-30T22:00:00Z")),
            ("2011-07-01T00:00Z", Some("2011-07-01T00:00:00Z")),
            ("yesterday", None),
            ("2011-13-01", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, &london).ok().map(instant).as_deref(), expected, "{text}");
        }
    }
}
