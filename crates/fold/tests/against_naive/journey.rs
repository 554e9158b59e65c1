//! Random sessions, state machines and sequences, through the batch and through states.

use crate::doors::{absorbed, bounded, record_batch, state};
use crate::generate::{Event, ZONES, events, types, window};
use crate::journey_naive;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::sync::Arc;
use taghouse_fold::{BatchFold, BatchPlan, Calendar, ColumnReader, EventBatch, FoldPlan};
use taghouse_model::{Name, Value, ValueType};
use taghouse_rules::{
    EventFilter, Sequence, SequenceValue, Session, SessionFunction, StateMachine, StateValue, Step,
    StepKind, TagKind, Transition, Trigger, Window, parse_predicate,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

#[derive(Debug, Clone)]
pub(crate) struct JourneyCase {
    pub(crate) kind: TagKind,
    pub(crate) tag_type: ValueType,
    pub(crate) calendar: Calendar,
    /// In the order of arrival.
    pub(crate) events: Vec<Event>,
    pub(crate) as_of_ms: i64,
}

impl JourneyCase {
    pub(crate) const USERS: usize = 3;
}

const FILTERS: [&str; 4] = ["qty > 3", "price < 1.005", "sku == \"A\"", "vip == true"];

fn filter(text: &str) -> taghouse_rules::Predicate<Value> {
    parse_predicate(text).unwrap().check(&types, &|_| false, &TimeZone::UTC).unwrap()
}

fn of() -> impl Strategy<Value = EventFilter> {
    let names = prop::sample::subsequence(vec!["buy", "view", "go"], 1..3);
    let filter = prop::option::weighted(0.3, prop::sample::select(&FILTERS[..]).prop_map(filter));
    (names, filter).prop_map(|(names, filter)| EventFilter {
        events: names.into_iter().map(str::to_owned).collect(),
        filter,
    })
}

fn length_ms() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![30 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS, 3 * DAY_MS])
}

fn session() -> impl Strategy<Value = (TagKind, ValueType)> {
    use SessionFunction as F;
    let function = prop::sample::select(vec![
        (F::Count, ValueType::Int),
        (F::Bounces, ValueType::Int),
        (F::Events, ValueType::Int),
        (F::Seconds, ValueType::Int),
        (F::LongestSeconds, ValueType::Int),
        (F::AvgEvents, ValueType::Decimal { scale: 2 }),
        (F::AvgSeconds, ValueType::Decimal { scale: 0 }),
        (F::BounceRate, ValueType::Decimal { scale: 3 }),
        (F::LastStart, ValueType::Date),
        (F::LastStart, ValueType::Time),
    ]);
    (of(), length_ms(), function, window()).prop_map(|(of, gap_ms, (function, ty), window)| {
        (TagKind::Session(Session { of, gap_ms, function, window }), ty)
    })
}

fn machine() -> impl Strategy<Value = (TagKind, ValueType)> {
    let name = || prop::sample::select(vec!["new", "active", "idle"]).prop_map(str::to_owned);
    let from = prop_oneof![Just(Vec::new()), prop::collection::vec(name(), 1..3)];
    let by_event = (from, name(), of()).prop_map(|(from, to, of)| Transition {
        from,
        to,
        trigger: Trigger::Event(of),
    });
    // By time only from left to right: no circle.
    let by_time = (0..2_usize, length_ms()).prop_map(|(at, after_ms)| {
        let states = ["active", "idle", "lost"];
        Transition {
            from: vec![states[at].to_owned()],
            to: states[at + 1].to_owned(),
            trigger: Trigger::Elapsed(after_ms),
        }
    });
    let transitions = (prop::collection::vec(by_event, 1..5), prop::collection::vec(by_time, 0..3))
        .prop_map(|(mut events, times)| {
            events.extend(times);
            events
        });
    let value = prop::sample::select(vec![
        (StateValue::State, ValueType::Text),
        (StateValue::Since, ValueType::Time),
        (StateValue::Since, ValueType::Date),
        (StateValue::Hours, ValueType::Int),
        (StateValue::Days, ValueType::Int),
    ]);
    (prop::option::of(name()), transitions, value).prop_map(
        |(initial, transitions, (value, ty))| {
            (TagKind::State(StateMachine { initial, transitions, value }), ty)
        },
    )
}

fn sequence() -> impl Strategy<Value = (TagKind, ValueType)> {
    let step = (of(), any::<bool>(), prop_oneof![4 => Just(1_u32), 1 => Just(2)], any::<bool>());
    let value = prop::sample::select(vec![
        (SequenceValue::Completed, ValueType::Bool),
        (SequenceValue::Completions, ValueType::Int),
        (SequenceValue::Furthest, ValueType::Int),
        (SequenceValue::CompletedAt, ValueType::Time),
    ]);
    let steps = prop::collection::vec(step, 1..5);
    (steps, prop::option::of(length_ms()), length_ms(), value, window()).prop_map(
        |(steps, within_ms, wait_ms, (value, ty), window)| {
            let last = steps.len() - 1;
            let mut keyed = false;
            let steps = steps
                .into_iter()
                .enumerate()
                .map(|(at, (of, same, times, absent))| {
                    let absent = absent && at > 0;
                    let same = same && (keyed || !absent);
                    keyed |= same;
                    let kind = match (absent, at == last) {
                        (false, _) => StepKind::Times(times),
                        (true, true) => StepKind::AbsentFor(wait_ms),
                        (true, false) => StepKind::Absent,
                    };
                    Step { of, same: same.then(|| Name::new("sku").unwrap()), kind }
                })
                .collect();
            (TagKind::Sequence(Sequence { steps, within_ms, value, window }), ty)
        },
    )
}

pub(crate) fn journey_case() -> impl Strategy<Value = JourneyCase> {
    let kind = prop_oneof![session(), machine(), sequence()];
    let zone = prop::sample::select(&ZONES[..]);
    // Close together: a sequence of three steps should come about now and then.
    let shrink = prop::sample::select(vec![1_i64, 10, 60]);
    (kind, zone, events(), crate::generate::instant(), shrink).prop_filter_map(
        "hours of half an hour",
        |((kind, tag_type), zone, mut events, as_of_ms, shrink)| {
            let hours = match &kind {
                TagKind::Session(session) => matches!(session.window, Window::Hours(_)),
                TagKind::Sequence(sequence) => matches!(sequence.window, Window::Hours(_)),
                _ => false,
            };
            if hours && zone == "Australia/Lord_Howe" {
                return None;
            }
            for event in &mut events {
                event.time_ms = as_of_ms - (as_of_ms - event.time_ms) / shrink;
            }
            let calendar = Calendar::new(&TimeZone::get(zone).unwrap());
            Some(JourneyCase { kind, tag_type, calendar, events, as_of_ms })
        },
    )
}

/// As of one time, by user.
pub(crate) fn batch(case: &JourneyCase) -> Vec<Option<Value>> {
    let tags = [(case.kind.over_events().unwrap(), case.tag_type)];
    let plan = Arc::new(BatchPlan::new(&tags, &types, &case.calendar, case.as_of_ms).unwrap());
    let mut fold = BatchFold::new(plan.clone());
    for part in 0..3 {
        let events: Vec<&Event> = case.events.iter().filter(|e| e.part == part).collect();
        let batch = record_batch(&events);
        let rows: Vec<u32> = (0..events.len() as u32).collect();
        let users: Vec<u32> = events.iter().map(|e| e.user as u32).collect();
        fold.step_batch(&EventBatch::new(&plan, &batch).unwrap(), &rows, &users);
    }
    let values = fold.finish(JourneyCase::USERS);
    let reader = ColumnReader::new("tag", &values[0].array, case.tag_type).unwrap();
    (0..JourneyCase::USERS).map(|row| reader.value(row)).collect()
}

/// Merged in any order the states are the same; and as time goes on, values change at the instants
/// that the states foretell, and at no other.
pub(crate) fn sliding(case: &JourneyCase, user: usize) -> Result<(), TestCaseError> {
    let tags = [(case.kind.over_events().unwrap(), case.tag_type)];
    let plan = Arc::new(FoldPlan::new(&tags, &types, &case.calendar).unwrap());
    let tag = plan.tag(0);
    let own: Vec<&Event> =
        case.events.iter().filter(|e| e.user == user && e.time_ms < case.as_of_ms).collect();
    let part = |part| own.iter().copied().filter(|e| e.part == part).collect::<Vec<_>>();
    let parts: Vec<Vec<u8>> = (0..3).map(|number| state(&plan, &[part(number)])).collect();
    let merge = |a: &[u8], b: &[u8]| absorbed(tag, a, b, case.as_of_ms);
    let left = merge(&merge(&parts[0], &parts[1]), &parts[2]);
    let right = merge(&parts[2], &merge(&parts[1], &parts[0]));
    let mut kept = state(&plan, std::slice::from_ref(&own));
    prop_assert_eq!(&left, &right, "user {} of {:?}", user, case);
    prop_assert_eq!(&left, &kept, "user {} of {:?}", user, case);
    for end in 0..kept.len() {
        let _ = tag.outcome(&kept[..end], case.as_of_ms);
    }
    let mut now = case.as_of_ms;
    for _ in 0..20 {
        let look = tag.look(&kept, now).unwrap();
        let expected = journey_naive::value(case, user, now);
        prop_assert_eq!(look.outcome.value(), expected, "user {} at {} of {:?}", user, now, case);
        let tiles = tag.next_change(&kept, now).unwrap();
        let Some(change) = tiles.into_iter().chain(look.next_ms).min() else { break };
        prop_assert!(change > now, "{} is not after {} of {:?}", change, now, case);
        let before = tag.outcome(&kept, change - 1).unwrap().value();
        let expected = journey_naive::value(case, user, change - 1);
        prop_assert_eq!(before, expected, "user {} before {} of {:?}", user, change, case);
        now = change;
        tag.trim(&mut kept, now).unwrap();
        bounded(tag, &kept)?;
    }
    Ok(())
}
