use crate::generate::{Case, Event};
use jiff::{Timestamp, ToSpan};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{AggregateFunction, MAX_SET_VALUES, Window};

pub(crate) fn property(event: &Event, name: &str) -> Option<Value> {
    match name {
        "time" => Some(Value::Time(event.time_ms)),
        "event" => Some(Value::text(event.name)),
        _ => event.properties.get(name).cloned(),
    }
}

fn local(case: &Case, ms: i64) -> jiff::Zoned {
    Timestamp::from_millisecond(ms).unwrap().to_zoned(case.calendar.zone().clone())
}

fn hour(case: &Case, ms: i64) -> i64 {
    let offset_ms = i64::from(local(case, ms).offset().seconds()) * 1000;
    (ms + offset_ms.rem_euclid(3_600_000)).div_euclid(3_600_000)
}

fn in_window(case: &Case, time_ms: i64, as_of_ms: i64) -> bool {
    let last = as_of_ms - 1;
    time_ms < as_of_ms
        && match case.aggregate.window {
            Window::Lifetime => true,
            Window::Days(n) => local(case, time_ms).date() >= local(case, last).date().checked_sub((i64::from(n) - 1).days()).unwrap(),
            Window::Hours(n) => hour(case, time_ms) > hour(case, last) - i64::from(n),
        }
}

pub(crate) fn value(case: &Case, user: usize, as_of_ms: i64) -> Option<Value> {
    let aggregate = &case.aggregate;
    let mut events: Vec<&Event> = case.events.iter().filter(|e| e.user == user && in_window(case, e.time_ms, as_of_ms)).collect();
    events.retain(|e| aggregate.events.is_empty() || aggregate.events.iter().any(|name| name == e.name));
    events.retain(|e| aggregate.filter.as_ref().is_none_or(|filter| filter.holds(&|name| property(e, name))));
    events.sort_by_key(|e| (e.time_ms, e.message_id.clone()));
    let Some(scalar) = &aggregate.value else {
        return (!events.is_empty()).then_some(Value::Int(events.len() as i64));
    };
    let values: Vec<Value> = events.iter().filter_map(|e| scalar.value(&|name| property(e, name))).map(rounded).collect();
    compute(case, &values)
}

/// What an event's value keeps: 12 digits.
fn rounded(value: Value) -> Value {
    match value {
        Value::Decimal(v) => Value::Decimal(v.round_dp_with_strategy(12, RoundingStrategy::MidpointAwayFromZero)),
        other => other,
    }
}

fn compute(case: &Case, values: &[Value]) -> Option<Value> {
    use AggregateFunction as F;
    let members =
        || values.iter().flat_map(|v| if let Value::Set(s) = v { s.iter().cloned().map(Value::Text).collect() } else { vec![v.clone()] });
    let first = values.first()?;
    match case.aggregate.function {
        F::Count => Some(Value::Int(values.len() as i64)),
        F::Sum => fit(case, Value::Decimal(values.iter().map(number).sum())),
        F::Avg => fit(case, Value::Decimal(values.iter().map(number).sum::<Decimal>() / Decimal::from(values.len()))),
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
                    Value::Decimal(d) => d.normalize().to_string().into(),
                    other => other.to_string().into(),
                })
                .collect();
            Some(Value::Set(texts.into_iter().take(MAX_SET_VALUES).collect()))
        }
    }
}

fn number(value: &Value) -> Decimal {
    match value {
        Value::Int(v) => Decimal::from(*v),
        Value::Decimal(v) => *v,
        other => panic!("{other:?} is no number"),
    }
}

fn fit(case: &Case, value: Value) -> Option<Value> {
    Some(match (value, case.tag_type) {
        (Value::Decimal(v), ValueType::Decimal { scale }) => {
            let rounded = v.round_dp_with_strategy(scale.into(), RoundingStrategy::MidpointAwayFromZero);
            // What 64 bits of the tag's units do not hold is no value.
            let mut units = rounded;
            units.rescale(scale.into());
            i64::try_from(units.mantissa()).ok()?;
            Value::Decimal(rounded)
        }
        (Value::Int(v), ValueType::Decimal { .. }) => Value::Decimal(Decimal::from(v)),
        (Value::Decimal(v), ValueType::Int) => Value::Int(i64::try_from(v).ok()?),
        (Value::Time(ms), ValueType::Date) => {
            let epoch = jiff::civil::date(1970, 1, 1);
            Value::Date(epoch.until(local(case, ms).date()).unwrap().get_days())
        }
        (value, ty) => {
            assert!(value.is_of(ty), "{value:?} for {ty}");
            value
        }
    })
}
