use super::values::{TagValues, ValuesBuilder};
use crate::attribute::AttributeReader;
use crate::input::{Stamps, stamps, text, time};
use crate::partial::{Edge, Finished, Partial, Text};
use crate::texts::Texts;
use crate::{Calendar, Outcome, Result};
use arrow::array::{Array, StringArray};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use std::sync::Arc;
use taghouse_model::{TimestampMs, ValueType};

/// Which attributes a pass over the table of attributes looks at. Shared by all workers.
#[derive(Debug)]
pub struct AttributePlan {
    as_of_ms: TimestampMs,
    calendar: Calendar,
    names: HashMap<String, usize>,
    tags: Vec<(usize, ValueType)>,
}

impl AttributePlan {
    /// A plan for tags, each the latest value of an attribute before the as-of time as its type.
    pub fn new(tags: &[(&str, ValueType)], calendar: &Calendar, as_of_ms: TimestampMs) -> Self {
        let mut names = HashMap::new();
        let mut planned = Vec::with_capacity(tags.len());
        for (name, ty) in tags {
            let next = names.len();
            planned.push((*names.entry((*name).to_owned()).or_insert(next), *ty));
        }
        Self { as_of_ms, calendar: calendar.clone(), names, tags: planned }
    }

    /// The columns that a batch must have.
    pub fn columns() -> [&'static str; 4] {
        ["name", "value", "time", "message_id"]
    }
}

/// A batch of the table of attributes.
pub struct AttributeBatch<'a> {
    names: &'a StringArray,
    values: &'a StringArray,
    stamps: Stamps<'a>,
}

impl<'a> AttributeBatch<'a> {
    /// Binds a batch.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] if one of the columns is not there.
    pub fn new(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            names: text(batch, "name")?,
            values: text(batch, "value")?,
            stamps: stamps(time(batch)?, text(batch, "message_id")?),
        })
    }
}

/// One worker's pass over attributes.
pub struct BatchAttributes {
    plan: Arc<AttributePlan>,
    /// For each attribute the latest row of each user; no text: the value was taken away.
    latest: Vec<Vec<Edge<Option<Text>, true>>>,
    texts: Texts,
}

impl BatchAttributes {
    /// A worker with no users yet.
    pub fn new(plan: Arc<AttributePlan>) -> Self {
        let latest = vec![Vec::new(); plan.names.len()];
        Self { plan, latest, texts: Texts::default() }
    }

    /// Takes in some rows: `users[i]` is whose row `rows[i]` is. Rows at or after the as-of time
    /// are passed over.
    pub fn step_batch(&mut self, batch: &AttributeBatch<'_>, rows: &[u32], users: &[u32]) {
        for (row, user) in rows.iter().zip(users) {
            let at = *row as usize;
            let Some(attribute) = self.plan.names.get(batch.names.value(at)) else { continue };
            if batch.stamps.time_ms(*row) >= self.plan.as_of_ms {
                continue;
            }
            let value =
                batch.values.is_valid(at).then(|| self.texts.intern(batch.values.value(at)));
            let states = &mut self.latest[*attribute];
            let user = *user as usize;
            if states.len() <= user {
                states.resize_with(user + 1, Edge::default);
            }
            states[user].step(batch.stamps.stamp(*row), value, &self.texts);
        }
    }

    /// When the value of one of the plan's tags came that user 0 to `users` have;
    /// [`TimestampMs::MIN`]: none came before the as-of time.
    pub fn latest_ms(&self, tag: usize, users: usize) -> Vec<TimestampMs> {
        let rows = self.plan.tags.get(tag).and_then(|(attribute, _)| self.latest.get(*attribute));
        let of = |user: usize| {
            rows.and_then(|rows| rows.get(user)?.time_ms()).unwrap_or(TimestampMs::MIN)
        };
        (0..users).map(of).collect()
    }

    /// The values of users 0 to `users`, of each tag in the plan's order.
    pub fn finish(self, users: usize) -> Vec<TagValues> {
        let finish = |(attribute, ty): &(usize, ValueType)| {
            // Attributes mostly have few different texts: each is read once.
            let mut read: HashMap<Text, Outcome> = HashMap::new();
            let mut reader = AttributeReader::new(*ty, &self.plan.calendar);
            let mut values = ValuesBuilder::new(*ty);
            for user in 0..users {
                let state = self.latest[*attribute].get(user).cloned().unwrap_or_default();
                values.push(match state.finish(&self.texts) {
                    Finished::Key(Some(text)) => read
                        .entry(text)
                        .or_insert_with(|| reader.read(self.texts.get(text)))
                        .clone(),
                    _ => Outcome::Nothing,
                });
            }
            values.finish()
        };
        self.plan.tags.iter().map(finish).collect()
    }
}
