//! What the kinds mean, written for the tests alone: sorts all events, and tries every choice.

use crate::generate::{Case, Event};
use crate::journey::JourneyCase;
use crate::naive::{in_window_of, local_day, property};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeSet;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{
    EventFilter, Sequence, SequenceValue, Session, SessionFunction, StateMachine, StateValue,
    StepKind, TagKind, Trigger, Window,
};
use xxhash_rust::xxh3::xxh3_64;

fn meets(event: &Event, of: &EventFilter) -> bool {
    (of.events.is_empty() || of.events.iter().any(|name| name == event.name))
        && of.filter.as_ref().is_none_or(|filter| filter.matches(&|name| property(event, name)))
}

/// In order: by time, and then by a hash of the message id.
fn in_order(case: &JourneyCase, user: usize, window: Window, as_of_ms: i64) -> Vec<&Event> {
    let mut events: Vec<&Event> = case
        .events
        .iter()
        .filter(|e| e.user == user && e.time_ms < case.as_of_ms)
        .filter(|e| in_window_of(&case.calendar, window, e.time_ms, as_of_ms))
        .collect();
    events.sort_by_key(|e| (e.time_ms, xxh3_64(e.message_id.as_bytes()) as u32));
    events
}

pub(crate) fn value(case: &JourneyCase, user: usize, as_of_ms: i64) -> Option<Value> {
    match &case.kind {
        TagKind::Session(definition) => session(case, definition, user, as_of_ms),
        TagKind::State(definition) => machine(case, definition, user, as_of_ms),
        TagKind::Sequence(definition) => {
            let events = in_order(case, user, definition.window, as_of_ms);
            Attempts { definition, events: &events, as_of_ms }.value(case)
        }
        other => panic!("{other:?}"),
    }
}

fn instant(case: &JourneyCase, ms: i64) -> Value {
    match case.tag_type {
        ValueType::Time => Value::Time(ms),
        _ => Value::Date(local_day(&case.calendar, ms)),
    }
}

fn ratio(case: &JourneyCase, top: i64, bottom: i64) -> Value {
    let ValueType::Decimal { scale } = case.tag_type else { panic!("a ratio is a decimal") };
    let exact = Decimal::from(top) / Decimal::from(bottom);
    let mut rounded =
        exact.round_dp_with_strategy(scale.into(), RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(scale.into());
    Value::Decimal(rounded)
}

fn session(case: &JourneyCase, of: &Session, user: usize, as_of_ms: i64) -> Option<Value> {
    let mut sessions: Vec<Vec<i64>> = Vec::new();
    let events = in_order(case, user, of.window, as_of_ms);
    for event in events.iter().filter(|event| meets(event, &of.of)) {
        match sessions.last_mut() {
            Some(last) if event.time_ms - last.last().unwrap() <= of.gap_ms => {
                last.push(event.time_ms)
            }
            _ => sessions.push(vec![event.time_ms]),
        }
    }
    let last = sessions.last()?;
    let length = |session: &Vec<i64>| session.last().unwrap() - session[0];
    let count = sessions.len() as i64;
    let bounces = sessions.iter().filter(|session| session.len() == 1).count() as i64;
    let events: i64 = sessions.iter().map(|session| session.len() as i64).sum();
    let total: i64 = sessions.iter().map(length).sum();
    use SessionFunction as F;
    Some(match of.function {
        F::Count => Value::Int(count),
        F::Bounces => Value::Int(bounces),
        F::Events => Value::Int(events),
        F::Seconds => Value::Int(total / 1000),
        F::LongestSeconds => Value::Int(sessions.iter().map(length).max().unwrap() / 1000),
        F::AvgEvents => ratio(case, events, count),
        F::AvgSeconds => ratio(case, total, count * 1000),
        F::BounceRate => ratio(case, bounces, count),
        F::LastStart => instant(case, last[0]),
    })
}

/// Goes from instant to instant at which anything may happen.
fn machine(case: &JourneyCase, of: &StateMachine, user: usize, as_of_ms: i64) -> Option<Value> {
    let events: Vec<&Event> = in_order(case, user, Window::Lifetime, as_of_ms)
        .into_iter()
        .filter(|event| of.filters().any(|filter| meets(event, filter)))
        .collect();
    if events.is_empty() {
        return None;
    }
    let mut state: Option<String> = of.initial.clone();
    let mut since: Option<i64> = None;
    let mut waiting = events.as_slice();
    loop {
        let by_time = since.and_then(|since| {
            let fits = |t: &&taghouse_rules::Transition| {
                matches!(t.trigger, Trigger::Elapsed(_)) && t.from.contains(state.as_ref().unwrap())
            };
            let elapsed = of.transitions.iter().filter(fits).map(|t| {
                let Trigger::Elapsed(after_ms) = t.trigger else { panic!() };
                (since + after_ms, t.to.clone())
            });
            // Of equally long ones the first.
            elapsed.reduce(|best, other| if other.0 < best.0 { other } else { best })
        });
        let next_event = waiting.first();
        match (by_time, next_event) {
            (Some((at, to)), event)
                if at < as_of_ms && event.is_none_or(|event| at <= event.time_ms) =>
            {
                (state, since) = (Some(to), Some(at));
            }
            (_, Some(event)) => {
                waiting = &waiting[1..];
                let taken = of.transitions.iter().find(|t| match &t.trigger {
                    Trigger::Elapsed(_) => false,
                    Trigger::Event(filter) => {
                        meets(event, filter)
                            && (t.from.is_empty()
                                || state.as_ref().is_some_and(|state| t.from.contains(state)))
                    }
                });
                if let Some(taken) = taken {
                    (state, since) = (Some(taken.to.clone()), Some(event.time_ms));
                }
            }
            _ => break,
        }
    }
    let lasted = |unit: i64| since.map(|since| Value::Int((as_of_ms - 1 - since) / unit));
    state.as_ref()?;
    match of.value {
        StateValue::State => state.map(|state| Value::text(&state)),
        StateValue::Since => since.map(|since| instant(case, since)),
        StateValue::Hours => lasted(3_600_000),
        StateValue::Days => lasted(24 * 3_600_000),
    }
}

struct Attempts<'a> {
    definition: &'a Sequence,
    events: &'a [&'a Event],
    as_of_ms: i64,
}

/// A wanted event of a sequence: the step's number, and whether the step is done with it.
struct Wanted {
    step: usize,
    done: bool,
}

impl Attempts<'_> {
    fn value(&self, case: &JourneyCase) -> Option<Value> {
        let steps = &self.definition.steps;
        // An event that has no value to compare is none of a step that compares.
        let matters = |event: &&&Event| {
            steps.iter().any(|step| {
                meets(event, &step.of) && (step.same.is_none() || property(event, "sku").is_some())
            })
        };
        self.events.iter().find(matters)?;
        let keyed = steps.iter().any(|step| step.same.is_some());
        let keys: BTreeSet<Option<Value>> = match keyed {
            true => self.events.iter().filter_map(|e| property(e, "sku")).map(Some).collect(),
            false => [None].into(),
        };
        let mut completions = Vec::new();
        for key in &keys {
            let mut fresh_from = 0;
            while let Some((at_ms, next)) = self.earliest(key.as_ref(), fresh_from) {
                completions.push(at_ms);
                fresh_from = next;
            }
        }
        Some(match self.definition.value {
            SequenceValue::Completed => Value::Bool(!completions.is_empty()),
            SequenceValue::Completions => Value::Int(completions.len() as i64),
            SequenceValue::Furthest if !completions.is_empty() => Value::Int(steps.len() as i64),
            SequenceValue::Furthest => {
                let keys = keys.iter().map(|key| self.furthest(key.as_ref()));
                // Before a step compares anything, any key will do.
                Value::Int(keys.chain([self.furthest(None)]).max().unwrap())
            }
            SequenceValue::CompletedAt => instant(case, completions.into_iter().max()?),
        })
    }

    fn wanted(&self) -> Vec<Wanted> {
        let steps = self.definition.steps.iter().enumerate();
        steps
            .flat_map(|(step, definition)| match definition.kind {
                StepKind::Times(times) => {
                    (1..=times).map(|nth| Wanted { step, done: nth == times }).collect()
                }
                StepKind::Absent | StepKind::AbsentFor(_) => Vec::new(),
            })
            .collect()
    }

    /// Whether an event is one of a step, for a key; a step that compares is none without one.
    fn is(&self, event: &Event, step: usize, key: Option<&Value>) -> bool {
        let definition = &self.definition.steps[step];
        meets(event, &definition.of)
            && (definition.same.is_none()
                || key.is_some() && property(event, "sku").as_ref() == key)
    }

    /// The steps that must not come after this one and before the next wanted one.
    fn absent_after(&self, step: usize) -> impl Iterator<Item = usize> {
        let kinds = self.definition.steps.iter().enumerate().skip(step + 1);
        kinds.take_while(|(_, step)| !matches!(step.kind, StepKind::Times(_))).map(|(at, _)| at)
    }

    /// Every way to choose events for the first wanted ones: the places chosen.
    fn choices(&self, key: Option<&Value>, fresh_from: usize) -> Vec<Vec<usize>> {
        let wanted = self.wanted();
        let mut all: Vec<Vec<usize>> = Vec::new();
        let mut open: Vec<Vec<usize>> = vec![Vec::new()];
        while let Some(chosen) = open.pop() {
            let nth = chosen.len();
            if nth == wanted.len() {
                continue;
            }
            let from = chosen.last().map_or(fresh_from, |last| last + 1);
            for place in from..self.events.len() {
                let event = self.events[place];
                let guarded = nth > 0
                    && wanted[nth - 1].done
                    && chosen.last().is_some_and(|last| {
                        let mut absent = self.absent_after(wanted[nth - 1].step);
                        absent.any(|step| {
                            self.events[last + 1..=place].iter().any(|e| self.is(e, step, key))
                        })
                    });
                let first =
                    chosen.first().map_or(event.time_ms, |first| self.events[*first].time_ms);
                let in_time = self.definition.within_ms.is_none_or(|w| event.time_ms - first <= w);
                if !guarded && in_time && self.is(event, wanted[nth].step, key) {
                    let longer: Vec<usize> = chosen.iter().copied().chain([place]).collect();
                    all.push(longer.clone());
                    open.push(longer);
                }
            }
        }
        all
    }

    /// When the first attempt is complete, and the first event behind it.
    fn earliest(&self, key: Option<&Value>, fresh_from: usize) -> Option<(i64, usize)> {
        let wanted = self.wanted();
        let whole = self.choices(key, fresh_from).into_iter().filter(|c| c.len() == wanted.len());
        let lasts: BTreeSet<usize> = whole.filter_map(|chosen| chosen.last().copied()).collect();
        let wait = self.definition.steps.last().and_then(|step| match step.kind {
            StepKind::AbsentFor(wait_ms) => Some(wait_ms),
            _ => None,
        });
        let Some(wait_ms) = wait else {
            return lasts.first().map(|last| (self.events[*last].time_ms, last + 1));
        };
        let step = wanted.last().unwrap().step;
        let complete = lasts.into_iter().filter_map(|last| {
            let until = self.events[last].time_ms + wait_ms;
            let comes = self.events[last + 1..]
                .iter()
                .filter(|event| event.time_ms <= until)
                .any(|event| self.absent_after(step).any(|step| self.is(event, step, key)));
            let next = self.events.partition_point(|event| event.time_ms <= until);
            (!comes && until < self.as_of_ms).then_some((until, next))
        });
        complete.min()
    }

    fn furthest(&self, key: Option<&Value>) -> i64 {
        let wanted = self.wanted();
        let mut furthest = 0;
        for chosen in self.choices(key, 0) {
            let done = wanted[..chosen.len()].iter().filter(|w| w.done).map(|w| w.step + 1);
            furthest = furthest.max(done.max().unwrap_or(0));
        }
        furthest as i64
    }
}

/// Kept so that both interpreters agree on what a user is.
const _: () = assert!(Case::USERS == JourneyCase::USERS);
