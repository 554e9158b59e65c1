use super::*;
use jiff::tz::AmbiguousOffset;

fn reader(format: TimeFormat, zone: &str) -> TimeReader {
    TimeReader::new(&format, TimeZone::get(zone).unwrap())
}

fn utc(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn retail_pattern() {
    let mut times = reader(TimeFormat::Pattern("%Y-%m-%d %H:%M:%S".into()), "Europe/London");
    assert_eq!(times.instant("2010-12-01 08:26:00"), Some(utc("2010-12-01T08:26:00Z")));
    assert_eq!(times.instant("2011-07-01 00:00:00"), Some(utc("2011-06-30T23:00:00Z")));
    assert_eq!(times.instant(" 2011-07-01 00:00:00 "), Some(utc("2011-06-30T23:00:00Z")));
    for wrong in [
        "",
        "2011-02-29 00:00:00",
        "2011-13-01 00:00:00",
        "2011-07-01",
        "2011-07-01 24:00:00",
        "2011-07-01 00:00:00x",
        "yesterday",
    ] {
        assert_eq!(times.instant(wrong), None, "{wrong}");
    }
}

#[test]
fn other_patterns_go_through_jiff() {
    let mut times = reader(TimeFormat::Pattern("%d/%m/%y %I:%M %p".into()), "Europe/London");
    assert_eq!(times.instant("01/07/11 01:30 PM"), Some(utc("2011-07-01T12:30:00Z")));
    let mut zoned = reader(TimeFormat::Pattern("%Y-%m-%d %H:%M:%S %z".into()), "Europe/London");
    assert_eq!(zoned.instant("2011-07-01 13:30:00 +0300"), Some(utc("2011-07-01T10:30:00Z")));
    let mut short = reader(TimeFormat::Pattern("%d/%m/%Y %H:%M".into()), "UTC");
    assert_eq!(short.instant("1/2/2011 8:05"), Some(utc("2011-02-01T08:05:00Z")));
    let mut days = reader(TimeFormat::Pattern("%d.%m.%Y".into()), "Europe/Berlin");
    assert_eq!(days.instant("01.07.2011"), Some(utc("2011-06-30T22:00:00Z")));
    assert_eq!(days.day("02.01.1970"), Some(1));
}

#[test]
fn iso_forms() {
    let mut times = reader(TimeFormat::Iso8601, "Europe/London");
    let cases = [
        ("2026-11-21T00:28:39.268Z", "2026-11-21T00:28:39.268Z"),
        ("2026-11-21T00:28:39.579747+00:00", "2026-11-21T00:28:39.579Z"),
        ("2011-07-01T10:00", "2011-07-01T09:00:00Z"),
        ("2011-07-01 10:00:30", "2011-07-01T09:00:30Z"),
        ("2011-07-01", "2011-06-30T23:00:00Z"),
        ("2011-07-01T10:00:00-0530", "2011-07-01T15:30:00Z"),
        ("2011-07-01T10:00:00+02", "2011-07-01T08:00:00Z"),
        ("20110701T100000Z", "2011-07-01T10:00:00Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
    ];
    for (text, instant) in cases {
        assert_eq!(times.instant(text), Some(utc(instant)), "{text}");
    }
    for wrong in [
        "",
        "2011-07-01T",
        "2011-07-01T25:00",
        "2011-07-01T10:00:00+xx",
        "11-07-01",
        "2011-02-30T00:00:00Z",
    ] {
        assert_eq!(times.instant(wrong), None, "{wrong}");
    }
    assert_eq!(times.day("1970-01-10"), Some(9));
    assert_eq!(times.day("1970-01-10T23:30"), Some(9), "a wall time names its day");
}

#[test]
fn epochs() {
    assert_eq!(
        reader(TimeFormat::Epoch(EpochUnit::Seconds), "UTC").instant("1700000000"),
        Some(1_700_000_000_000)
    );
    assert_eq!(
        reader(TimeFormat::Epoch(EpochUnit::Seconds), "UTC").instant("1700000000.5"),
        Some(1_700_000_000_500)
    );
    assert_eq!(
        reader(TimeFormat::Epoch(EpochUnit::Milliseconds), "UTC").instant("1700000000123"),
        Some(1_700_000_000_123)
    );
    assert_eq!(reader(TimeFormat::Epoch(EpochUnit::Milliseconds), "UTC").instant("soon"), None);
}

/// Every quarter of an hour of two years, in order and back, in zones with odd rules: the
/// remembered offset must never differ from jiff's.
#[test]
fn remembered_offsets_agree_with_jiff() {
    for name in [
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "Africa/Casablanca",
        "Pacific/Apia",
        "UTC",
    ] {
        let zone = TimeZone::get(name).unwrap();
        let mut times = reader(TimeFormat::Iso8601, name);
        let start = days_from_civil(2010, 12, 1) * DAY_SECONDS * 1000;
        let steps = (0..2 * 365 * 96).map(|i| start + i * 900_000);
        for local_ms in steps.clone().chain(steps.rev()) {
            let civil = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
                .checked_add(SignedDuration::from_millis(local_ms))
                .unwrap();
            let ambiguous = zone.to_ambiguous_timestamp(civil);
            let expected = match ambiguous.offset() {
                AmbiguousOffset::Unambiguous { offset } => {
                    local_ms - i64::from(offset.seconds()) * 1000
                }
                _ => ambiguous.compatible().unwrap().as_millisecond(),
            };
            assert_eq!(times.instant_of_wall(local_ms), Some(expected), "{civil} in {name}");
        }
    }
}

#[test]
fn numbers_of_every_unit() {
    let cases = [
        (EpochUnit::Seconds, "1772359200", 1_772_359_200_000),
        (EpochUnit::Seconds, "1772359200.123", 1_772_359_200_123),
        (EpochUnit::Milliseconds, "1772359200123", 1_772_359_200_123),
        (EpochUnit::Microseconds, "1772359200123456", 1_772_359_200_123),
        (EpochUnit::Microseconds, "1.772359200123456E15", 1_772_359_200_123),
        (EpochUnit::Nanoseconds, "1772359200123456789", 1_772_359_200_123),
        (EpochUnit::Microseconds, "-1", -1),
    ];
    for (unit, text, ms) in cases {
        let mut times = reader(TimeFormat::Epoch(unit), "UTC");
        assert_eq!(times.instant(text), Some(ms), "{text}");
        assert_eq!(times.other_unit(text), None, "{text}");
        assert_eq!(TimeFormat::of(unit.name()), TimeFormat::Epoch(unit));
    }
    assert_eq!(
        reader(TimeFormat::Epoch(EpochUnit::Microseconds), "America/New_York")
            .day("1772359200123456"),
        Some(20_513)
    );
}

#[test]
fn the_unit_that_a_number_seems_to_be() {
    let now = ["1772359200", "1772359200123", "1772359200123456", "1772359200123456789"];
    for (own, text) in EpochUnit::ALL.into_iter().zip(now) {
        for read_as in EpochUnit::ALL {
            let seems = reader(TimeFormat::Epoch(read_as), "UTC").other_unit(text);
            assert_eq!(seems, (read_as != own).then_some(own), "{text} as {}", read_as.name());
        }
        assert_eq!(reader(TimeFormat::Iso8601, "UTC").unit_of(text), Some(own));
    }
    // Long past, far ahead or near 1970, but in no unit of our days.
    for text in ["0", "86400", "1", "-1772359200", "99999999999", "soon", "1e300"] {
        assert_eq!(
            reader(TimeFormat::Epoch(EpochUnit::Seconds), "UTC").other_unit(text),
            None,
            "{text}"
        );
    }
    let births = reader(TimeFormat::Epoch(EpochUnit::Milliseconds), "UTC");
    assert!(births.is_whole_day("777600000") && !births.is_whole_day("777600001"));
}
