//! Dates relative to now, against what they mean, and the instants at which they change.
#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Predicate, parse_predicate};

/// 2024-02-26, before a 29th of February.
const AROUND_MS: i64 = 1_708_905_600_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

const CONDITIONS: [&str; 14] = [
    "x within last 1d",
    "x within last 30d",
    "x within next 1d",
    "x within next 7d",
    "x older than 30d",
    "x older than 1d",
    "!(x within last 7d)",
    "anniversary(x) within next 7d",
    "anniversary(x) within last 3d",
    "anniversary(x) within next 1d && x older than 365d",
    "x within last 36h",
    "x within next 90m",
    "x older than 48h",
    "if(x within next 2d, 1, 2) == 1",
];

fn checked(text: &str, ty: ValueType) -> Option<Predicate<Value>> {
    let types = |name: &str| (name == "x").then_some(ty);
    parse_predicate(text).unwrap().check(&types, &|_| false, &TimeZone::UTC).ok()
}

fn day_of(ms: i64, zone: &TimeZone) -> Date {
    Timestamp::from_millisecond(ms).unwrap().to_zoned(zone.clone()).date()
}

fn date(days: i32) -> Date {
    jiff::civil::date(1970, 1, 1).checked_add(i64::from(days).days()).unwrap()
}

/// The same day in another year; the 29th of February on the 28th where there is none.
fn in_year(day: Date, year: i16) -> Date {
    Date::new(year, day.month(), day.day()).unwrap_or_else(|_| Date::new(year, 2, 28).unwrap())
}

/// What the conditions mean, one by one.
fn meaning(number: usize, value: &Value, now_ms: i64, zone: &TimeZone) -> bool {
    let today = day_of(now_ms - 1, zone);
    let (day, at_ms) = match value {
        Value::Date(days) => (date(*days), None),
        Value::Time(ms) => (day_of(*ms, zone), Some(*ms)),
        other => panic!("{other:?}"),
    };
    let ago = today.since(day).unwrap().get_days();
    let past = at_ms.is_none_or(|ms| ms < now_ms);
    let last = |n: i32| past && (0..n).contains(&ago);
    let next = |n: i32| (!past || at_ms.is_none()) && (0..n).contains(&-ago);
    let anniversary = |from: i64, to: i64| {
        (from..=to).any(|offset| {
            let on = today.checked_add(offset.days()).unwrap();
            day.year() <= on.year() && in_year(day, on.year()) == on
        })
    };
    let ms = at_ms.unwrap_or_default();
    match number {
        0 => last(1),
        1 => last(30),
        2 => next(1),
        3 => next(7),
        4 => ago >= 30,
        5 => ago >= 1,
        6 => !last(7),
        7 => anniversary(0, 6),
        8 => anniversary(-2, 0),
        9 => anniversary(0, 0) && ago >= 365,
        10 => (now_ms - 36 * HOUR_MS..now_ms).contains(&ms),
        11 => (now_ms..now_ms + 90 * 60_000).contains(&ms),
        12 => ms < now_ms - 48 * HOUR_MS,
        _ => next(2),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let around_day = (AROUND_MS / DAY_MS) as i32;
    prop_oneof![
        (-40..40_i32).prop_map(move |off| Value::Date(around_day + off)),
        (-40..40_i32, 0..60_i32)
            .prop_map(move |(off, years)| Value::Date(around_day + off - years * 365 - years / 4)),
        (-80..80_i64).prop_map(|half| Value::Time(AROUND_MS + half * HOUR_MS / 2)),
        (-80..80_i64, -1..2_i64)
            .prop_map(|(hour, ms)| Value::Time(AROUND_MS + hour * HOUR_MS + ms)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn dates_relative_to_now_mean_what_they_say(
        number in 0..CONDITIONS.len(),
        value in value(),
        hours in -60..60_i64,
        zone in prop::sample::select(vec!["UTC", "Europe/London", "Asia/Kolkata", "America/New_York"]),
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let ty = if matches!(value, Value::Date(_)) { ValueType::Date } else { ValueType::Time };
        let Some(condition) = checked(CONDITIONS[number], ty) else { return Ok(()) };
        prop_assert!(condition.moves());
        let now_ms = AROUND_MS + hours * HOUR_MS;
        let values = |_: &str| Some(value.clone());
        let holds = |at_ms: i64| condition.as_of(at_ms, &zone).matches(&values);
        let text = CONDITIONS[number];
        prop_assert_eq!(
            holds(now_ms), meaning(number, &value, now_ms, &zone),
            "{} of {:?} at {}", text, value, now_ms
        );

        // Until the instant foretold nothing changes, and there what is said there is right.
        let next = condition.next_move(&values, now_ms, &zone);
        let until = next.unwrap_or(now_ms + 40 * DAY_MS).min(now_ms + 40 * DAY_MS);
        let mut at_ms = now_ms;
        while at_ms < until {
            prop_assert_eq!(
                holds(at_ms), holds(now_ms),
                "{} of {:?} changes before {:?}, by {}", text, value, next, at_ms
            );
            at_ms += HOUR_MS / 2;
        }
        if let Some(next) = next {
            prop_assert!(next > now_ms);
            prop_assert_eq!(holds(next - 1), holds(now_ms), "{} of {:?} before {}", text, value, next);
            prop_assert_eq!(
                holds(next), meaning(number, &value, next, &zone),
                "{} of {:?} at {}", text, value, next
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let error = |text: &str, ty: ValueType| {
        let types = |name: &str| (name == "x").then_some(ty);
        let parsed = parse_predicate(text).unwrap();
        parsed.check(&types, &|_| false, &TimeZone::UTC).unwrap_err().to_string()
    };
    let said = error("x within last 3h", ValueType::Date);
    assert_eq!(said, "`x` is of type `date`: a day is asked for by days, such as 30d");
    let said = error("x within last 3d", ValueType::Int);
    assert_eq!(said, "`x` is of type `int`: `within last` needs a date");
    let said = error("anniversary(x) older than 3d", ValueType::Date);
    assert_eq!(said, "`x` is of type `date`: an anniversary is `within last` or `within next`");
    let said = error("anniversary(x) within next 400d", ValueType::Date);
    assert_eq!(said, "`x` is of type `date`: anniversaries are asked for by days, 1d to 366d");
    let said = parse_predicate("x + 1 within last 3d").unwrap_err().to_string();
    assert!(said.contains("need the name of a date"), "{said}");
    let said = parse_predicate("x within 3d").unwrap_err().to_string();
    assert!(said.contains("expected `last` or `next`"), "{said}");
}
