//! From a definition to the set of its users.

use crate::import::Base;
use crate::leaves::AsOf;
use crate::lookalike::Likeness;
use crate::parts::{Ground, part_sizes};
use crate::sticky::StickyOrder;
use crate::tag_column::TagColumn;
use crate::{Crowds, Error, GivenUsers, IdCounts, Result, anonymous};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_index::Snapshot;
use taghouse_model::{Name, Value};
use taghouse_rules::{
    CompareOp, CrowdCondition, CrowdDefinition, CrowdLookalike, CrowdSample, CrowdSize,
    CrowdSource, CrowdTop, Definitions, Predicate, TopEnd,
};
use tokio_util::sync::CancellationToken;

/// The users of a crowd on one snapshot.
pub(crate) struct Made {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) users: Bitmap,
    /// Of the tags that were used, also through other crowds.
    pub(crate) as_of: AsOf,
    /// What became of the ids that it is made of, if it is.
    pub(crate) ids: Option<IdCounts>,
    /// For how many users each part of its rule holds.
    pub(crate) parts: Vec<u64>,
}

impl Crowds {
    /// Computes who is in a crowd, on the newest snapshot. `given`: what its query or a file says;
    /// `base`: to whom a file adds.
    ///
    /// # Errors
    /// As [`Crowds::compute`].
    pub(crate) async fn made(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        given: Option<&GivenUsers>,
        base: Option<&Base>,
    ) -> Result<Made> {
        let app = &definitions.app.id;
        let snapshot = self.snapshot(app).await?;
        let name = crowd.name.as_str();
        // What reads many ids ends once this is dropped.
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        match &crowd.source {
            CrowdSource::Rule(rule) => self.matched(snapshot, definitions, rule, true).await,
            CrowdSource::Ids(list) => {
                let mut given = self.given_on(&snapshot, app, None).await?;
                let (ids, name) = (list.ids.clone(), name.to_owned());
                blocking(move || {
                    given.add(&ids.iter().map(String::as_str).collect::<Vec<_>>())?;
                    given.made(&name, snapshot)
                })
                .await
            }
            CrowdSource::Top(top) => {
                let dictionary = self.dictionary_of(app, &snapshot)?;
                let among = self.matching(snapshot, definitions, top.among.as_ref()).await?;
                let (top, ties) = (top.clone(), StickyOrder::of(name, &stop));
                blocking(move || first_by(&top, among, &ties, &dictionary)).await
            }
            CrowdSource::Sample(sample) => {
                let dictionary = self.dictionary_of(app, &snapshot)?;
                let of = self.matching(snapshot, definitions, sample.of.as_ref()).await?;
                let (sample, order) = (sample.clone(), StickyOrder::of(&sample.salt, &stop));
                blocking(move || some_of(&sample, of, &order, &dictionary)).await
            }
            CrowdSource::Lookalike(like) => {
                let dictionary = self.dictionary_of(app, &snapshot)?;
                let seed = self.matching(snapshot.clone(), definitions, Some(&like.of)).await?;
                let among = self.matching(snapshot, definitions, like.among.as_ref()).await?;
                let (like, ties) = (like.clone(), StickyOrder::of(name, &stop));
                blocking(move || those_like(&like, &seed, among, &ties, &dictionary)).await
            }
            CrowdSource::Import { .. } => {
                let (Some(given), Some(base)) = (given, base) else {
                    return Err(Error::NeedsImport { crowd: name.to_owned() });
                };
                let made = given.made(name, snapshot)?;
                let users = base.with(made.users, &made.snapshot);
                Ok(Made { users, ..made })
            }
            CrowdSource::Sql { .. } => given
                .ok_or_else(|| Error::NeedsProduction { crowd: name.to_owned() })?
                .made(name, snapshot),
        }
    }

    /// All for whom a condition holds; without one, all users.
    async fn matching(
        &self,
        snapshot: Arc<Snapshot>,
        definitions: &Definitions,
        condition: Option<&CrowdCondition>,
    ) -> Result<Made> {
        let Some(condition) = condition else {
            let users = snapshot.users().as_ref().clone();
            return Ok(Made {
                snapshot,
                users,
                as_of: AsOf::default(),
                ids: None,
                parts: Vec::new(),
            });
        };
        self.matched(snapshot, definitions, condition, false).await
    }

    /// All for whom a condition holds, `with_parts` or without them.
    async fn matched(
        &self,
        snapshot: Arc<Snapshot>,
        definitions: &Definitions,
        condition: &CrowdCondition,
        with_parts: bool,
    ) -> Result<Made> {
        let CrowdCondition { written, checked } = condition.clone();
        let app = &definitions.app.id;
        let others = self.others(app, &checked, snapshot.generation()).await?;
        let as_of = others.as_of(&checked, &snapshot);
        let (now_ms, zone) =
            (self.now_of(&checked, &as_of, definitions), definitions.app.time_zone.clone());
        let expression = self.as_of(&checked, &as_of, definitions);
        blocking::<_, Error>(move || {
            let users = anonymous::query(&snapshot, &expression, &others, None)?.bitmap()?;
            let ground = Ground { snapshot: &snapshot, others: &others, now_ms, zone: &zone };
            let parts = match with_parts {
                true => part_sizes(&written, users.len(), &ground)?,
                false => Vec::new(),
            };
            Ok(Made { snapshot, users, as_of, ids: None, parts })
        })
        .await
    }
}

/// Those `among` others who have the largest or the smallest numbers. Costs passes over bit slices;
/// ids are read of those alone who are equal at the edge.
fn first_by(top: &CrowdTop, among: Made, ties: &StickyOrder, dictionary: &View) -> Result<Made> {
    let Made { snapshot, users, mut as_of, .. } = among;
    let by = top.by.as_str();
    let column = TagColumn::of(&snapshot, by)?;
    column.numbers_for("an order by numbers")?;
    if let Some(tag) = snapshot.info(by) {
        as_of.add(tag.as_of_ms);
    }

    let within = Arc::new(users);
    let numbers = column.numbers(&within)?;
    let with_value = numbers.total()?.users;
    let count = match top.size {
        CrowdSize::Users(users) => users.min(with_value),
        CrowdSize::Share(share) => share.of(with_value),
    };
    let rank = match top.end {
        TopEnd::Highest => with_value - count + 1,
        TopEnd::Lowest => count,
    };
    let edge = if count == 0 { None } else { numbers.at_ranks(&[rank])?.first().copied() };
    let users = match edge.and_then(|edge| column.value(edge)) {
        None => Bitmap::new(),
        Some(edge) => {
            let of = |op: CompareOp| -> Result<Bitmap> {
                let name = by.to_owned();
                let condition: Predicate<Value> =
                    Predicate::Compare { name, op, literal: edge.clone() };
                let all = anonymous::query(&snapshot, &condition, &Default::default(), None)?;
                Ok(all.bitmap()?.and(&within))
            };
            let beyond = match top.end {
                TopEnd::Highest => of(CompareOp::Greater)?,
                TopEnd::Lowest => of(CompareOp::Less)?,
            };
            let left = count.saturating_sub(beyond.len());
            beyond.or(&ties.first(&of(CompareOp::Equal)?, left, dictionary)?)
        }
    };
    Ok(Made { snapshot, users, as_of, ids: None, parts: Vec::new() })
}

/// Those `among` others who are like the users of a seed.
fn those_like(
    like: &CrowdLookalike,
    seed: &Made,
    among: Made,
    ties: &StickyOrder,
    dictionary: &View,
) -> Result<Made> {
    let Made { snapshot, users, mut as_of, .. } = among;
    [seed.as_of.oldest_ms, seed.as_of.newest_ms].into_iter().flatten().for_each(|t| as_of.add(t));
    for tag in like.tags.iter().filter_map(|tag| snapshot.info(tag.as_str())) {
        as_of.add(tag.as_of_ms);
    }
    let base = Arc::new(users.or(&seed.users));
    let candidates = users.and_not(&seed.users);
    let tags: Vec<&str> = like.tags.iter().map(Name::as_str).collect();
    let likeness = Likeness::of(&snapshot, &tags, &Arc::new(seed.users.clone()), &base)?;
    let count = match like.size {
        CrowdSize::Users(users) => users,
        CrowdSize::Share(share) => share.of(candidates.len()),
    };
    let users = likeness.first(&candidates, count, ties, dictionary)?;
    Ok(Made { snapshot, users, as_of, ids: None, parts: Vec::new() })
}

/// Some of these users, by chance.
fn some_of(sample: &CrowdSample, of: Made, order: &StickyOrder, dictionary: &View) -> Result<Made> {
    let users = match sample.size {
        CrowdSize::Users(count) => order.first(&of.users, count, dictionary)?,
        CrowdSize::Share(share) => order.share(&of.users, share, dictionary)?,
    };
    Ok(Made { users, ..of })
}
