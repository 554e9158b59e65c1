use crate::generate::{Case, Event};
use jiff::{Timestamp, ToSpan};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::ToPrimitive;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_fold::Calendar;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{AggregateFunction, Computed, MAX_SET_VALUES, Rational, Window};

pub(crate) fn property(event: &Event, name: &str) -> Option<Value> {
    match name {
        "time" => Some(Value::Time(event.time_ms)),
        "event" => Some(Value::text(event.name)),
        _ => event.properties.get(name).cloned(),
    }
}

fn local(calendar: &Calendar, ms: i64) -> jiff::Zoned {
    Timestamp::from_millisecond(ms).unwrap().to_zoned(calendar.zone().clone())
}

/// The local day, since 1970.
pub(crate) fn local_day(calendar: &Calendar, ms: i64) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(local(calendar, ms).date()).unwrap().get_days()
}

fn hour(calendar: &Calendar, ms: i64) -> i64 {
    let offset_ms = i64::from(local(calendar, ms).offset().seconds()) * 1000;
    (ms + offset_ms.rem_euclid(3_600_000)).div_euclid(3_600_000)
}

pub(crate) fn in_window_of(
    calendar: &Calendar,
    window: Window,
    time_ms: i64,
    as_of_ms: i64,
) -> bool {
    let last = as_of_ms - 1;
    time_ms < as_of_ms
        && match window {
            Window::Lifetime => true,
            Window::Days(n) => {
                local(calendar, time_ms).date()
                    >= local(calendar, last).date().checked_sub((i64::from(n) - 1).days()).unwrap()
            }
            Window::Hours(n) => hour(calendar, time_ms) > hour(calendar, last) - i64::from(n),
            // Every zone of the tests is whole minutes away from UTC.
            Window::Minutes(n) => {
                time_ms.div_euclid(60_000) > last.div_euclid(60_000) - i64::from(n)
            }
        }
}

pub(crate) fn value(case: &Case, user: usize, as_of_ms: i64) -> Option<Value> {
    let aggregate = &case.aggregate;
    let mut events: Vec<&Event> = case
        .events
        .iter()
        .filter(|e| {
            e.user == user && in_window_of(&case.calendar, aggregate.window, e.time_ms, as_of_ms)
        })
        .collect();
    events.retain(|e| {
        aggregate.events.is_empty() || aggregate.events.iter().any(|name| name == e.name)
    });
    events.retain(|e| {
        aggregate.filter.as_ref().is_none_or(|filter| filter.matches(&|name| property(e, name)))
    });
    events.sort_by_key(|e| (e.time_ms, e.message_id.clone()));
    let Some(scalar) = &aggregate.value else {
        return (!events.is_empty()).then_some(Value::Int(events.len() as i64));
    };
    let values: Vec<Computed> = events
        .iter()
        .map(|e| scalar.compute(&|name| property(e, name)))
        .filter(|v| *v != Computed::Nothing)
        .collect();
    if values.iter().all(|v| matches!(v, Computed::Number(_))) {
        return numbers(
            case,
            &values
                .iter()
                .filter_map(|v| if let Computed::Number(n) = v { Some(n.clone()) } else { None })
                .collect::<Vec<_>>(),
        );
    }
    let values: Vec<Value> = values
        .into_iter()
        .filter_map(|v| if let Computed::Value(v) = v { Some(v) } else { None })
        .collect();
    compute(case, &values)
}

fn large(number: &Rational) -> BigRational {
    let (top, bottom) = number.lowest_terms().unwrap();
    BigRational::new(top.into(), bottom.into())
}

/// Of numbers, exact, in num-rational's arithmetic.
fn numbers(case: &Case, values: &[Rational]) -> Option<Value> {
    use AggregateFunction as F;
    let all: Vec<BigRational> = values.iter().map(large).collect();
    let first = all.first()?;
    let sum = || all.iter().sum::<BigRational>();
    match case.aggregate.function {
        F::Count => Some(Value::Int(all.len() as i64)),
        F::Sum => number(case, &sum()),
        F::Avg => number(case, &(sum() / BigRational::from_integer(all.len().into()))),
        F::Min => number(case, all.iter().min()?),
        F::Max => number(case, all.iter().max()?),
        F::CountDistinct => Some(Value::Int(all.iter().collect::<BTreeSet<_>>().len() as i64)),
        F::First => number(case, first),
        F::Last => number(case, all.last()?),
        F::MostFrequent => {
            let mut counts: BTreeMap<&BigRational, usize> = BTreeMap::new();
            all.iter().for_each(|v| *counts.entry(v).or_default() += 1);
            let most = counts.values().max().copied()?;
            number(case, counts.into_iter().find(|(_, n)| *n == most)?.0)
        }
        F::Set => {
            let texts: BTreeSet<Arc<str>> = all.iter().map(|v| text(v).into()).collect();
            Some(Value::Set(texts.into_iter().take(MAX_SET_VALUES).collect()))
        }
    }
}

/// Twelve digits after the point, then the zeros go.
fn text(value: &BigRational) -> String {
    let units = (value * BigRational::from_integer(BigInt::from(10).pow(12))).round().to_integer();
    let digits = format!("{:0>13}", units.magnitude().to_string());
    let (whole, fraction) = digits.split_at(digits.len() - 12);
    let written = format!("{whole}.{fraction}");
    let written = written.trim_end_matches('0').trim_end_matches('.');
    if units < BigInt::from(0) { format!("-{written}") } else { written.to_owned() }
}

/// `num-rational` rounds half away from zero.
fn units(value: &BigRational, scale: u32) -> Option<i128> {
    (value * BigRational::from_integer(BigInt::from(10).pow(scale))).round().to_integer().to_i128()
}

fn number(case: &Case, value: &BigRational) -> Option<Value> {
    match case.tag_type {
        ValueType::Int => i64::try_from(units(value, 0)?).ok().map(Value::Int),
        ValueType::Decimal { scale } => {
            let units = units(value, scale.into()).filter(|units| units.abs() < 10_i128.pow(28))?;
            Some(Value::Decimal(Decimal::from_i128_with_scale(units, scale.into())))
        }
        other => panic!("a number for {other}"),
    }
}

fn compute(case: &Case, values: &[Value]) -> Option<Value> {
    use AggregateFunction as F;
    let members = || {
        values.iter().flat_map(|v| {
            if let Value::Set(s) = v {
                s.iter().cloned().map(Value::Text).collect()
            } else {
                vec![v.clone()]
            }
        })
    };
    let first = values.first()?;
    match case.aggregate.function {
        F::Count => Some(Value::Int(values.len() as i64)),
        F::Sum | F::Avg => panic!("a sum of what are not valid numbers"),
        F::Min => fit(case, values.iter().min().unwrap().clone()),
        F::Max => fit(case, values.iter().max().unwrap().clone()),
        F::CountDistinct => Some(Value::Int(members().collect::<BTreeSet<_>>().len() as i64)),
        F::First => fit(case, first.clone()),
        F::Last => fit(case, values.last().unwrap().clone()),
        F::MostFrequent => {
            let mut counts: BTreeMap<Value, usize> = BTreeMap::new();
            members().for_each(|v| *counts.entry(v).or_default() += 1);
            let most = counts.values().max().copied().unwrap();
            fit(case, counts.into_iter().find(|(_, n)| *n == most).unwrap().0)
        }
        F::Set => {
            let texts: BTreeSet<Arc<str>> = members()
                .map(|v| match v {
                    Value::Text(text) => text,
                    other => other.to_string().into(),
                })
                .collect();
            Some(Value::Set(texts.into_iter().take(MAX_SET_VALUES).collect()))
        }
    }
}

fn fit(case: &Case, value: Value) -> Option<Value> {
    Some(match (value, case.tag_type) {
        (Value::Time(ms), ValueType::Date) => Value::Date(local_day(&case.calendar, ms)),
        (value, ty) => {
            assert!(value.is_of(ty), "{value:?} for {ty}");
            value
        }
    })
}
