use super::aggregate::how_to_write;
use super::events::{check_events, check_filter, check_window, duration};
use super::{Errors, Inputs};
use crate::raw::journey::{
    RawSequence, RawSequenceValue, RawSession, RawSessionFunction, RawState, RawStateValue,
    RawStep, RawTransition,
};
use crate::{
    Document, EventFilter, Sequence, SequenceValue, Session, SessionFunction, StateMachine,
    StateValue, Step, StepKind, Transition, Trigger, suggest,
};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{MAX_TEXT_BYTES, Name, ValueType};

/// As visits are commonly cut.
const DEFAULT_GAP_MS: i64 = 30 * 60_000;

/// The most steps of a sequence, each counted as often as it is to be, and the most transitions.
const MAX_STEPS: usize = 50;

/// The most of one step.
const MAX_TIMES: i64 = 20;

/// Reads what a tag says of the order of events; `ty` is the tag's type.
pub(super) struct JourneyReader<'a> {
    pub(super) document: &'a Document,
    pub(super) ty: ValueType,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) errors: &'a mut Errors,
}

impl JourneyReader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    /// Refuses a tag whose type is none of these, the first of which is suggested.
    fn expect(&mut self, what: &str, types: &[ValueType]) {
        let same = |ty: &ValueType| match (ty, self.ty) {
            (ValueType::Decimal { .. }, ValueType::Decimal { .. }) => true,
            (wanted, ty) => *wanted == ty,
        };
        if let Some(wanted) = types.first().filter(|_| !types.iter().any(same)) {
            let (wanted, found) = (how_to_write(*wanted), how_to_write(self.ty));
            self.error(
                "/type",
                format!("`{what}` gives another type: write `{wanted}`, not `{found}`"),
            );
        }
    }

    fn events(&mut self, pointer: &str, events: &[String], filter: Option<&str>) -> EventFilter {
        check_events(self.document, pointer, events, self.inputs, self.errors);
        let filter = filter.and_then(|text| {
            check_filter(self.document, &format!("{pointer}/where"), text, self.inputs, self.errors)
        });
        EventFilter { events: events.to_vec(), filter }
    }

    fn duration(&mut self, pointer: &str, text: &str) -> i64 {
        duration(text).unwrap_or_else(|e| {
            self.error(pointer, e);
            1
        })
    }

    pub(super) fn session(&mut self, raw: &RawSession) -> Option<Session> {
        let before = self.errors.len();
        let of = self.events("/session", &raw.events, raw.filter.as_deref());
        let gap_ms = match &raw.gap {
            Some(text) => self.duration("/session/gap", text),
            None => DEFAULT_GAP_MS,
        };
        let function = session_function(raw.function);
        let decimal = ValueType::Decimal { scale: 2 };
        use SessionFunction as F;
        let types: &[ValueType] = match function {
            F::Count | F::Bounces | F::Events | F::Seconds | F::LongestSeconds => &[ValueType::Int],
            F::AvgEvents | F::AvgSeconds | F::BounceRate => &[decimal],
            F::LastStart => &[ValueType::Date, ValueType::Time],
        };
        self.expect(function.as_str(), types);
        let window =
            check_window(self.document, "/session/window", raw.window.as_deref(), self.errors);
        (self.errors.len() == before).then_some(Session { of, gap_ms, function, window })
    }

    pub(super) fn state(&mut self, raw: &RawState) -> Option<StateMachine> {
        let before = self.errors.len();
        if raw.transitions.is_empty() {
            self.error("/state/transitions", "a state needs at least one transition");
        }
        if raw.transitions.len() > MAX_STEPS {
            self.error(
                "/state/transitions",
                format!("a state has {MAX_STEPS} transitions at most"),
            );
        }
        let transitions: Vec<Transition> = raw
            .transitions
            .iter()
            .enumerate()
            .map(|(i, transition)| self.transition(&format!("/state/transitions/{i}"), transition))
            .collect();
        self.check_states(raw);
        self.refuse_clockwork(&transitions);
        let (value, types): (_, &[ValueType]) = match raw.value {
            None | Some(RawStateValue::State) => (StateValue::State, &[ValueType::Text]),
            Some(RawStateValue::Since) => (StateValue::Since, &[ValueType::Date, ValueType::Time]),
            Some(RawStateValue::Hours) => (StateValue::Hours, &[ValueType::Int]),
            Some(RawStateValue::Days) => (StateValue::Days, &[ValueType::Int]),
        };
        self.expect(value.as_str(), types);
        let initial = raw.initial.clone();
        (self.errors.len() == before).then_some(StateMachine { initial, transitions, value })
    }

    fn transition(&mut self, pointer: &str, raw: &RawTransition) -> Transition {
        let trigger = match &raw.after {
            Some(after) => {
                if !raw.events.is_empty() || raw.filter.is_some() {
                    self.error(
                        &format!("{pointer}/after"),
                        "a transition is brought about by `events` or by `after`, not by both",
                    );
                }
                if raw.from.is_empty() {
                    self.error(
                        &format!("{pointer}/after"),
                        "`after` needs `from`: the states that have lasted so long",
                    );
                }
                Trigger::Elapsed(self.duration(&format!("{pointer}/after"), after))
            }
            None => {
                if raw.events.is_empty() {
                    self.error(pointer, "a transition needs `events` or `after`");
                }
                Trigger::Event(self.events(pointer, &raw.events, raw.filter.as_deref()))
            }
        };
        Transition { from: raw.from.clone(), to: raw.to.clone(), trigger }
    }

    /// Every state that a transition starts from is entered by another, or the first one.
    fn check_states(&mut self, raw: &RawState) {
        let entered: BTreeSet<&str> = raw
            .transitions
            .iter()
            .map(|transition| transition.to.as_str())
            .chain(raw.initial.as_deref())
            .collect();
        for name in &entered {
            if name.is_empty() || name.len() > MAX_TEXT_BYTES {
                self.error("/state", format!("a state's name has 1 to {MAX_TEXT_BYTES} bytes"));
            }
        }
        for (i, transition) in raw.transitions.iter().enumerate() {
            for (j, from) in transition.from.iter().enumerate() {
                if !entered.contains(from.as_str()) {
                    let near = suggest::did_you_mean(from, entered.iter().copied());
                    self.error(
                        &format!("/state/transitions/{i}/from/{j}"),
                        format!("no transition leads to `{from}`, and it is not `initial`{near}"),
                    );
                }
            }
        }
    }

    /// Elapsed time alone must come to an end: a circle of such transitions never does.
    fn refuse_clockwork(&mut self, transitions: &[Transition]) {
        let mut by_time: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
        for transition in transitions {
            let Trigger::Elapsed(after_ms) = transition.trigger else { continue };
            for from in &transition.from {
                let next = by_time.entry(from).or_insert((after_ms, &transition.to));
                if after_ms < next.0 {
                    *next = (after_ms, &transition.to);
                }
            }
        }
        for from in by_time.keys() {
            let mut at = *from;
            for _ in 0..=by_time.len() {
                match by_time.get(at) {
                    Some((_, to)) if to == from => {
                        self.error(
                            "/state/transitions",
                            format!(
                                "`{from}` comes back to itself by `after` alone: let an event take part in the circle"
                            ),
                        );
                        return;
                    }
                    Some((_, to)) => at = to,
                    None => break,
                }
            }
        }
    }

    pub(super) fn sequence(&mut self, raw: &RawSequence) -> Option<Sequence> {
        let before = self.errors.len();
        let within_ms = raw.within.as_ref().map(|text| self.duration("/sequence/within", text));
        let last = raw.steps.len().saturating_sub(1);
        let steps: Vec<Step> = raw
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| self.step(&format!("/sequence/steps/{i}"), step, i == last, within_ms))
            .collect();
        self.check_steps(raw, &steps);
        let (value, types): (_, &[ValueType]) = match raw.value {
            None | Some(RawSequenceValue::Completed) => {
                (SequenceValue::Completed, &[ValueType::Bool])
            }
            Some(RawSequenceValue::Completions) => (SequenceValue::Completions, &[ValueType::Int]),
            Some(RawSequenceValue::Furthest) => (SequenceValue::Furthest, &[ValueType::Int]),
            Some(RawSequenceValue::CompletedAt) => {
                (SequenceValue::CompletedAt, &[ValueType::Date, ValueType::Time])
            }
        };
        self.expect(value.as_str(), types);
        let window =
            check_window(self.document, "/sequence/window", raw.window.as_deref(), self.errors);
        (self.errors.len() == before).then_some(Sequence { steps, within_ms, value, window })
    }

    fn step(&mut self, pointer: &str, raw: &RawStep, last: bool, within_ms: Option<i64>) -> Step {
        if raw.events.is_empty() {
            self.error(pointer, "a step needs `events`");
        }
        let of = self.events(pointer, &raw.events, raw.filter.as_deref());
        let same = raw.same.as_deref().and_then(|property| self.property(pointer, property));
        let absent = raw.absent.unwrap_or(false);
        let own_ms = raw.within.as_ref().map(|w| self.duration(&format!("{pointer}/within"), w));
        if own_ms.is_some() && !(absent && last) {
            self.error(
                &format!("{pointer}/within"),
                "`within` of a step is for a last step that is `absent`: write that of the whole beside `steps`",
            );
        }
        let kind = match (absent, raw.times) {
            (true, Some(_)) => {
                self.error(&format!("{pointer}/times"), "a step that is `absent` has no `times`");
                StepKind::Absent
            }
            (true, None) if last => match own_ms.or(within_ms) {
                Some(wait_ms) => StepKind::AbsentFor(wait_ms),
                None => {
                    self.error(
                        pointer,
                        "a last step that is `absent` needs `within`: for how long there is none",
                    );
                    StepKind::Absent
                }
            },
            (true, None) => StepKind::Absent,
            (false, times) => {
                let times = times.unwrap_or(1);
                if !(1..=MAX_TIMES).contains(&times) {
                    self.error(&format!("{pointer}/times"), format!("`times` is 1 to {MAX_TIMES}"));
                }
                StepKind::Times(u32::try_from(times).unwrap_or(1))
            }
        };
        Step { of, same, kind }
    }

    fn property(&mut self, pointer: &str, property: &str) -> Option<Name> {
        let known = self.inputs.properties;
        if let Some((name, _)) = known.get_key_value(property) {
            return Some(name.clone());
        }
        let near = suggest::did_you_mean(property, known.keys().map(Name::as_str));
        self.error(
            &format!("{pointer}/same"),
            format!("no source has a property `{property}`{near}"),
        );
        None
    }

    fn check_steps(&mut self, raw: &RawSequence, steps: &[Step]) {
        if !matches!(steps.first(), Some(Step { kind: StepKind::Times(_), .. })) {
            self.error("/sequence/steps", "a sequence begins with a step that is not `absent`");
        }
        let length: usize = steps
            .iter()
            .map(|step| match step.kind {
                StepKind::Times(times) => times as usize,
                StepKind::Absent | StepKind::AbsentFor(_) => 1,
            })
            .sum();
        if length > MAX_STEPS {
            self.error("/sequence/steps", format!("a sequence has {MAX_STEPS} steps at most"));
        }
        let properties: BTreeSet<&Name> =
            steps.iter().filter_map(|step| step.same.as_ref()).collect();
        if properties.len() > 1 {
            self.error("/sequence/steps", "all `same` of a sequence name one property");
        }
        let first_same = steps.iter().position(|step| step.same.is_some());
        if let Some(first) = first_same.filter(|at| !matches!(steps[*at].kind, StepKind::Times(_)))
        {
            let name = raw.steps[first].same.as_deref().unwrap_or_default();
            self.error(
                &format!("/sequence/steps/{first}/same"),
                format!(
                    "a step before it needs `same: {name}` too: there is nothing to compare with"
                ),
            );
        }
    }
}

fn session_function(raw: RawSessionFunction) -> SessionFunction {
    match raw {
        RawSessionFunction::Count => SessionFunction::Count,
        RawSessionFunction::Bounces => SessionFunction::Bounces,
        RawSessionFunction::Events => SessionFunction::Events,
        RawSessionFunction::Seconds => SessionFunction::Seconds,
        RawSessionFunction::LongestSeconds => SessionFunction::LongestSeconds,
        RawSessionFunction::AvgEvents => SessionFunction::AvgEvents,
        RawSessionFunction::AvgSeconds => SessionFunction::AvgSeconds,
        RawSessionFunction::BounceRate => SessionFunction::BounceRate,
        RawSessionFunction::LastStart => SessionFunction::LastStart,
    }
}

impl SessionFunction {
    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bounces => "bounces",
            Self::Events => "events",
            Self::Seconds => "seconds",
            Self::LongestSeconds => "longest_seconds",
            Self::AvgEvents => "avg_events",
            Self::AvgSeconds => "avg_seconds",
            Self::BounceRate => "bounce_rate",
            Self::LastStart => "last_start",
        }
    }
}

impl StateValue {
    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Since => "since",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }
}

impl SequenceValue {
    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Completions => "completions",
            Self::Furthest => "furthest",
            Self::CompletedAt => "completed_at",
        }
    }
}
