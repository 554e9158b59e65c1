//! Tags over the order of a user's events: sessions, state machines and sequences.

use crate::{Aggregate, Predicate, Window};
use std::collections::BTreeSet;
use taghouse_model::{Name, Value};

/// Which events take part.
#[derive(Debug, Clone, PartialEq)]
pub struct EventFilter {
    /// Events of these names only; empty: of every name.
    pub events: Vec<String>,
    /// Events for which this holds only, over properties.
    pub filter: Option<Predicate<Value>>,
}

/// Visits: events that follow one another within a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The events that sessions are made of.
    pub of: EventFilter,
    /// An event that comes later than this after the one before begins a session.
    pub gap_ms: i64,
    /// What of them is the value.
    pub function: SessionFunction,
    /// How far back. A session that reaches over the edge of the window is cut there.
    pub window: Window,
}

/// What of a user's sessions is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionFunction {
    /// How many sessions.
    Count,
    /// How many sessions of one event.
    Bounces,
    /// How many events they have.
    Events,
    /// How long they are, first to last event, added up, in whole seconds.
    Seconds,
    /// How long the longest is, in whole seconds.
    LongestSeconds,
    /// The mean number of events.
    AvgEvents,
    /// The mean length in seconds.
    AvgSeconds,
    /// The share of sessions of one event, 0 to 1.
    BounceRate,
    /// When the last one began.
    LastStart,
}

/// A state that events and elapsed time change.
#[derive(Debug, Clone, PartialEq)]
pub struct StateMachine {
    /// The state before any transition; `None`: there is none.
    pub initial: Option<String>,
    /// The first that fits an event, or whose time has elapsed, is taken.
    pub transitions: Vec<Transition>,
    /// What of it is the value.
    pub value: StateValue,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// From these states only; empty: from any, and where there is none yet.
    pub from: Vec<String>,
    /// The state from then on.
    pub to: String,
    /// What brings it about.
    pub trigger: Trigger,
}

/// What brings a change of state about.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// An event.
    Event(EventFilter),
    /// So many milliseconds in the state.
    Elapsed(i64),
}

/// What of a state machine is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateValue {
    /// The state.
    State,
    /// When it was entered.
    Since,
    /// How long it has lasted, in whole hours.
    Hours,
    /// How long it has lasted, in whole days of 24 hours.
    Days,
}

/// Events that follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// One after the other. The first is not absent.
    pub steps: Vec<Step>,
    /// The last event comes within so many milliseconds of the first; `None`: whenever.
    pub within_ms: Option<i64>,
    /// What of it is the value.
    pub value: SequenceValue,
    /// How far back.
    pub window: Window,
}

/// One step of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The events that are one.
    pub of: EventFilter,
    /// A property whose value is the same in all steps that name it.
    pub same: Option<Name>,
    /// What is to be.
    pub kind: StepKind,
}

/// What is to be of a step's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// So many of them.
    Times(u32),
    /// None between the steps before and after.
    Absent,
    /// None for so many milliseconds after the step before: the sequence ends with it.
    AbsentFor(i64),
}

/// What of a sequence is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SequenceValue {
    /// Whether it was completed.
    Completed,
    /// How often. After a completion it begins again with the events behind it.
    Completions,
    /// How many steps the furthest attempt has come.
    Furthest,
    /// When it was completed the last time.
    CompletedAt,
}

/// How a tag is computed from events.
#[derive(Debug, Clone, Copy)]
pub enum EventTag<'a> {
    /// In any order.
    Aggregate(&'a Aggregate),
    /// By the pauses between them.
    Session(&'a Session),
    /// In order.
    State(&'a StateMachine),
    /// In order.
    Sequence(&'a Sequence),
}

impl<'a> EventTag<'a> {
    /// How far back it looks.
    pub fn window(&self) -> Window {
        match self {
            Self::Aggregate(aggregate) => aggregate.window,
            Self::Session(session) => session.window,
            Self::State(_) => Window::Lifetime,
            Self::Sequence(sequence) => sequence.window,
        }
    }

    /// The properties that it looks at.
    pub fn properties(&self) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        match self {
            Self::Aggregate(aggregate) => {
                names.extend(aggregate.filter.iter().flat_map(Predicate::names));
                names.extend(aggregate.value.iter().flat_map(|value| value.names()));
            }
            Self::Session(session) => names.extend(session.of.names()),
            Self::State(machine) => names.extend(machine.filters().flat_map(EventFilter::names)),
            Self::Sequence(sequence) => {
                names.extend(sequence.steps.iter().flat_map(|step| step.of.names()));
                names.extend(
                    sequence.steps.iter().filter_map(|step| step.same.as_ref().map(Name::as_str)),
                );
            }
        }
        names
    }
}

impl EventFilter {
    /// The properties that it looks at.
    pub fn names(&self) -> BTreeSet<&str> {
        self.filter.iter().flat_map(Predicate::names).collect()
    }
}

impl StateMachine {
    /// The events that its transitions name.
    pub fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        self.transitions.iter().filter_map(|transition| match &transition.trigger {
            Trigger::Event(of) => Some(of),
            Trigger::Elapsed(_) => None,
        })
    }
}
