use crate::question::Ready;
use crate::tag_column::TagColumn;
use crate::top::share;
use crate::{Crowds, Error, Question, Result};
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::{UserSet, overlap};
use taghouse_model::{AppId, Value};
use taghouse_rules::{CompareOp, Definitions, Predicate};

/// The most rows, and the most columns, of one call.
pub const MAX_OVERLAP_ITEMS: usize = 1000;

/// How many users each row expression has in common with each column expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaps {
    /// How many users each row has.
    pub rows: Vec<u64>,
    /// How many users each column has.
    pub columns: Vec<u64>,
    /// How many they share, row by row.
    pub counts: Vec<u64>,
    /// Users that exist.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

impl Overlaps {
    /// How many users a row and a column share.
    pub fn count(&self, row: usize, column: usize) -> Option<u64> {
        let columns = self.columns.len();
        if column < columns { self.counts.get(row * columns + column).copied() } else { None }
    }

    /// The Jaccard index, 0 to 1: users in both divided by users in either. `None` if nobody is in
    /// either.
    pub fn jaccard(&self, row: usize, column: usize) -> Option<f64> {
        let both = self.count(row, column)?;
        let either = self.rows.get(row)? + self.columns.get(column)? - both;
        (either > 0).then(|| share(both, either))
    }
}

impl Crowds {
    /// The exact overlap of every row with every column; without `columns`, of the rows with one
    /// another. All of one snapshot.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_OVERLAP_ITEMS`] of either; as [`Crowds::count`], for each.
    pub async fn overlaps(
        &self,
        app: &AppId,
        definitions: &Definitions,
        rows: &[Question],
        columns: Option<&[Question]>,
    ) -> Result<Overlaps> {
        Error::limit("rows of an overlap", rows.len(), MAX_OVERLAP_ITEMS)?;
        Error::limit(
            "columns of an overlap",
            columns.map_or(0, <[Question]>::len),
            MAX_OVERLAP_ITEMS,
        )?;
        let snapshot = self.snapshot(app).await?;
        let mut asked = Vec::with_capacity(rows.len() + columns.map_or(0, <[Question]>::len));
        for question in rows.iter().chain(columns.into_iter().flatten()) {
            asked.push(self.ready_on(Arc::clone(&snapshot), app, definitions, question).await?);
        }
        let (rows, square) = (rows.len(), columns.is_none());
        blocking(move || {
            let mut stored = StoredValues::default();
            let sets: Vec<UserSet> =
                asked.iter().map(|ready| stored.members(ready)).collect::<Result<_>>()?;
            let (rows, columns) = sets.split_at(rows.min(sets.len()));
            let columns = if square { rows } else { columns };
            Ok(Overlaps {
                counts: overlap(rows, columns, None)?,
                rows: rows.iter().map(UserSet::len).collect(),
                columns: columns.iter().map(UserSet::len).collect(),
                users: snapshot.users().len(),
                revision: snapshot.revision(),
            })
        })
        .await
    }
}

/// The values of the tags asked for. Each tag is read once.
#[derive(Default)]
struct StoredValues(HashMap<String, HashMap<Value, UserSet>>);

impl StoredValues {
    /// The users who match an expression. A crowd and a plain value of a tag are taken without a
    /// copy.
    fn members(&mut self, ready: &Ready) -> Result<UserSet> {
        let users = ready.snapshot.users();
        match &ready.expression {
            Predicate::Crowd { name } => {
                let crowd = ready.others.set(name);
                if let Some(crowd) = crowd.filter(|crowd| crowd.is_subset(users)) {
                    return Ok(UserSet::Owned(crowd));
                }
            }
            Predicate::Compare {
                name,
                op: CompareOp::Equal,
                literal: literal @ (Value::Text(_) | Value::Bool(_)),
            } => {
                if !self.0.contains_key(name) {
                    let column = TagColumn::of(&ready.snapshot, name)?;
                    self.0.insert(name.clone(), column.sets()?.into_iter().collect());
                }
                let found = self.0.get(name).and_then(|values| values.get(literal));
                return Ok(found
                    .cloned()
                    .unwrap_or_else(|| UserSet::Owned(Arc::new(Bitmap::new()))));
            }
            _ => {}
        }
        Ok(UserSet::Owned(Arc::new(ready.query()?.bitmap()?)))
    }
}
