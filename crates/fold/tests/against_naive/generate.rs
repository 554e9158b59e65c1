use jiff::tz::TimeZone;
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_fold::Calendar;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction, Window, parse_predicate, parse_scalar};

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) user: usize,
    pub(crate) name: &'static str,
    pub(crate) time_ms: i64,
    pub(crate) message_id: String,
    pub(crate) properties: BTreeMap<&'static str, Value>,
    /// Which part of a split it falls in.
    pub(crate) part: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) aggregate: Aggregate,
    pub(crate) tag_type: ValueType,
    pub(crate) calendar: Calendar,
    /// In the order of arrival.
    pub(crate) events: Vec<Event>,
    pub(crate) as_of_ms: i64,
}

impl Case {
    pub(crate) const USERS: usize = 3;
}

pub(crate) fn types(name: &str) -> Option<ValueType> {
    Some(match name {
        "time" => ValueType::Time,
        "event" | "sku" => ValueType::Text,
        "qty" => ValueType::Int,
        "price" => ValueType::Decimal { scale: 2 },
        "vip" => ValueType::Bool,
        "born" => ValueType::Date,
        "seen" => ValueType::Time,
        "labels" => ValueType::Set,
        _ => return None,
    })
}

pub(crate) const PROPERTIES: [&str; 7] = ["qty", "price", "sku", "vip", "born", "seen", "labels"];

const VALUES: [&str; 22] = [
    "qty",
    "price",
    "sku",
    "vip",
    "born",
    "seen",
    "labels",
    "time",
    "event",
    "qty * price",
    "qty * qty",
    "qty / price",
    "price + qty",
    "-price",
    "lower(sku)",
    "coalesce(qty, 0)",
    "price * price",
    "if(vip == true, price, 0)",
    "round(price, 1)",
    "qty / 3 * price",
    "qty * 1.0",
    "round(price * price, 3)",
];

const FILTERS: [&str; 22] = [
    "qty > 3",
    "qty >= 2.5",
    "qty != 4",
    "price < 1.005",
    "price == 1.50",
    "price == 1.505",
    "sku == \"A\"",
    "sku != \"A\"",
    "sku in (\"a\", \"B\")",
    "qty in (1, 2, 2.5)",
    "price between 0.999 and 2",
    "qty between 2 and 1",
    "sku like 'a%'",
    "price is set",
    "!(qty >= 1)",
    "vip == true && sku is set",
    "qty > 5 || price > 2",
    "labels == \"x\"",
    "labels is set",
    "born >= \"2023-03-20\"",
    "time >= \"2023-03-26T00:30\"",
    "event == \"buy\"",
];

pub(crate) const ZONES: [&str; 5] =
    ["Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"];

/// 2023-03-26, when London's clocks change; New York's have, a fortnight before, and Lord Howe's
/// do, a week later.
const AROUND_MS: i64 = 1_679_788_800_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

fn property(name: &'static str) -> BoxedStrategy<Value> {
    match name {
        "qty" => {
            prop_oneof![9 => -3_i64..9, 1 => Just(1_000_000_007_i64)].prop_map(Value::Int).boxed()
        }
        "price" => (-150_i64..400).prop_map(|v| Value::Decimal(Decimal::new(v, 2))).boxed(),
        "sku" => prop::sample::select(vec!["A", "a", "B", "b", "abc", "ä", ""])
            .prop_map(Value::text)
            .boxed(),
        "vip" => any::<bool>().prop_map(Value::Bool).boxed(),
        "born" => (19_430_i32..19_450).prop_map(Value::Date).boxed(),
        "seen" => (0..40_i64).prop_map(|h| Value::Time(AROUND_MS + h * HOUR_MS / 2)).boxed(),
        _ => prop::collection::btree_set(prop::sample::select(vec!["x", "y", "z", "\"q\""]), 1..4)
            .prop_map(|s| Value::Set(s.into_iter().map(Into::into).collect()))
            .boxed(),
    }
}

fn properties() -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    let each: Vec<_> = PROPERTIES
        .into_iter()
        .map(|name| prop::option::weighted(0.8, property(name).prop_map(move |v| (name, v))))
        .collect();
    each.prop_map(|all| all.into_iter().flatten().collect())
}

pub(crate) fn instant() -> impl Strategy<Value = i64> {
    // Mostly on edges: days, hours and half hours; sometimes anywhere.
    prop_oneof![
        (-60_i64..20).prop_map(|day| AROUND_MS + day * DAY_MS),
        (-100_i64..100).prop_map(|half| AROUND_MS + half * HOUR_MS / 2),
        (-100_i64..100, -1_i64..2).prop_map(|(half, ms)| AROUND_MS + half * HOUR_MS / 2 + ms),
        (-60 * DAY_MS..20 * DAY_MS).prop_map(|ms| AROUND_MS + ms),
    ]
}

pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        0..Case::USERS,
        prop::sample::select(vec!["buy", "view", "go"]),
        instant(),
        any::<u8>(),
        properties(),
        0..3_usize,
    );
    prop::collection::vec(event, 0..40).prop_map(|all| {
        let unique = |(i, (user, name, time_ms, salt, properties, part))| Event {
            user,
            name,
            time_ms,
            // Ids are ordered otherwise than events arrive.
            message_id: format!("{salt:02x}:{i}"),
            properties,
            part,
        };
        all.into_iter().enumerate().map(unique).collect()
    })
}

fn function() -> impl Strategy<Value = AggregateFunction> {
    use AggregateFunction as F;
    prop::sample::select(vec![
        F::Count,
        F::Sum,
        F::Avg,
        F::Min,
        F::Max,
        F::CountDistinct,
        F::First,
        F::Last,
        F::MostFrequent,
        F::Set,
    ])
}

pub(crate) fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Lifetime),
        prop::sample::select(vec![1, 2, 7, 30]).prop_map(Window::Days),
        prop::sample::select(vec![1, 2, 24, 100]).prop_map(Window::Hours),
        prop::sample::select(vec![1, 30, 90, 1440]).prop_map(Window::Minutes),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let names = prop::sample::subsequence(vec!["buy", "view"], 0..3);
    let filter = prop::option::of(prop::sample::select(&FILTERS[..]));
    let value = prop::option::weighted(0.9, prop::sample::select(&VALUES[..]));
    (
        function(),
        names,
        value,
        filter,
        window(),
        prop::sample::select(&ZONES[..]),
        events(),
        instant(),
        0..4_u8,
    )
        .prop_filter_map(
            "the function does not go with the value",
            |(function, names, value, filter, window, zone, events, as_of_ms, scale)| {
                // The contract's formula for hours goes backwards where a zone changes by half an
                // hour; ours does not.
                if matches!(window, Window::Hours(_)) && zone == "Australia/Lord_Howe" {
                    return None;
                }
                let zone = TimeZone::get(zone).unwrap();
                let checked =
                    value.map(|text| parse_scalar(text).unwrap().check(&types, &zone).unwrap());
                let value_type = checked.as_ref().map(|(_, ty)| *ty);
                let tag_type = tag_type(function, value_type, scale)?;
                let filter = filter.map(|text| {
                    parse_predicate(text).unwrap().check(&types, &|_| false, &zone).unwrap()
                });
                let events_named = names.iter().map(|n| (*n).to_owned()).collect();
                let aggregate = Aggregate {
                    function,
                    events: events_named,
                    value: checked.map(|(scalar, _)| scalar),
                    filter,
                    window,
                    // Both forms of distinct counts.
                    exact_up_to: (scale % 2 == 0 && function == AggregateFunction::CountDistinct)
                        .then_some(100),
                };
                Some(Case { aggregate, tag_type, calendar: Calendar::new(&zone), events, as_of_ms })
            },
        )
}

fn tag_type(function: AggregateFunction, value: Option<ValueType>, scale: u8) -> Option<ValueType> {
    use AggregateFunction as F;
    let number = matches!(value, Some(ValueType::Int | ValueType::Decimal { .. }));
    match (function, value) {
        (F::Count, _) => Some(ValueType::Int),
        (_, None) => None,
        (F::Sum | F::Avg, _) if !number => None,
        (F::Sum, Some(ValueType::Int)) if scale == 0 => Some(ValueType::Int),
        (F::Sum | F::Avg, _) => Some(ValueType::Decimal { scale }),
        (F::CountDistinct, _) => Some(ValueType::Int),
        (F::Set, _) => Some(ValueType::Set),
        (F::Min | F::Max, Some(ValueType::Set)) => None,
        (F::MostFrequent, Some(ValueType::Set)) => Some(ValueType::Text),
        (_, Some(ValueType::Decimal { .. })) => Some(ValueType::Decimal { scale }),
        // The local day of an instant.
        (_, Some(ValueType::Time)) if scale == 1 => Some(ValueType::Date),
        (_, Some(ty)) => Some(ty),
    }
}
