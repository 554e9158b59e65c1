//! Rollouts: a version comes to users share by share.
//!
//! A stage is a version of its own, made of two: whoever is in the share is a member if the version
//! that is rolled out has them, everybody else if the version from before does. So judgments,
//! sizes, exports and the membership history know nothing of rollouts, and go by one set.

use crate::adjust::filtered;
use crate::bucket::Buckets;
use crate::compute::{Computed, Edit};
use crate::version::{Blend, Rollout};
use crate::{CrowdVersion, CrowdVersions, Crowds, Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::TimestampMs;
use taghouse_model::Value;
use taghouse_rules::{CrowdDefinition, Definitions, Predicate, Share};

impl Crowds {
    /// The rollout with which the first version of a new rule begins, if its definition has a plan.
    pub(crate) fn planned(
        &self,
        crowd: &CrowdDefinition,
        versions: &CrowdVersions,
        to: u64,
        now_ms: TimestampMs,
    ) -> Option<Rollout> {
        let plan = crowd.policy.rollout.as_ref()?;
        let from = versions.get(versions.current)?;
        let is_new_rule = versions.get(to).is_some_and(|to| to.expression != from.expression);
        let (first, others) = plan.stages.split_first().filter(|_| is_new_rule)?;
        Some(Rollout {
            from: from.version,
            to,
            parts: first.parts(),
            stages: others.iter().map(|share| share.parts()).collect(),
            every_ms: Some(plan.every_ms),
            since_ms: now_ms,
        })
    }

    /// While a new rule is rolled out, those outside of the share are to be seen by the old rule as
    /// of today. An old rule that cannot be evaluated any more, or is the same, stays as it was.
    pub(crate) async fn refresh_former(
        &self,
        edit: &mut Edit<'_>,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        rollout: &mut Rollout,
    ) -> Result<()> {
        let Some(former) = edit.versions.get(rollout.from) else { return Ok(()) };
        if former.expression == crowd.expression.to_string() {
            return Ok(());
        }
        let text = former.expression.clone();
        let Ok((expression, checked)) = definitions.check_expression(&text) else { return Ok(()) };
        let of_former = former_rule(crowd, expression, checked);
        match self.computed(definitions, &of_former, edit.versions.last() + 1).await {
            Ok(computed) => {
                rollout.from = self.add(edit, computed).await?.version;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, crowd = edit.crowd, "the rule from before the rollout cannot be evaluated any more; whoever is outside of the share keeps what they had");
                Ok(())
            }
        }
    }

    /// Makes the version of the present stage, and lets it answer; of all users, the version that is
    /// rolled out itself.
    pub(crate) async fn blend(&self, edit: &mut Edit<'_>, now_ms: TimestampMs) -> Result<()> {
        let Some(rollout) = edit.versions.rollout.clone() else { return Ok(()) };
        let end = match rollout.share() {
            Share::NOBODY => Some(rollout.from),
            Share::EVERYBODY => Some(rollout.to),
            _ => None,
        };
        if let Some(version) = end {
            edit.versions.rollout = None;
            edit.versions.answer_with(version, now_ms);
            return Ok(());
        }
        let blended = self.blended(edit, &rollout).await?;
        let version = self.add(edit, blended).await?.version;
        edit.versions.answer_with(version, now_ms);
        Ok(())
    }

    async fn blended(&self, edit: &Edit<'_>, rollout: &Rollout) -> Result<Computed> {
        let Edit { app, crowd, versions, .. } = edit;
        let (from, from_set) = self.whole(edit, rollout.from).await?;
        let (to, to_set) = self.whole(edit, rollout.to).await?;
        if from.generation != to.generation {
            return Err(Error::OldGeneration { crowd: (*crowd).to_owned(), version: from.version });
        }
        let dictionary = self.view_of(app, crowd, &to)?;
        let deleted = self.asked(app).await?.deleted(to.generation);
        let (buckets, share) = (Buckets::of(app, "rollout", crowd), rollout.share());
        let without_deleted = deleted.as_ref().map_or(0, |deleted| deleted.len());
        let set = blocking::<_, Error>(move || {
            // Only of whom the two differ it matters who is in the share.
            let enter = to_set.and_not(&from_set);
            let leave = from_set.and_not(&to_set);
            let in_share = |id: &str| buckets.holds(share, id);
            let enter = filtered(&dictionary, &enter, &in_share)?;
            let leave = filtered(&dictionary, &leave, &in_share)?;
            let mixed = from_set.or(&enter).and_not(&leave);
            Ok(deleted.map_or(mixed.clone(), |deleted| mixed.and_not(&deleted)))
        })
        .await?;
        let version = CrowdVersion {
            version: versions.last() + 1,
            size: set.len(),
            revision: to.revision,
            generation: to.generation,
            oldest_as_of_ms: from.oldest_as_of_ms.into_iter().chain(to.oldest_as_of_ms).min(),
            newest_as_of_ms: from.newest_as_of_ms.into_iter().chain(to.newest_as_of_ms).max(),
            expression: to.expression.clone(),
            without_deleted,
            created_ms: self.clock.now_ms(),
            object: String::new(),
            waits: None,
            pinned: false,
            blend: Some(Blend { from: from.version, to: to.version, parts: rollout.parts }),
            adjusted: to.adjusted,
        };
        Ok(Computed { version, set: Arc::new(set) })
    }

    /// A version of a record that is being edited, and its members as stored.
    async fn whole(&self, edit: &Edit<'_>, version: u64) -> Result<(CrowdVersion, Arc<Bitmap>)> {
        let Some(version) = edit.versions.get(version).cloned() else {
            return Err(unknown(edit.crowd, version, &edit.versions));
        };
        let known = self.state(edit.app).known_version(edit.crowd, &version);
        let set = self.set(&known).await?;
        let set = blocking(move || set.bitmap_without(None)).await?;
        Ok((version, set))
    }
}

/// That a version is not kept, and which are.
pub(crate) fn unknown(crowd: &str, version: u64, versions: &CrowdVersions) -> Error {
    let kept: Vec<String> =
        versions.versions.iter().map(|version| version.version.to_string()).collect();
    Error::UnknownVersion { crowd: crowd.to_owned(), version, kept: kept.join(", ") }
}

/// The crowd by the rule that it had.
fn former_rule(
    crowd: &CrowdDefinition,
    expression: Predicate,
    checked: Predicate<Value>,
) -> CrowdDefinition {
    CrowdDefinition { expression, checked, ..crowd.clone() }
}
