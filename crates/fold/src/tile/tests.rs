use super::*;
use jiff::civil::date;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn day(year: i16, month: i8, of_month: i8) -> i64 {
    i64::from(date(1970, 1, 1).until(date(year, month, of_month)).unwrap().get_days())
}

#[test]
fn a_window_of_days_ends_with_the_day_of_the_last_instant_before() {
    let span = Calendar::new(&zone("Europe/London")).span(Window::Days(30));
    let midnight = at("2011-12-10T00:00Z");
    assert_eq!(span.range(midnight), (day(2011, 11, 10), day(2011, 12, 9)));
    assert_eq!(span.start_ms(midnight), at("2011-11-10T00:00Z"));
    assert_eq!(span.range(midnight + 1), (day(2011, 11, 11), day(2011, 12, 10)));
    assert_eq!(span.leaves(day(2011, 11, 10)), Some(midnight + 1));
}

#[test]
fn a_tile_at_the_end_of_time_leaves_never_and_panics_nowhere() {
    let span = Calendar::new(&zone("Europe/London")).span(Window::Days(30));
    assert_eq!(span.leaves(i64::MAX), Some(i64::MAX));
    assert_eq!(span.comes(i64::MAX), Some(i64::MAX));
    assert!(span.leaves(i64::MIN).is_some_and(|at_ms| at_ms < 0));
}

#[test]
fn local_days_are_as_long_as_the_clock_makes_them() {
    let tiles = Tiles::new(&zone("Europe/London"), TileUnit::Day);
    let long = |y, m, d| (tiles.start(day(y, m, d) + 1) - tiles.start(day(y, m, d))) / HOUR_MS;
    assert_eq!((long(2011, 3, 26), long(2011, 3, 27), long(2011, 10, 30)), (24, 23, 25));
    // Summer: the day begins at 23:00 UTC.
    assert_eq!(tiles.start(day(2011, 7, 1)), at("2011-06-30T23:00Z"));
    assert_eq!(tiles.tile(at("2011-06-30T22:59:59.999Z")), day(2011, 6, 30));
    assert_eq!(tiles.tile(at("2011-06-30T23:00Z")), day(2011, 7, 1));
    // The rule goes on after the table of the past.
    assert_eq!(tiles.start(day(2150, 7, 1)), at("2150-06-30T23:00Z"));
}

#[test]
fn hours_keep_step_with_the_zone_s_minutes() {
    let kolkata = Tiles::new(&zone("Asia/Kolkata"), TileUnit::Hour);
    assert_eq!(
        kolkata.tile(at("2023-01-01T00:29:59.999Z")) + 1,
        kolkata.tile(at("2023-01-01T00:30Z"))
    );
    assert_eq!(kolkata.start(kolkata.tile(at("2023-01-01T00:45Z"))), at("2023-01-01T00:30Z"));
    let utc = Tiles::new(&TimeZone::UTC, TileUnit::Hour);
    assert_eq!(utc.tile(at("1970-01-02T00:00Z")), 24);
    assert_eq!(utc.tile(-1), -1);
}

/// Whatever the zone does, tiles never go backwards, `start` is their first instant, and days are
/// civil days but for the hour that is lived twice over midnight.
#[test]
fn tiles_are_monotone_and_start_where_they_start() {
    for name in [
        "Europe/London",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Apia",
        "America/Havana",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
    ] {
        let zone = zone(name);
        for unit in [TileUnit::Day, TileUnit::Hour] {
            let tiles = Tiles::new(&zone, unit);
            let mut before = i64::MIN;
            let mut instant = at("1999-12-31T12:00Z");
            while instant < at("2012-01-10T00:00Z") {
                let tile = tiles.tile(instant);
                assert!(tile >= before, "{name} {unit:?} at {instant}");
                let start = tiles.start(tile);
                assert!(
                    start <= instant && tiles.tile(start) == tile && tiles.tile(start - 1) < tile,
                    "{name} {unit:?} at {instant}"
                );
                if unit == TileUnit::Day {
                    let civil =
                        Timestamp::from_millisecond(instant).unwrap().to_zoned(zone.clone()).date();
                    let civil = i64::from(date(1970, 1, 1).until(civil).unwrap().get_days());
                    assert!(
                        tile == civil
                            || (tile == civil + 1 && tiles.tile(instant - 2 * HOUR_MS) >= civil),
                        "{name} at {instant}"
                    );
                }
                before = tile;
                instant += 30 * 60_000 - 1;
            }
        }
    }
}

#[test]
fn a_lifetime_is_one_tile() {
    let span = Calendar::new(&TimeZone::UTC).span(Window::Lifetime);
    assert_eq!(
        (span.tile(i64::MIN), span.range(5), span.start_ms(5), span.leaves(0)),
        (0, (0, 0), i64::MIN, None)
    );
}
