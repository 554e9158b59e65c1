//! Values that changed, as changes of the index.

use crate::Result;
use crate::members::Members;
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_index::{ChangeColumn, Changes, Op, TagChange, TagChanges, units_of_value};
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_users::SharedUsers;

/// A user's value of a tag from now on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewValue {
    pub(crate) ordinal: Ordinal,
    /// `None`: the user has none any more.
    pub(crate) value: Option<Value>,
}

/// Collects the changes of a step.
pub(crate) struct Emission {
    changes: Changes,
    count: u64,
}

impl Emission {
    /// Of ordinals of a generation; `fresh` are users that exist from now on.
    pub(crate) fn new(generation: u64, fresh: &[Ordinal]) -> Self {
        let users = fresh.to_vec();
        Self { changes: Changes { generation, users, ..Changes::default() }, count: 0 }
    }

    /// A tag's new values; each user stands there once.
    pub(crate) fn add(&mut self, tag: &Name, value_type: ValueType, values: &[Changed]) {
        self.count += values.len() as u64;
        let mut columns = Columns::default();
        for Changed { now: NewValue { ordinal, value }, .. } in values {
            match value {
                None => columns.unset.push(*ordinal),
                Some(Value::Text(text)) => columns.text(*ordinal, text),
                Some(value) => match units_of_value(value, value_type) {
                    Some(units) => {
                        columns.numbered.push(*ordinal);
                        columns.numbers.push(units);
                    }
                    None => self.changes.points.push(TagChange {
                        tag: tag.clone(),
                        ordinal: *ordinal,
                        op: Op::Set(value.clone()),
                    }),
                },
            }
        }
        columns.add_to(&mut self.changes, tag);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.changes.users.is_empty()
    }

    /// The changes, and how many.
    pub(crate) fn finish(self) -> (Changes, u64) {
        (self.changes, self.count)
    }
}

/// What a step came to.
pub(crate) struct Shown {
    pub(crate) changed: ChangedTags,
    /// Users who exist from now on.
    pub(crate) fresh: Vec<Ordinal>,
    /// The log position up to which calls were seen.
    pub(crate) position: u64,
}

impl Stream {
    /// Shows changed values in the index, and tells of them; how many.
    pub(crate) async fn emit(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        shown: Shown,
    ) -> Result<u64> {
        let mut emission = Emission::new(state.generation, &shown.fresh);
        for (tag, changed) in &shown.changed {
            let tag = &state.plan.tags[*tag];
            if !tag.is_crowd {
                emission.add(&tag.name, tag.value_type, changed);
            }
        }
        if emission.is_empty() && shown.changed.is_empty() {
            return Ok(0);
        }
        users.declare(&state.plan.tag_definitions()).await?;
        let (changes, count) = emission.finish();
        users.apply(changes).await?;
        self.tell_values(state, members, users, shown).await?;
        Ok(count)
    }
}

#[derive(Default)]
struct Columns {
    unset: Vec<Ordinal>,
    numbered: Vec<Ordinal>,
    numbers: Vec<i64>,
    with_text: Vec<Ordinal>,
    codes: Vec<u32>,
    texts: Vec<Arc<str>>,
    known: BTreeMap<Arc<str>, u32>,
}

impl Columns {
    fn text(&mut self, ordinal: Ordinal, text: &Arc<str>) {
        let next = self.texts.len() as u32;
        let code = *self.known.entry(text.clone()).or_insert(next);
        if code == next {
            self.texts.push(text.clone());
        }
        self.with_text.push(ordinal);
        self.codes.push(code);
    }

    fn add_to(self, changes: &mut Changes, tag: &Name) {
        let Self { unset, numbered, numbers, with_text, codes, texts, .. } = self;
        let columns = [
            (unset, ChangeColumn::Unset),
            (numbered, ChangeColumn::Numbers(numbers)),
            (with_text, ChangeColumn::Texts { texts, codes }),
        ];
        for (ordinals, column) in columns.into_iter().filter(|(users, _)| !users.is_empty()) {
            changes.columns.push(TagChanges { tag: tag.clone(), ordinals, column });
        }
    }
}
