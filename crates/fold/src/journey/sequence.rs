use super::{Look, by_event, instant, whole};
use crate::partial::Mark;
use crate::{Calendar, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{TimestampMs, Value, ValueType};
use taghouse_rules::{SequenceValue, Step, StepKind};

/// A sequence tag, compiled: the events that are to come, one after the other, and those that must
/// not come between.
///
/// Steps before the first that compares a property (`same`) are taken once for all its values; from
/// there on there is an attempt for each value.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// A step of three times is three of them.
    wanted: Vec<Wanted>,
    /// `between[n]`: what must not come after the n-th wanted event and before the next one.
    between: Vec<Vec<Condition>>,
    /// How long the last of `between` is watched; `None`: the last wanted event completes it.
    wait_ms: Option<i64>,
    within_ms: Option<i64>,
    /// The first wanted event with a key.
    first_keyed: usize,
    /// How many steps there are.
    steps: usize,
    value: SequenceValue,
    tag_type: ValueType,
    calendar: Calendar,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    condition: Condition,
    /// How many steps are done with it.
    steps: usize,
}

#[derive(Debug, Clone, Copy)]
struct Condition {
    symbol: u8,
    keyed: bool,
}

impl Sequence {
    /// The n-th step's events leave the mark n.
    pub(crate) fn new(
        definition: &taghouse_rules::Sequence,
        tag_type: ValueType,
        calendar: &Calendar,
    ) -> Self {
        let (mut wanted, mut between): (Vec<Wanted>, Vec<Vec<Condition>>) =
            (Vec::new(), Vec::new());
        let mut wait_ms = None;
        let mut done = 0;
        for (number, Step { same, kind, .. }) in definition.steps.iter().enumerate() {
            let condition = Condition { symbol: number as u8, keyed: same.is_some() };
            match kind {
                StepKind::Times(times) => {
                    for nth in 1..=*times {
                        if nth == *times {
                            done = number + 1;
                        }
                        wanted.push(Wanted { condition, steps: done });
                        between.push(Vec::new());
                    }
                }
                StepKind::Absent => {
                    between.iter_mut().last().into_iter().for_each(|of| of.push(condition))
                }
                StepKind::AbsentFor(for_ms) => {
                    between.iter_mut().last().into_iter().for_each(|of| of.push(condition));
                    wait_ms = Some(*for_ms);
                }
            }
        }
        let first_keyed = wanted.iter().position(|wanted| wanted.condition.keyed);
        Self {
            first_keyed: first_keyed.unwrap_or(wanted.len()),
            wanted,
            between,
            wait_ms,
            within_ms: definition.within_ms,
            steps: definition.steps.len(),
            value: definition.value,
            tag_type,
            calendar: calendar.clone(),
        }
    }

    /// What marks in order come to.
    pub(crate) fn look(&self, marks: &[Mark], as_of_ms: TimestampMs) -> Look {
        if marks.is_empty() {
            return Look::steady(Outcome::Nothing);
        }
        let mut attempts = Attempts::new(self);
        for (number, marks) in by_event(marks).enumerate() {
            let Some(time_ms) = marks.first().map(|mark| mark.time_ms) else { continue };
            attempts.pass(time_ms, number);
            attempts.take(Event { marks, time_ms, number });
        }
        attempts.pass(as_of_ms, usize::MAX);
        let Attempts { completions, completed_ms, furthest, waiting, .. } = attempts;
        let outcome = match self.value {
            SequenceValue::Completed => Outcome::Value(Value::Bool(completions > 0)),
            SequenceValue::Completions => whole(completions),
            SequenceValue::Furthest => whole(furthest as i64),
            SequenceValue::CompletedAt => completed_ms
                .map_or(Outcome::Nothing, |at_ms| instant(at_ms, self.tag_type, &self.calendar)),
        };
        let next_ms = waiting.first().map(|wait| wait.until_ms.saturating_add(1));
        Look { outcome, next_ms }
    }
}

/// The first event of an attempt.
#[derive(Debug, Clone, Copy)]
struct Start {
    time_ms: TimestampMs,
    /// The event's place among all.
    number: usize,
}

/// An attempt that is complete unless something comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    until_ms: TimestampMs,
    key: u64,
}

struct Event<'m> {
    marks: &'m [Mark],
    time_ms: TimestampMs,
    number: usize,
}

impl Event<'_> {
    /// The mark of a condition, if the event meets it.
    fn mark(&self, condition: Condition) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.symbol == condition.symbol)
    }
}

/// All attempts at once. Of those that have come equally far, with one key, only the one that began
/// last matters: whatever another can still reach, it reaches too. So an event costs as much as
/// there are steps, however many attempts there were.
struct Attempts<'s> {
    plan: &'s Sequence,
    /// By how many wanted events are there, less one: as long as no key was asked for.
    unkeyed: Vec<Option<Start>>,
    /// The same from the first keyed one on, by key.
    keyed: BTreeMap<u64, Vec<Option<Start>>>,
    /// For each key that was completed the number of the first event that counts again.
    fresh_from: BTreeMap<u64, usize>,
    /// By when they end.
    waiting: BTreeSet<Wait>,
    completions: i64,
    completed_ms: Option<TimestampMs>,
    furthest: usize,
}

impl<'s> Attempts<'s> {
    fn new(plan: &'s Sequence) -> Self {
        Self {
            plan,
            unkeyed: vec![None; plan.first_keyed],
            keyed: BTreeMap::new(),
            fresh_from: BTreeMap::new(),
            waiting: BTreeSet::new(),
            completions: 0,
            completed_ms: None,
            furthest: 0,
        }
    }

    /// Time goes on to an event, or to the as-of time: what nothing has come for is complete.
    fn pass(&mut self, time_ms: TimestampMs, number: usize) {
        while let Some(wait) = self.waiting.first().copied().filter(|w| w.until_ms < time_ms) {
            self.furthest = self.furthest.max(self.plan.steps);
            self.complete(wait.key, wait.until_ms, number);
        }
    }

    fn take(&mut self, event: Event<'_>) {
        let plan = self.plan;
        // What must not come ends attempts; the same event may begin one.
        for (place, conditions) in plan.between.iter().enumerate() {
            for condition in conditions {
                if let Some(mark) = event.mark(*condition) {
                    self.end(place, condition.keyed.then_some(mark.key));
                }
            }
        }
        // The last first: an event takes one step of an attempt.
        for (place, wanted) in plan.wanted.iter().enumerate().rev() {
            let Some(mark) = event.mark(wanted.condition) else { continue };
            if wanted.condition.keyed {
                self.advance(place, mark.key, &event);
            } else if place < plan.first_keyed {
                self.advance(place, 0, &event);
            } else {
                let keys: Vec<u64> = self.keyed.keys().copied().collect();
                keys.into_iter().for_each(|key| self.advance(place, key, &event));
            }
        }
    }

    /// Ends the attempts that have come to a place, of one key or of all.
    fn end(&mut self, place: usize, key: Option<u64>) {
        let last = place + 1 == self.plan.wanted.len();
        if last {
            self.waiting.retain(|wait| key.is_some_and(|key| wait.key != key));
        }
        if place < self.plan.first_keyed {
            self.unkeyed[place] = None;
            return;
        }
        let place = place - self.plan.first_keyed;
        match key {
            Some(key) => {
                if let Some(of_key) = self.keyed.get_mut(&key) {
                    of_key[place] = None;
                }
            }
            None => self.keyed.values_mut().for_each(|of_key| of_key[place] = None),
        }
    }

    /// The attempt that has come to the place before goes on with the event, if it still may.
    fn advance(&mut self, place: usize, key: u64, event: &Event<'_>) {
        let plan = self.plan;
        let begun = match place.checked_sub(1) {
            None => Some(Start { time_ms: event.time_ms, number: event.number }),
            Some(before) => self.start(before, key),
        };
        let fresh_from = self.fresh_from.get(&key).copied().unwrap_or(0);
        let in_time = |start: &Start| {
            let took_ms = event.time_ms.saturating_sub(start.time_ms);
            start.number >= fresh_from && plan.within_ms.is_none_or(|within| took_ms <= within)
        };
        let Some(start) = begun.filter(in_time) else { return };
        self.furthest = self.furthest.max(plan.wanted[place].steps);
        if place + 1 < plan.wanted.len() {
            self.put(place, key, start);
            return;
        }
        match plan.wait_ms {
            None => self.complete(key, event.time_ms, event.number + 1),
            Some(wait_ms) => {
                // The first is complete the soonest.
                if !self.waiting.iter().any(|wait| wait.key == key) {
                    let until_ms = event.time_ms.saturating_add(wait_ms);
                    self.waiting.insert(Wait { until_ms, key });
                }
            }
        }
    }

    fn start(&self, place: usize, key: u64) -> Option<Start> {
        match place.checked_sub(self.plan.first_keyed) {
            None => self.unkeyed[place],
            Some(place) => self.keyed.get(&key)?[place],
        }
    }

    fn put(&mut self, place: usize, key: u64, start: Start) {
        let (plan, first_keyed) = (self.plan, self.plan.first_keyed);
        let held = match place.checked_sub(first_keyed) {
            None => &mut self.unkeyed[place],
            Some(place) => {
                let none = || vec![None; plan.wanted.len() - first_keyed];
                &mut self.keyed.entry(key).or_insert_with(none)[place]
            }
        };
        if held.is_none_or(|held| held.number <= start.number) {
            *held = Some(start);
        }
    }

    /// Counts a completion; events before `fresh_from` are used up for the key.
    fn complete(&mut self, key: u64, at_ms: TimestampMs, fresh_from: usize) {
        self.completions += 1;
        self.completed_ms = self.completed_ms.max(Some(at_ms));
        self.waiting.retain(|wait| wait.key != key);
        self.fresh_from.insert(key, fresh_from);
        if self.plan.first_keyed < self.plan.wanted.len() {
            self.keyed.remove(&key);
        } else {
            self.unkeyed.fill(None);
        }
    }
}
