use super::{Look, by_event, instant, whole};
use crate::partial::Mark;
use crate::{Calendar, Outcome};
use std::sync::Arc;
use taghouse_model::{TimestampMs, Value, ValueType};
use taghouse_rules::{EventFilter, StateMachine, StateValue, Trigger};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A state tag, compiled. States and events have numbers.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    states: Vec<Arc<str>>,
    initial: Option<usize>,
    /// By events, in the order in which they are tried.
    transitions: Vec<ByEvent>,
    /// For each state the transition by time.
    elapsed: Vec<Option<Elapsed>>,
    value: StateValue,
    tag_type: ValueType,
    calendar: Calendar,
}

#[derive(Debug, Clone)]
struct ByEvent {
    symbol: u8,
    /// Empty: from any.
    from: Vec<usize>,
    to: usize,
}

#[derive(Debug, Clone, Copy)]
struct Elapsed {
    after_ms: i64,
    to: usize,
}

/// Where a user is.
#[derive(Debug, Clone, Copy)]
struct At {
    state: usize,
    /// `None` in the first state, which nobody enters.
    since_ms: Option<TimestampMs>,
}

impl Machine {
    /// The machine, and the events that it looks at: an event of the n-th leaves the mark n.
    pub(crate) fn new<'d>(
        definition: &'d StateMachine,
        tag_type: ValueType,
        calendar: &Calendar,
    ) -> (Self, Vec<&'d EventFilter>) {
        let (mut states, mut filters) = (Vec::new(), Vec::new());
        let mut transitions = Vec::new();
        let mut by_time: Vec<(usize, Elapsed)> = Vec::new();
        let initial = definition.initial.as_deref().map(|name| number_of(&mut states, name));
        for transition in &definition.transitions {
            let from: Vec<usize> =
                transition.from.iter().map(|name| number_of(&mut states, name)).collect();
            let to = number_of(&mut states, &transition.to);
            match &transition.trigger {
                Trigger::Event(filter) => {
                    let known = filters.iter().position(|known: &&EventFilter| *known == filter);
                    let symbol = known.unwrap_or_else(|| {
                        filters.push(filter);
                        filters.len() - 1
                    });
                    transitions.push(ByEvent { symbol: symbol as u8, from, to });
                }
                Trigger::Elapsed(after_ms) => {
                    let elapsed = Elapsed { after_ms: *after_ms, to };
                    by_time.extend(from.into_iter().map(|state| (state, elapsed)));
                }
            }
        }
        let mut elapsed: Vec<Option<Elapsed>> = vec![None; states.len()];
        for (state, other) in by_time {
            let sooner = elapsed[state].is_none_or(|held| other.after_ms < held.after_ms);
            if sooner {
                elapsed[state] = Some(other);
            }
        }
        let (value, calendar) = (definition.value, calendar.clone());
        (Self { states, initial, transitions, elapsed, value, tag_type, calendar }, filters)
    }

    /// What marks in order come to. Time elapsed counts like an event of that instant: before the
    /// as-of time, and before events of the same instant.
    pub(crate) fn look(&self, marks: &[Mark], as_of_ms: TimestampMs) -> Look {
        if marks.is_empty() {
            return Look::steady(Outcome::Nothing);
        }
        let mut at = self.initial.map(|state| At { state, since_ms: None });
        for marks in by_event(marks) {
            let Some(time_ms) = marks.first().map(|mark| mark.time_ms) else { continue };
            at = self.elapse(at, time_ms.saturating_add(1));
            let state = at.map(|at| at.state);
            let fits = |transition: &&ByEvent| {
                marks.iter().any(|mark| mark.symbol == transition.symbol)
                    && (transition.from.is_empty()
                        || state.is_some_and(|state| transition.from.contains(&state)))
            };
            if let Some(transition) = self.transitions.iter().find(fits) {
                at = Some(At { state: transition.to, since_ms: Some(time_ms) });
            }
        }
        match self.elapse(at, as_of_ms) {
            None => Look::steady(Outcome::Nothing),
            Some(at) => self.look_at(at, as_of_ms),
        }
    }

    /// Where time alone leads, by instants before this one. It ends, for no circle is by time alone.
    fn elapse(&self, mut at: Option<At>, before_ms: TimestampMs) -> Option<At> {
        while let Some(At { state, since_ms: Some(since_ms) }) = at
            && let Some(Elapsed { after_ms, to }) = self.elapsed[state]
            && since_ms.saturating_add(after_ms) < before_ms
        {
            at = Some(At { state: to, since_ms: Some(since_ms.saturating_add(after_ms)) });
        }
        at
    }

    fn look_at(&self, At { state, since_ms }: At, as_of_ms: TimestampMs) -> Look {
        let leaves_ms = since_ms
            .zip(self.elapsed[state])
            .map(|(since_ms, elapsed)| since_ms.saturating_add(elapsed.after_ms).saturating_add(1));
        let lasted = |unit_ms: i64| match since_ms {
            None => Look::steady(Outcome::Nothing),
            Some(since_ms) => {
                // Whole units that end before the as-of time.
                let units = as_of_ms.saturating_sub(1).saturating_sub(since_ms).max(0) / unit_ms;
                let next = since_ms.saturating_add((units + 1).saturating_mul(unit_ms));
                let next_ms = leaves_ms.into_iter().chain([next.saturating_add(1)]).min();
                Look { outcome: whole(units), next_ms }
            }
        };
        match self.value {
            StateValue::State => Look {
                outcome: Outcome::Value(Value::Text(self.states[state].clone())),
                next_ms: leaves_ms,
            },
            StateValue::Since => Look {
                outcome: since_ms.map_or(Outcome::Nothing, |since_ms| {
                    instant(since_ms, self.tag_type, &self.calendar)
                }),
                next_ms: leaves_ms,
            },
            StateValue::Hours => lasted(HOUR_MS),
            StateValue::Days => lasted(DAY_MS),
        }
    }
}

fn number_of(states: &mut Vec<Arc<str>>, name: &str) -> usize {
    states.iter().position(|state| state.as_ref() == name).unwrap_or_else(|| {
        states.push(name.into());
        states.len() - 1
    })
}
