use crate::groups::most_users;
use crate::population::produced;
use crate::{Crowds, Error, Question, Result};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_index::{UserSet, overlap};
use taghouse_model::{AppId, Value};
use taghouse_rules::Definitions;

/// The most values of one answer.
pub const MAX_TOP: usize = 10_000;

/// A value and who has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueUsers {
    /// The value; of a set tag, one member.
    pub value: Value,
    /// How many users have it.
    pub users: u64,
    /// Their share of the users asked about, 0 to 1.
    pub share: f64,
}

/// The most frequent values of a tag among some users.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    /// Most users first, values of as many users in order.
    pub values: Vec<ValueUsers>,
    /// How many different values the users asked about have.
    pub distinct: usize,
    /// The users asked about.
    pub users: u64,
    /// How many of them have a value.
    pub with_value: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

impl Crowds {
    /// The `limit` most frequent values of a tag, among the users who match the question or all
    /// users. Exact, also for numbers: with few different numbers it takes passes over slices;
    /// otherwise it reads the numbers of all these users and keeps each different one in memory,
    /// which takes seconds for 100 million.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_TOP`]; [`Error::UnknownTag`]; as [`Crowds::count`].
    pub async fn top(
        &self,
        app: &AppId,
        definitions: &Definitions,
        within: Option<&Question>,
        tag: &str,
        limit: usize,
    ) -> Result<Top> {
        Error::limit("values", limit, MAX_TOP)?;
        let within = self.population(app, definitions, within).await?;
        produced(&within.snapshot, definitions, [tag])?;
        let tag = tag.to_owned();
        blocking(move || {
            let column = within.column(&tag)?;
            let set = within.set()?;
            let (values, counts, with_value): (Vec<Value>, Vec<u64>, u64) =
                if column.value_type.is_number() {
                    let counts = column.number_counts(&set)?;
                    let with_value = counts.iter().map(|(_, users)| users).sum();
                    let (values, counts) = counts
                        .into_iter()
                        .filter_map(|(units, users)| Some((column.value(units)?, users)))
                        .unzip();
                    (values, counts, with_value)
                } else {
                    let (values, members): (Vec<Value>, Vec<UserSet>) =
                        column.sets()?.into_iter().unzip();
                    let counts = overlap(&[UserSet::Owned(Arc::clone(&set))], &members, None)?;
                    (values, counts, set.and_len(column.existence()?.as_ref()))
                };
            let top = most_users(&counts, limit).into_iter().filter_map(|place| {
                let users = *counts.get(place)?;
                Some(ValueUsers {
                    value: values.get(place)?.clone(),
                    users,
                    share: share(users, set.len()),
                })
            });
            Ok(Top {
                values: top.collect(),
                distinct: counts.iter().filter(|users| **users > 0).count(),
                users: set.len(),
                with_value,
                revision: within.snapshot.revision(),
            })
        })
        .await
    }
}

/// `part` divided by `whole`; 0 if `whole` is 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
