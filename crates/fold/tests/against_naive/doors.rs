use crate::generate::{Case, Event, PROPERTIES, types};
use crate::naive;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use std::sync::Arc;
use taghouse_fold::{
    AggregateFold, AggregateState, BatchFold, BatchPlan, ColumnBuilder, ColumnReader, EventBatch,
    EventRow, Fold,
};
use taghouse_model::{Value, ValueType};

fn fixed_fold(case: &Case) -> AggregateFold {
    AggregateFold::fixed(&case.aggregate, case.tag_type, &types, &case.calendar, case.as_of_ms)
        .unwrap()
}

fn sliding_fold(case: &Case) -> AggregateFold {
    AggregateFold::sliding(&case.aggregate, case.tag_type, &types, &case.calendar).unwrap()
}

fn step(fold: &AggregateFold, state: &mut AggregateState, event: &Event) {
    let properties = |name: &str| event.properties.get(name).cloned();
    fold.step(
        state,
        &EventRow {
            event: event.name,
            time_ms: event.time_ms,
            message_id: &event.message_id,
            properties: &properties,
        },
    );
}

pub(crate) fn fixed(case: &Case, user: usize) -> Option<Value> {
    let (fold, mut state) = (fixed_fold(case), AggregateState::default());
    case.events.iter().filter(|e| e.user == user).for_each(|e| step(&fold, &mut state, e));
    fold.value(&state, case.as_of_ms)
}

/// Up to the as-of time in the order of arrival, the rest in the order of time; at each event and
/// each change by time alone the value is what the interpreter says, and between them it stays.
pub(crate) fn sliding(case: &Case, user: usize) -> Result<(), TestCaseError> {
    let (fold, mut state) = (sliding_fold(case), AggregateState::default());
    let own = |early: bool| {
        case.events.iter().filter(move |e| e.user == user && (e.time_ms < case.as_of_ms) == early)
    };
    own(true).for_each(|e| step(&fold, &mut state, e));
    let mut seen = case.clone();
    seen.events.retain(|e| e.time_ms < case.as_of_ms);
    let mut now = case.as_of_ms;
    prop_assert_eq!(
        fold.value(&state, now),
        naive::value(&seen, user, now),
        "user {} of {:?}",
        user,
        case
    );
    let mut later: Vec<&Event> = own(false).collect();
    later.sort_by_key(|e| e.time_ms);
    for event in later {
        step(&fold, &mut state, event);
        seen.events.push(event.clone());
        now = event.time_ms + 1;
        prop_assert_eq!(
            fold.value(&state, now),
            naive::value(&seen, user, now),
            "user {} at {} of {:?}",
            user,
            now,
            case
        );
    }
    for _ in 0..50 {
        let Some(change) = fold.next_change(&state, now) else { break };
        prop_assert!(change > now);
        prop_assert_eq!(
            fold.value(&state, change - 1),
            fold.value(&state, now),
            "before {} of {:?}",
            change,
            case
        );
        prop_assert_eq!(
            fold.value(&state, change),
            naive::value(&seen, user, change),
            "user {} at {} of {:?}",
            user,
            change,
            case
        );
        now = change;
    }
    let far = now + 400 * 86_400_000;
    prop_assert_eq!(
        fold.value(&state, far),
        naive::value(&seen, user, far),
        "long after in {:?}",
        case
    );
    Ok(())
}

pub(crate) fn merged(case: &Case, user: usize) -> Vec<(&'static str, Option<Value>)> {
    let both = [("fixed", fixed_fold(case)), ("sliding", sliding_fold(case))];
    let merged = |fold: &AggregateFold, sliding: bool| {
        let mut parts = vec![AggregateState::default(); 3];
        // A stream's state is asked for times after its newest event only.
        let own = case
            .events
            .iter()
            .filter(|e| e.user == user && (!sliding || e.time_ms < case.as_of_ms));
        own.for_each(|e| step(fold, &mut parts[e.part], e));
        let (left, right) = (parts[0].clone(), parts.split_off(1));
        let mut all = AggregateState::default();
        right.iter().rev().chain([&left]).for_each(|part| fold.merge(&mut all, part));
        fold.value(&all, case.as_of_ms)
    };
    both.into_iter().map(|(name, fold)| (name, merged(&fold, name == "sliding"))).collect()
}

pub(crate) fn record_batch(events: &[&Event]) -> RecordBatch {
    let names: Vec<&str> = ["event", "time", "message_id"].into_iter().chain(PROPERTIES).collect();
    let column = |name: &str| {
        let ty = if name == "message_id" { ValueType::Text } else { types(name).unwrap() };
        let mut builder = ColumnBuilder::new(ty);
        for event in events {
            let value = if name == "message_id" {
                Some(Value::text(&event.message_id))
            } else {
                naive::property(event, name)
            };
            builder.push(value.as_ref());
        }
        builder.finish()
    };
    let columns: Vec<_> = names.iter().map(|name| column(name)).collect();
    let fields: Vec<Field> = names
        .iter()
        .zip(&columns)
        .map(|(name, c)| Field::new(*name, c.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Two workers: users 0 and 1, and user 2. The tag stands among others that share its events,
/// values or window.
pub(crate) fn batches(case: &Case) -> Vec<Option<Value>> {
    let mut lifetime = case.aggregate.clone();
    lifetime.window = taghouse_rules::Window::Lifetime;
    let mut every = case.aggregate.clone();
    every.events.clear();
    every.filter = None;
    let tags =
        [(&lifetime, case.tag_type), (&case.aggregate, case.tag_type), (&every, case.tag_type)];
    let plan = Arc::new(BatchPlan::new(&tags, &types, &case.calendar, case.as_of_ms).unwrap());
    let mut workers = [BatchFold::new(plan.clone()), BatchFold::new(plan.clone())];
    for part in 0..3 {
        let events: Vec<&Event> = case.events.iter().filter(|e| e.part == part).collect();
        let batch = record_batch(&events);
        for (w, worker) in workers.iter_mut().enumerate() {
            let own: Vec<(u32, u32)> = (0..)
                .zip(&events)
                .filter(|(_, e)| (e.user == 2) == (w == 1))
                .map(|(i, e)| (i, (e.user % 2) as u32))
                .collect();
            let (rows, users): (Vec<u32>, Vec<u32>) = own.into_iter().unzip();
            worker.step_batch(&EventBatch::new(&plan, &batch).unwrap(), &rows, &users);
        }
    }
    let [a, b] = workers;
    let read = |fold: BatchFold, users: usize| -> Vec<Option<Value>> {
        let values = fold.finish(users);
        let reader = ColumnReader::new("tag", &values[1].array, case.tag_type).unwrap();
        (0..users).map(|row| reader.value(row)).collect()
    };
    let mut all = read(a, 2);
    all.extend(read(b, 1));
    all
}
