//! Rollouts: a version comes to users share by share.
//!
//! A stage is a version of its own, made of two: whoever is in the share is a member if the version
//! that is rolled out has them, everybody else if the version from before does. So judgments,
//! sizes, exports and the membership history know nothing of rollouts, and go by one set.

use crate::adjust::filtered;
use crate::bucket::Buckets;
use crate::compute::{Computed, Edit};
use crate::version::{Blend, Rollout};
use crate::{CrowdVersion, CrowdVersions, Crowds, Error, Result, Waits};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::TimestampMs;
use taghouse_rules::{CrowdCondition, CrowdDefinition, CrowdSource, Definitions, Share};

impl Crowds {
    /// Lets a version that was just computed answer, at once or share by share.
    pub(crate) async fn let_answer(
        &self,
        edit: &mut Edit<'_>,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        mut computed: Computed,
    ) -> Result<CrowdVersion> {
        let now_ms = self.clock.now_ms();
        let running = edit.versions.rollout.clone();
        let Some(mut rollout) =
            running.or_else(|| edit.versions.planned(&computed.version, now_ms))
        else {
            let version = self.add(edit, computed).await?;
            edit.versions.answer_with(version.version, now_ms);
            return Ok(version);
        };

        // First the rule from before, so that the newest version is of the new one.
        self.refresh_former(edit, definitions, crowd, &mut rollout).await?;
        computed.version.version = edit.versions.last() + 1;
        let mut version = self.add(edit, computed).await?;
        rollout.to = version.version;
        edit.versions.rollout = Some(rollout);
        match self.blend(edit, now_ms).await {
            Err(error) if is_lost(&error) => {
                tracing::warn!(%error, crowd = edit.crowd, "a rollout ends, for the version from before it cannot be read");
                let lost = "the version from before the rollout cannot be read".to_owned();
                edit.versions.rollout = None;
                version.waits = Some(Waits::Check(lost));
                if let Some(kept) = edit.versions.get_mut(version.version) {
                    *kept = version.clone();
                }
            }
            blended => blended?,
        }
        Ok(version)
    }

    /// While a new rule is rolled out, those outside of the share are to be seen by the old rule as
    /// of today. An old rule that cannot be evaluated any more, or is the same, stays as it was.
    async fn refresh_former(
        &self,
        edit: &mut Edit<'_>,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        rollout: &mut Rollout,
    ) -> Result<()> {
        let Some(former) = edit.versions.get(rollout.from) else { return Ok(()) };
        if former.expression == crowd.source.to_string() {
            return Ok(());
        }
        let text = former.expression.clone();
        let Ok((written, checked)) = definitions.check_expression(&text) else { return Ok(()) };
        let source = CrowdSource::Rule(CrowdCondition { written, checked });
        let of_former = CrowdDefinition { source, ..crowd.clone() };
        match self.computed(definitions, &of_former, None, None, edit.versions.last() + 1).await {
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
            return self.switch(edit, version).await;
        }
        let blended = self.blended(edit, &rollout).await?;
        let version = self.add(edit, blended).await?.version;
        edit.versions.answer_with(version, now_ms);
        if let Some(to) = edit.versions.get_mut(rollout.to) {
            to.waits = None;
        }
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
            ids: None,
            rows: None,
            parts: Vec::new(),
            without_deleted,
            created_ms: self.clock.now_ms(),
            object: String::new(),
            waits: None,
            pinned: false,
            blend: Some(Blend { from: from.version, to: to.version, parts: rollout.parts }),
            adjusted: to.adjusted,
        };
        Ok(Computed { version, set: Arc::new(set), rows: None })
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

/// Whether a version can never be read again.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. } | Error::OldGeneration { .. } | Error::UnknownVersion { .. }
    )
}
