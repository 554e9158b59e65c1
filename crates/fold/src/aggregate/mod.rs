//! The per-event door: one user's state, with the two tilings of the same partial aggregates.

mod state;

pub use state::AggregateState;

use crate::cell::Cell;
use crate::partial::{AnyPartial, Stamp};
use crate::spec::Spec;
use crate::{Calendar, EventRow, Fold, Outcome, Result, Span};
use taghouse_model::{TimestampMs, Value, ValueType};
use taghouse_rules::{Aggregate, Predicate, Scalar};

/// An aggregate tag as a fold.
#[derive(Debug, Clone)]
pub struct AggregateFold {
    events: Vec<String>,
    filter: Option<Predicate<Value>>,
    value: Option<Scalar<Value>>,
    spec: Spec,
    tiling: Tiling,
}

#[derive(Debug, Clone)]
enum Tiling {
    /// The stream's: a ring of tiles. The value can be asked for at any time after the newest
    /// event.
    Sliding(Span),
    /// The batch's: one tile, the window as of one time. Events outside of it are passed over.
    Fixed { start_ms: TimestampMs, as_of_ms: TimestampMs },
}

impl AggregateFold {
    /// The fold of a stream: states grow with the tiles of the window that hold events, and
    /// [`Fold::value`] may be asked for at any as-of time after the newest event taken in.
    ///
    /// # Errors
    /// [`crate::Error::Definition`] if the function does not go with the value's type. `types`
    /// gives those of properties.
    pub fn sliding(
        aggregate: &Aggregate,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
    ) -> Result<Self> {
        Self::new(
            aggregate,
            tag_type,
            types,
            calendar,
            Tiling::Sliding(calendar.span(aggregate.window)),
        )
    }

    /// The fold of one as-of time: states are of one tile, events at or after that time or before
    /// the window are passed over, and the as-of time that [`Fold::value`] is given does not
    /// matter.
    ///
    /// # Errors
    /// As [`AggregateFold::sliding`].
    pub fn fixed(
        aggregate: &Aggregate,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
        as_of_ms: TimestampMs,
    ) -> Result<Self> {
        let start_ms = calendar.span(aggregate.window).start_ms(as_of_ms);
        Self::new(aggregate, tag_type, types, calendar, Tiling::Fixed { start_ms, as_of_ms })
    }

    fn new(
        aggregate: &Aggregate,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
        tiling: Tiling,
    ) -> Result<Self> {
        let with_own = |name: &str| own_type(name).or_else(|| types(name));
        let spec = Spec::new(aggregate, tag_type, &with_own, calendar)?;
        Ok(Self {
            events: aggregate.events.clone(),
            filter: aggregate.filter.clone(),
            value: aggregate.value.clone(),
            spec,
            tiling,
        })
    }

    /// What the state comes to as of an instant, with the reason if the tag cannot hold it.
    pub fn outcome(&self, state: &AggregateState, as_of_ms: TimestampMs) -> Outcome {
        let (first, last) = match &self.tiling {
            Tiling::Sliding(span) => span.range(as_of_ms),
            Tiling::Fixed { .. } => (0, 0),
        };
        let finished =
            state.merged(first, last).map_or(crate::partial::Finished::Nothing, AnyPartial::finish);
        self.spec.outcome(finished, Cell::clone)
    }

    /// The first as-of time after the given one at which a tile with events leaves the window, so
    /// that the value may change without any event; `None` if there is none.
    pub fn next_change(
        &self,
        state: &AggregateState,
        as_of_ms: TimestampMs,
    ) -> Option<TimestampMs> {
        let Tiling::Sliding(span) = &self.tiling else { return None };
        let (first, last) = span.range(as_of_ms);
        span.leaves(state.oldest(first, last)?)
    }

    fn tile(&self, time_ms: TimestampMs) -> Option<i64> {
        match &self.tiling {
            Tiling::Sliding(span) => Some(span.tile(time_ms)),
            Tiling::Fixed { start_ms, as_of_ms } => {
                (*start_ms <= time_ms && time_ms < *as_of_ms).then_some(0)
            }
        }
    }

    fn trim(&self, state: &mut AggregateState) {
        if let (Tiling::Sliding(span), Some(newest)) = (&self.tiling, state.newest()) {
            state.drop_before(span.oldest(newest));
        }
    }
}

/// The type of what every event has.
pub(crate) fn own_type(name: &str) -> Option<ValueType> {
    match name {
        "time" => Some(ValueType::Time),
        "event" => Some(ValueType::Text),
        _ => None,
    }
}

impl Fold for AggregateFold {
    type State = AggregateState;

    fn step(&self, state: &mut AggregateState, event: &EventRow<'_>) {
        if !self.events.is_empty() && !self.events.iter().any(|name| name == event.event) {
            return;
        }
        let Some(tile) = self.tile(event.time_ms) else { return };
        let values = |name: &str| event.value(name);
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(&values)) {
            return;
        }
        let value = match &self.value {
            None => Value::Bool(true).into(),
            Some(scalar) => scalar.compute(&values),
        };
        let stamp = Stamp { time_ms: event.time_ms, message_id: event.message_id };
        self.spec.each_cell(&value, |cell| state.tile(tile, &self.spec).step(stamp, cell));
        self.trim(state);
    }

    fn value(&self, state: &AggregateState, as_of_ms: TimestampMs) -> Option<Value> {
        self.outcome(state, as_of_ms).value()
    }

    fn merge(&self, state: &mut AggregateState, other: &AggregateState) {
        for (tile, partial) in other.tiles() {
            state.tile(*tile, &self.spec).merge(partial);
        }
        self.trim(state);
    }
}
