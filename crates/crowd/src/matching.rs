//! Which of some users match expressions of a request.

use crate::leaves::OtherCrowds;
use crate::live::LiveCrowd;
use crate::question::NamedQuestion;
use crate::{Crowds, Error, MAX_JUDGED_USERS, Result, anonymous};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::Snapshot;
use taghouse_model::{AppId, Ordinal, TimestampMs, Value};
use taghouse_rules::{Definitions, Predicate};

/// The most expressions of one batch of judgments.
pub const MAX_JUDGED_EXPRESSIONS: usize = 20;

/// Which of some users match which of some expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// One row per user, one answer per expression, both in the order asked.
    pub matches: Vec<Vec<bool>>,
    /// The revision of the index that answered all of them.
    pub revision: u64,
}

/// An expression made ready for some users.
struct Asked {
    name: String,
    expression: Predicate<Value>,
    others: OtherCrowds,
}

impl Crowds {
    /// Which of some users match which expressions, all on the newest snapshot. A user never seen
    /// matches none. Crowds that an expression names are asked for these users alone.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_JUDGED_USERS`] or [`MAX_JUDGED_EXPRESSIONS`];
    /// [`Error::Expression`] names the expression that an error is of, otherwise as
    /// [`Crowds::count`]; of the dictionary.
    pub async fn judge_expressions(
        &self,
        definitions: &Definitions,
        users: &[String],
        questions: &[NamedQuestion],
    ) -> Result<Matches> {
        Error::limit("users", users.len(), MAX_JUDGED_USERS)?;
        Error::limit("expressions", questions.len(), MAX_JUDGED_EXPRESSIONS)?;
        let app = &definitions.app.id;
        let snapshot = self.snapshot(app).await?;
        let dictionary = self.dictionary_of(app, &snapshot)?;
        let deleted = self.asked(app).await?.deleted(snapshot.generation());
        let mut own = Vec::with_capacity(users.len());
        for user in users {
            own.push(self.user_of(app, user).await.into_owned());
        }
        let ordinals: Vec<Option<Ordinal>> = blocking::<_, Error>(move || {
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let mut ordinals = dictionary.lookup(&own)?;
            for ordinal in &mut ordinals {
                ordinal.take_if(|ordinal| {
                    deleted.as_ref().is_some_and(|deleted| deleted.contains(*ordinal))
                });
            }
            Ok(ordinals)
        })
        .await?;
        let within: Arc<Bitmap> = Arc::new(ordinals.iter().flatten().copied().collect());
        let now_ms = self.clock.now_ms();
        let mut asked = Vec::with_capacity(questions.len());
        for NamedQuestion { name, question } in questions {
            let of = |error| Error::of_expression(name, error);
            let expression = question.checked_on(&snapshot, definitions).map_err(of)?;
            let others = self
                .others_within(app, &expression, &snapshot, &within, now_ms)
                .await
                .map_err(of)?;
            let as_of = others.as_of(&expression, &snapshot);
            let expression = self.as_of(&expression, &as_of, definitions);
            asked.push(Asked { name: name.clone(), expression, others });
        }
        blocking(move || {
            let revision = snapshot.revision();
            let mut queries = Vec::with_capacity(asked.len());
            for Asked { name, expression, others } in &asked {
                let query = anonymous::query(&snapshot, expression, others, Some(&within));
                queries.push(query.map_err(|error| Error::of_expression(name, error))?);
            }
            let row = |ordinal: &Option<Ordinal>| -> Result<Vec<bool>> {
                let Some(ordinal) = ordinal else { return Ok(vec![false; queries.len()]) };
                queries.iter().map(|query| Ok(query.contains(*ordinal)?)).collect()
            };
            Ok(Matches { matches: ordinals.iter().map(row).collect::<Result<_>>()?, revision })
        })
        .await
    }

    /// The crowds that `expression` names, as far as they concern the users in `within`, whose
    /// ordinals are the snapshot's.
    async fn others_within(
        &self,
        app: &AppId,
        expression: &Predicate<Value>,
        snapshot: &Arc<Snapshot>,
        within: &Arc<Bitmap>,
        now_ms: TimestampMs,
    ) -> Result<OtherCrowds> {
        let mut others = OtherCrowds::default();
        for name in expression.crowds() {
            if let Some(live) = self.live_crowd(app, name) {
                others.widen(live.as_of_times(snapshot));
                let (snapshot, within) = (snapshot.clone(), within.clone());
                let members = blocking(move || members_within(&live, &snapshot, &within, now_ms));
                others.put(name, Arc::new(members.await?));
                continue;
            }
            let asked = self.other(app, name, snapshot.generation()).await?;
            others.widen(asked.known.version.as_of());
            let within = within.clone();
            let members = blocking::<_, Error>(move || {
                let mut members = Vec::new();
                for ordinal in within.iter() {
                    if asked.contains(ordinal)? {
                        members.push(ordinal);
                    }
                }
                Ok(Bitmap::from_sorted(&members))
            });
            others.put(name, Arc::new(members.await?));
        }
        Ok(others)
    }
}

fn members_within(
    live: &LiveCrowd,
    snapshot: &Arc<Snapshot>,
    within: &Arc<Bitmap>,
    now_ms: TimestampMs,
) -> Result<Bitmap> {
    let query = live.query(snapshot, now_ms, within)?;
    let mut members = Vec::new();
    for ordinal in within.iter() {
        if query.contains(ordinal)? {
            members.push(ordinal);
        }
    }
    Ok(Bitmap::from_sorted(&members))
}
