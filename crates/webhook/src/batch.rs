//! What one request carries.

use crate::letter::Letter;
use bytes::Bytes;
use taghouse_model::{AppId, Name};
use taghouse_sink::Outgoing;
use xxhash_rust::xxh3::xxh3_128;

/// An event that waits to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    /// The id of the first record that is not done before this event is.
    pub(crate) low: u64,
    /// When what it says came about.
    pub(crate) at_ms: i64,
    /// Its id, for the delivery log.
    pub(crate) id: String,
    /// The event.
    pub(crate) json: String,
}

impl Pending {
    pub(crate) fn new(low: u64, at_ms: i64, outgoing: &Outgoing) -> Self {
        let id = outgoing.event["id"].as_str().unwrap_or_default().to_owned();
        Self { low, at_ms, id, json: outgoing.event.to_string() }
    }
}

/// Events that are sent together, as CloudEvents has it: an array of them.
pub(crate) struct Batch {
    /// Follows from what it carries: the same for each attempt.
    pub(crate) id: String,
    pub(crate) events: Vec<Pending>,
    pub(crate) body: Bytes,
}

impl Batch {
    pub(crate) const CONTENT_TYPE: &str = "application/cloudevents-batch+json; charset=UTF-8";

    pub(crate) fn of(app: &AppId, sink: &Name, events: Vec<Pending>) -> Self {
        let bytes: usize = events.iter().map(|event| event.json.len() + 1).sum();
        let mut body = String::with_capacity(bytes + 2);
        for event in &events {
            body.push(if body.is_empty() { '[' } else { ',' });
            body.push_str(&event.json);
        }
        body.push(']');
        let id = format!("{app}-{sink}-{:032x}", xxh3_128(body.as_bytes()));
        Self { id, events, body: body.into() }
    }

    /// What is posted of it.
    pub(crate) fn letter(&self) -> Letter {
        let (id, body) = (self.id.clone(), self.body.clone());
        Letter { id, content_type: Self::CONTENT_TYPE, body }
    }

    /// The instant of its newest event.
    pub(crate) fn newest_ms(&self) -> i64 {
        self.events.iter().map(|event| event.at_ms).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array_and_has_the_same_id_again() {
        let event = |low: u64| Pending {
            low,
            at_ms: 10 * low as i64,
            id: format!("shop-{low}"),
            json: format!("{{\"id\":\"shop-{low}\"}}"),
        };
        let (app, sink) = (AppId::new("shop").unwrap(), Name::new("crm").unwrap());
        let batch = Batch::of(&app, &sink, vec![event(1), event(2)]);
        assert_eq!(&batch.body[..], br#"[{"id":"shop-1"},{"id":"shop-2"}]"#);
        assert_eq!(batch.newest_ms(), 20);
        let again = Batch::of(&app, &sink, vec![event(1), event(2)]);
        let other = Batch::of(&app, &sink, vec![event(1)]);
        assert!(batch.id == again.id && batch.id != other.id && batch.id.starts_with("shop-crm-"));
    }
}
