//! Users who are given by their ids: those of a list, or what a query says.

use crate::leaves::AsOf;
use crate::made::Made;
use crate::{Crowds, Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_identities::AppIdentities;
use taghouse_index::Snapshot;
use taghouse_model::{AppId, TimestampMs};

/// What became of the ids that made a crowd. The rest of them are its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdCounts {
    /// How many there were.
    pub given: u64,
    /// How many belong to no user, the rows of a query without an id among them.
    pub unknown: u64,
    /// How many were of a user whom another one had given already.
    pub duplicates: u64,
    /// How many rows of a file hold nothing that can be an id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invalid: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenId {
    /// It is of a user who was not given before.
    Matched,
    /// It is of nobody.
    Unknown,
    /// It is of a user whom another one had given already.
    Duplicate,
}

/// Users given by their ids, some at a time. In memory is a bitmap of them.
pub struct GivenUsers {
    dictionary: View,
    identities: Option<Arc<AppIdentities>>,
    as_of_ms: Option<TimestampMs>,
    /// Who exists.
    users: Arc<Bitmap>,
    found: Bitmap,
    given: u64,
    matched: u64,
    invalid: u64,
}

impl Crowds {
    /// Nobody yet. `as_of_ms`: what said the ids is as of this time.
    ///
    /// # Errors
    /// [`Error::NoTags`], [`Error::OldIndex`]; the identities cannot be read.
    pub async fn given_users(
        &self,
        app: &AppId,
        as_of_ms: Option<TimestampMs>,
    ) -> Result<GivenUsers> {
        let snapshot = self.snapshot(app).await?;
        self.given_on(&snapshot, app, as_of_ms).await
    }

    /// The same, by the numbers of a snapshot.
    pub(crate) async fn given_on(
        &self,
        snapshot: &Snapshot,
        app: &AppId,
        as_of_ms: Option<TimestampMs>,
    ) -> Result<GivenUsers> {
        Ok(GivenUsers {
            dictionary: self.dictionary_of(app, snapshot)?,
            identities: self.identities_of(app).await?,
            as_of_ms,
            users: snapshot.users().clone(),
            found: Bitmap::new(),
            given: 0,
            matched: 0,
            invalid: 0,
        })
    }

    /// Those of these ids that belong to no user, in their order, up to `most`.
    ///
    /// # Errors
    /// As [`Crowds::given_users`].
    pub async fn unknown_ids<'i>(
        &self,
        app: &AppId,
        ids: &'i [String],
        most: usize,
    ) -> Result<Vec<&'i str>> {
        let snapshot = self.snapshot(app).await?;
        let given = self.given_on(&snapshot, app, None).await?;
        let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
        let ordinals = given.look_up(&texts)?;
        let is_known =
            |ordinal: Option<u32>| ordinal.is_some_and(|ordinal| given.users.contains(ordinal));
        let unknown = texts.into_iter().zip(ordinals).filter(|(_, ordinal)| !is_known(*ordinal));
        Ok(unknown.map(|(id, _)| id).take(most).collect())
    }
}

impl GivenUsers {
    /// Adds the users of these ids, and says of each id what became of it. Not for a thread that
    /// answers requests.
    ///
    /// # Errors
    /// Of the dictionary.
    pub fn add(&mut self, ids: &[&str]) -> Result<Vec<GivenId>> {
        self.given += ids.len() as u64;
        let ordinals = self.look_up(ids)?;
        let mut each = |ordinal: Option<u32>| {
            let Some(ordinal) = ordinal.filter(|ordinal| self.users.contains(*ordinal)) else {
                return GivenId::Unknown;
            };
            self.matched += 1;
            match self.found.insert(ordinal) {
                true => GivenId::Matched,
                false => GivenId::Duplicate,
            }
        };
        Ok(ordinals.into_iter().map(&mut each).collect())
    }

    /// Whether nobody was given.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many of these ids are of users. Nobody is added.
    ///
    /// # Errors
    /// Of the dictionary.
    pub fn known(&self, ids: &[&str]) -> Result<usize> {
        let ordinals = self.look_up(ids)?;
        Ok(ordinals.into_iter().flatten().filter(|ordinal| self.users.contains(*ordinal)).count())
    }

    /// Counts rows of a file that hold no id.
    pub fn add_invalid(&mut self, count: u64) {
        self.given += count;
        self.invalid += count;
    }

    /// Counts rows that have none.
    pub fn add_missing(&mut self, count: u64) {
        self.given += count;
    }

    /// That of the users' numbers.
    pub(crate) fn generation(&self) -> u64 {
        self.dictionary.generation()
    }

    fn look_up(&self, ids: &[&str]) -> Result<Vec<Option<u32>>> {
        let Some(identities) = &self.identities else { return Ok(self.dictionary.lookup(ids)?) };
        let users = identities.with(|mapping| {
            let user = |id: &&str| mapping.resolve(id).cloned();
            ids.iter().map(user).collect::<Vec<Option<Arc<str>>>>()
        });
        let users = users.iter().zip(ids).map(|(user, id)| user.as_deref().unwrap_or(id));
        Ok(self.dictionary.lookup(&users.collect::<Vec<_>>())?)
    }

    /// Those of them who exist.
    pub(crate) fn made(&self, crowd: &str, snapshot: Arc<Snapshot>) -> Result<Made> {
        if self.dictionary.generation() != snapshot.generation() {
            return Err(Error::Renumbered { crowd: crowd.to_owned() });
        }
        let users = self.found.and(snapshot.users());
        // Of who was deleted since, the first row counts as unknown.
        let counts = IdCounts {
            given: self.given,
            unknown: self.given - self.matched - self.invalid + (self.found.len() - users.len()),
            duplicates: self.matched - self.found.len(),
            invalid: self.invalid,
        };
        let as_of = AsOf { oldest_ms: self.as_of_ms, newest_ms: self.as_of_ms };
        Ok(Made { snapshot, users, as_of, ids: Some(counts), parts: Vec::new() })
    }
}
