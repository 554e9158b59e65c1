use crate::generate::{Case, Event, PROPERTIES, types};
use crate::naive;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;
use taghouse_fold::{
    Absorb, Absorbed, BatchFold, BatchPlan, ClosedTiles, ColumnBuilder, ColumnReader, EventBatch,
    FoldPlan, Outcome, StateBound, TagFold, TileFold,
};
use taghouse_model::{Value, ValueType};
use taghouse_rules::EventTag;

fn plan(case: &Case) -> Arc<FoldPlan> {
    let tags = [(EventTag::Aggregate(&case.aggregate), case.tag_type)];
    Arc::new(FoldPlan::new(&tags, &types, &case.calendar).unwrap())
}

/// What events of one user add to the user's state, batch by batch as `parts` says.
pub(crate) fn state(plan: &Arc<FoldPlan>, parts: &[Vec<&Event>]) -> Vec<u8> {
    let mut fold = TileFold::new(plan.clone());
    let mut state = Vec::new();
    for events in parts {
        let batch = record_batch(events);
        let rows: Vec<u32> = (0..events.len() as u32).collect();
        let users = vec![7; rows.len()];
        fold.step_batch(&EventBatch::new(plan, &batch).unwrap(), &rows, &users);
        for (user, delta) in fold.take()[0].iter() {
            assert_eq!(user, 7);
            state = absorbed(plan.tag(0), &state, delta, events[0].time_ms);
        }
    }
    state
}

thread_local! {
    /// What was kept beside a state before, maybe of another tag.
    static CLOSED: RefCell<Option<ClosedTiles>> = const { RefCell::new(None) };
}

/// What both have seen; taking `more` in in one pass is merging, trimming and looking.
pub(crate) fn absorbed(tag: TagFold<'_>, state: &[u8], more: &[u8], as_of_ms: i64) -> Vec<u8> {
    let whole = tag.merge(state, more).unwrap();
    for (trims, compares) in [(false, true), (true, true), (true, false)] {
        let (mut expected, mut out, mut moments) = (whole.clone(), b"before".to_vec(), Vec::new());
        let how = Absorb { as_of_ms, trims, compares };
        let absorbed = tag.absorb(state, more, how, &mut out, |at_ms| moments.push(at_ms)).unwrap();
        if trims {
            tag.trim(&mut expected, as_of_ms).unwrap();
        }
        assert_eq!(out, [b"before".to_vec(), expected.clone()].concat());
        // With what is kept of closed tiles: of another state at first, then of this one.
        let mut closed = CLOSED.take();
        for _ in 0..2 {
            let (mut out, mut seen) = (b"before".to_vec(), Vec::new());
            let beside = tag
                .absorb_beside(state, more, how, &mut out, &mut closed, |at_ms| seen.push(at_ms))
                .unwrap();
            assert_eq!(out, [b"before".to_vec(), expected.clone()].concat());
            let of = |absorbed: &Absorbed| {
                let Absorbed { before, now } = absorbed;
                (before.clone(), now.outcome.clone(), now.next_ms)
            };
            assert_eq!((of(&beside), &seen), (of(&absorbed), &moments));
        }
        CLOSED.set(closed);
        let before =
            if compares { tag.outcome(state, as_of_ms).unwrap() } else { Outcome::Nothing };
        let now = tag.look(&whole, as_of_ms).unwrap();
        assert_eq!(absorbed.before, before);
        assert_eq!((absorbed.now.outcome, absorbed.now.next_ms), (now.outcome, now.next_ms));
        assert!(moments.iter().all(|at_ms| *at_ms > as_of_ms));
        // What comes next is of a tile that was there, or is one of these moments.
        let of_state = tag.next_change(state, as_of_ms).unwrap();
        let next = of_state.into_iter().chain(moments).min();
        assert_eq!(next, tag.next_change(&whole, as_of_ms).unwrap());
    }
    whole
}

/// Up to the as-of time in the order of arrival, the rest in the order of time; at each event and
/// each change by time alone the value is what the interpreter says, and between them it stays.
/// What time has gone past is trimmed all along.
pub(crate) fn sliding(case: &Case, user: usize) -> Result<(), TestCaseError> {
    let plan = plan(case);
    let tag = plan.tag(0);
    let value = |state: &[u8], at: i64| tag.outcome(state, at).unwrap().value();
    let own = |early: bool| {
        case.events.iter().filter(move |e| e.user == user && (e.time_ms < case.as_of_ms) == early)
    };
    let by_part = |part| own(true).filter(|e| e.part == part).collect();
    let mut kept = state(&plan, &[by_part(2), by_part(0), by_part(1)]);
    let mut seen = case.clone();
    seen.events.retain(|e| e.time_ms < case.as_of_ms);
    let mut now = case.as_of_ms;
    prop_assert_eq!(
        value(&kept, now),
        naive::value(&seen, user, now),
        "user {} of {:?}",
        user,
        case
    );
    let mut later: Vec<&Event> = own(false).collect();
    later.sort_by_key(|e| e.time_ms);
    for event in later {
        now = event.time_ms + 1;
        kept = absorbed(tag, &kept, &state(&plan, &[vec![event]]), now);
        seen.events.push(event.clone());
        tag.trim(&mut kept, now).unwrap();
        bounded(tag, &kept)?;
        prop_assert_eq!(
            value(&kept, now),
            naive::value(&seen, user, now),
            "user {} at {} of {:?}",
            user,
            now,
            case
        );
    }
    for _ in 0..50 {
        let Some(change) = tag.next_change(&kept, now).unwrap() else { break };
        prop_assert!(change > now);
        prop_assert_eq!(
            value(&kept, change - 1),
            value(&kept, now),
            "before {} of {:?}",
            change,
            case
        );
        prop_assert_eq!(
            value(&kept, change),
            naive::value(&seen, user, change),
            "user {} at {} of {:?}",
            user,
            change,
            case
        );
        now = change;
        tag.trim(&mut kept, now).unwrap();
    }
    let far = now + 400 * 86_400_000;
    prop_assert_eq!(value(&kept, far), naive::value(&seen, user, far), "long after in {:?}", case);
    Ok(())
}

/// No state is larger than its definition says.
pub(crate) fn bounded(tag: TagFold<'_>, state: &[u8]) -> Result<(), TestCaseError> {
    if let StateBound::Bytes(bytes) = tag.bound() {
        prop_assert!(state.len() as u64 <= bytes, "{} bytes of {bytes}", state.len());
    }
    Ok(())
}

/// All events before the as-of time in one batch, and in three that are merged in two orders: the
/// states are the same bytes.
pub(crate) fn merged(case: &Case, user: usize) -> Result<Option<Value>, TestCaseError> {
    let plan = plan(case);
    let tag = plan.tag(0);
    let own: Vec<&Event> =
        case.events.iter().filter(|e| e.user == user && e.time_ms < case.as_of_ms).collect();
    let part = |part| own.iter().copied().filter(|e| e.part == part).collect::<Vec<_>>();
    let parts: Vec<Vec<u8>> = (0..3).map(|number| state(&plan, &[part(number)])).collect();
    let merge = |a: &[u8], b: &[u8]| absorbed(tag, a, b, case.as_of_ms);
    let left = merge(&merge(&parts[0], &parts[1]), &parts[2]);
    let right = merge(&parts[2], &merge(&parts[1], &parts[0]));
    let whole = state(&plan, &[own]);
    prop_assert_eq!(&left, &right, "user {} of {:?}", user, case);
    prop_assert_eq!(&left, &whole, "user {} of {:?}", user, case);
    // Nothing of it can be cut off or changed without a word or another value; it never panics.
    for end in 0..whole.len() {
        let _ = tag.outcome(&whole[..end], case.as_of_ms);
    }
    Ok(tag.outcome(&whole, case.as_of_ms).unwrap().value())
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
    let tags = [&lifetime, &case.aggregate, &every]
        .map(|aggregate| (EventTag::Aggregate(aggregate), case.tag_type));
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
