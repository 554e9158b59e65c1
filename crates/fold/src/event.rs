use taghouse_model::{TimestampMs, Value};

/// One event as a fold sees it.
#[derive(Clone, Copy)]
pub struct EventRow<'a> {
    /// Name of the event.
    pub event: &'a str,
    /// When it happened.
    pub time_ms: TimestampMs,
    /// Unique; orders events of one time.
    pub message_id: &'a str,
    /// Its properties by name. `time` and `event` need not be among them.
    pub properties: &'a dyn Fn(&str) -> Option<Value>,
}

impl EventRow<'_> {
    /// A property, or `time` or `event`.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        match name {
            "time" => Some(Value::Time(self.time_ms)),
            "event" => Some(Value::text(self.event)),
            _ => (self.properties)(name),
        }
    }
}

/// A pure computation over the events of one user. Steps may come in any order and in any split:
/// the value is the same.
pub trait Fold {
    /// What is kept of a user's events.
    type State: Clone + Default;

    /// Takes one event in.
    fn step(&self, state: &mut Self::State, event: &EventRow<'_>);

    /// The value as of an instant; events count that happened before it.
    fn value(&self, state: &Self::State, as_of_ms: TimestampMs) -> Option<Value>;

    /// Takes in what another state of the same user has seen.
    fn merge(&self, state: &mut Self::State, other: &Self::State);
}
