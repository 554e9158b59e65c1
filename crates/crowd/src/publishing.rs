//! What people do with versions: publish one, go back to an older one, pin it, roll it out.
//!
//! Each is one swap of the crowd's pointer. A version is read before it is let to answer, so one
//! whose object is damaged, or from before the users were renumbered, never does.

use crate::compute::Edit;
use crate::crowds::POINTER_KIND;
use crate::known::versions_of;
use crate::rollout::unknown;
use crate::version::Rollout;
use crate::{CrowdVersion, CrowdVersions, Crowds, Error, Result, Waits};
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::Share;

/// How often an edit begins again because another was published first.
const ATTEMPTS: u32 = 10;

/// How a version is to come to users share by share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRequest {
    /// The version; `None`: the one that is rolled out already, else the newest.
    pub version: Option<u64>,
    /// To how many users now: nobody ends the rollout, everybody completes it.
    pub share: Share,
    /// The shares that follow, ascending, before all users.
    pub stages: Vec<Share>,
    /// How long each stage lasts, in ms; `None`: until somebody goes on.
    pub every_ms: Option<i64>,
}

/// A rollout whose stage is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageEnd {
    /// The crowd.
    pub crowd: String,
    /// The share that comes next.
    pub share: Share,
}

/// What is to become of a crowd's versions.
enum Act<'a> {
    /// A version answers, by default the newest.
    Publish(Option<u64>),
    /// A version that answered before answers, and later ones wait.
    RollBack(Option<u64>),
    Pin {
        version: u64,
        pinned: bool,
    },
    RollOut(&'a RolloutRequest),
    /// The next stage of a rollout begins, if it is due.
    GoOn,
}

impl Crowds {
    /// Lets a kept version answer from now on, by default the newest, whatever it waited for, and
    /// ends a rollout. But one that waited goes on with the rollout of an older one of its rule, or
    /// begins the rollout that the definition plans for a new rule. Versions that are computed later
    /// answer again.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`], [`Error::OldGeneration`], [`Error::Corrupt`], and those of
    /// [`Crowds::versions`]. Nothing is changed then.
    pub async fn publish_version(
        &self,
        app: &AppId,
        crowd: &str,
        version: Option<u64>,
    ) -> Result<CrowdVersions> {
        self.act(app, crowd, &Act::Publish(version)).await
    }

    /// Goes back to a version that answered before: by default, that from before the rollout, or
    /// the one that answered last. Versions that are computed later wait until somebody publishes
    /// one.
    ///
    /// # Errors
    /// As [`Crowds::publish_version`]; [`Error::Argument`] if no other version answered.
    pub async fn roll_back(
        &self,
        app: &AppId,
        crowd: &str,
        version: Option<u64>,
    ) -> Result<CrowdVersions> {
        self.act(app, crowd, &Act::RollBack(version)).await
    }

    /// Keeps a version until it is unpinned, or no longer.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`], and those of [`Crowds::versions`].
    pub async fn pin(
        &self,
        app: &AppId,
        crowd: &str,
        version: u64,
        pinned: bool,
    ) -> Result<CrowdVersions> {
        self.act(app, crowd, &Act::Pin { version, pinned }).await
    }

    /// Begins a rollout, goes on with it, or ends it.
    ///
    /// # Errors
    /// As [`Crowds::publish_version`]; [`Error::Argument`] for stages that do not ascend, and for a
    /// share of a version that answers already.
    pub async fn roll_out(
        &self,
        app: &AppId,
        crowd: &str,
        request: &RolloutRequest,
    ) -> Result<CrowdVersions> {
        ascending(request)?;
        self.act(app, crowd, &Act::RollOut(request)).await
    }

    /// The rollouts of an app whose next stage is due.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn due_rollouts(&self, app: &AppId) -> Result<Vec<StageEnd>> {
        let now_ms = self.clock.now_ms();
        let state = self.asked(app).await?;
        let all = state.all();
        let due = all.iter().filter_map(|(crowd, known)| {
            let share = next_share(&known.versions, now_ms)?;
            Some(StageEnd { crowd: crowd.clone(), share })
        });
        Ok(due.collect())
    }

    /// Goes on with a rollout, if its next stage is due.
    ///
    /// # Errors
    /// As [`Crowds::roll_out`].
    pub async fn go_on(&self, app: &AppId, crowd: &str) -> Result<CrowdVersions> {
        self.act(app, crowd, &Act::GoOn).await
    }

    /// Changes a crowd's record, and publishes it. The change is made again on a newer record if
    /// another was published first.
    async fn act(&self, app: &AppId, crowd: &str, act: &Act<'_>) -> Result<CrowdVersions> {
        if self.live_crowd(app, crowd).is_some() {
            return Err(Error::Argument(format!(
                "crowd {crowd} is live: it has no versions, and always answers by its rule"
            )));
        }
        // That it is there, or why not; and who is deleted.
        self.known(app, crowd).await?;
        let state = self.state(app);
        let _computing = state.computing.read().await;
        for _ in 0..ATTEMPTS {
            let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, crowd).await? else {
                return Err(Error::NotComputed { crowd: crowd.to_owned() });
            };
            let before = versions_of(crowd, pointer.value.clone())?;
            let mut edit = Edit::of(app, crowd, before.clone());
            if let Err(error) = self.change(&mut edit, act).await {
                self.discard_written(&edit.written).await;
                let now = self.catalog.pointer(POINTER_KIND, app, crowd).await?;
                // What it read may have been rewritten meanwhile.
                if now.is_some_and(|now| now.revision != pointer.revision) {
                    continue;
                }
                return Err(error);
            }
            let versions = edit.versions.clone();
            if versions == before || self.publish(edit, Some(pointer.revision)).await? {
                return Ok(versions);
            }
        }
        Err(Error::Contended { crowd: crowd.to_owned() })
    }

    async fn change(&self, edit: &mut Edit<'_>, act: &Act<'_>) -> Result<()> {
        match act {
            Act::Publish(version) => {
                let last = newest(&edit.versions);
                self.let_version_answer(edit, version.unwrap_or(last)).await?;
                edit.versions.passed_over = last;
                Ok(())
            }
            Act::RollBack(version) => {
                let version = match version {
                    Some(version) => *version,
                    None => former(edit.crowd, &edit.versions)?,
                };
                edit.versions.passed_over = newest(&edit.versions);
                self.switch(edit, version).await?;
                edit.versions.held_ms = Some(self.clock.now_ms());
                Ok(())
            }
            Act::Pin { version, pinned } => match edit.versions.get_mut(*version) {
                Some(version) => {
                    version.pinned = *pinned;
                    Ok(())
                }
                None => Err(unknown(edit.crowd, *version, &edit.versions)),
            },
            Act::RollOut(request) => self.begin_rollout(edit, request).await,
            Act::GoOn => self.next_stage(edit).await,
        }
    }

    async fn begin_rollout(&self, edit: &mut Edit<'_>, request: &RolloutRequest) -> Result<()> {
        let (now_ms, crowd, versions) = (self.clock.now_ms(), edit.crowd, &edit.versions);
        let running = versions.rollout.clone();
        let to = request.version.or(running.as_ref().map(|rollout| rollout.to));
        let to = to.unwrap_or_else(|| newest(versions));
        let from = running.as_ref().map_or(versions.current, |rollout| rollout.from);
        if versions.get(to).is_none() {
            return Err(unknown(crowd, to, versions));
        }
        if versions.get(from).is_none() {
            return Err(Error::Argument(format!(
                "no version of crowd {crowd} answers, so there is none to roll out from: `taghouse versions publish {crowd} {to}` lets it answer"
            )));
        }
        let is_end = [Share::NOBODY, Share::EVERYBODY].contains(&request.share);
        if from == to && !is_end {
            return Err(Error::Argument(format!(
                "version {to} of crowd {crowd} answers already: name another; `taghouse crowds {crowd}` lists them"
            )));
        }
        let begun = Rollout {
            from,
            to,
            parts: request.share.parts(),
            stages: request.stages.iter().map(|share| share.parts()).collect(),
            every_ms: request.every_ms,
            since_ms: running.as_ref().map_or(now_ms, |running| running.since_ms),
        };
        let has_ended = running.is_none() && (from == to || request.share == Share::NOBODY);
        // Asked for once more.
        if has_ended || running.is_some_and(|running| running == begun) {
            return Ok(());
        }
        edit.versions.rollout = Some(Rollout { since_ms: now_ms, ..begun });
        // Whoever ends a rollout does not want the same rule to come with the next production.
        edit.versions.held_ms = (request.share == Share::NOBODY).then_some(now_ms);
        self.blend(edit, now_ms).await
    }

    /// Lets a version answer, or goes on with it where an older one of its rule is rolled out, or
    /// begins the rollout that the definition plans for a new rule.
    async fn let_version_answer(&self, edit: &mut Edit<'_>, version: u64) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let kept = self.readable(edit, version).await?;
        edit.versions.held_ms = None;
        let waited = kept.waits.is_some();
        let running = edit.versions.rollout.clone().filter(|running| running.to != version);
        let goes_on = running.filter(|running| {
            edit.versions.get(running.to).is_some_and(|to| to.expression == kept.expression)
        });
        let next = match goes_on {
            Some(running) => Some(Rollout { to: version, ..running }),
            None => edit.versions.planned(&kept, now_ms),
        };
        match next.filter(|_| waited) {
            Some(next) => {
                edit.versions.rollout = Some(next);
                self.blend(edit, now_ms).await
            }
            None => self.switch(edit, version).await,
        }
    }

    async fn next_stage(&self, edit: &mut Edit<'_>) -> Result<()> {
        let now_ms = self.clock.now_ms();
        // Another process may have gone on.
        let Some(share) = next_share(&edit.versions, now_ms) else { return Ok(()) };
        if let Some(rollout) = &mut edit.versions.rollout {
            rollout.since_ms = now_ms;
            rollout.parts = share.parts();
            rollout.stages = rollout.stages.iter().skip(1).copied().collect();
        }
        self.blend(edit, now_ms).await
    }

    /// Lets a version answer, and ends a rollout.
    pub(crate) async fn switch(&self, edit: &mut Edit<'_>, version: u64) -> Result<()> {
        self.readable(edit, version).await?;
        edit.versions.rollout = None;
        if edit.versions.current != version {
            edit.versions.answer_with(version, self.clock.now_ms());
        }
        Ok(())
    }

    /// A version that is kept, and whose members can be read.
    async fn readable(&self, edit: &Edit<'_>, version: u64) -> Result<CrowdVersion> {
        let Some(kept) = edit.versions.get(version).cloned() else {
            return Err(unknown(edit.crowd, version, &edit.versions));
        };
        self.view_of(edit.app, edit.crowd, &kept)?;
        self.set(&self.state(edit.app).known_version(edit.crowd, &kept)).await?;
        Ok(kept)
    }
}

/// The version that is rolled out, or the newest that is not a stage of a rollout.
fn newest(versions: &CrowdVersions) -> u64 {
    if let Some(rollout) = versions.rollout.as_ref().filter(|_| versions.waiting().is_none()) {
        return rollout.to;
    }
    let whole = versions.versions.iter().rev().find(|version| version.blend.is_none());
    whole.map_or_else(|| versions.last(), |version| version.version)
}

/// The version to go back to.
fn former(crowd: &str, versions: &CrowdVersions) -> Result<u64> {
    if let Some(rollout) = &versions.rollout {
        return Ok(rollout.from);
    }
    let current = versions.current;
    if versions.held_ms.is_some() {
        return Err(Error::Argument(format!(
            "crowd {crowd} was rolled back and is held at version {current}: name a version to go back further; `taghouse crowds {crowd}` lists them"
        )));
    }
    // Of a stage, the version from before the rollout.
    let whole = |version: u64| match versions.get(version)?.blend {
        Some(blend) => versions.get(blend.from).map(|from| from.version),
        None => Some(version),
    };
    let turns = versions.turns();
    let answered = turns.iter().rev().filter_map(|turn| whole(turn.version));
    answered.into_iter().find(|version| *version != current).ok_or_else(|| {
        Error::Argument(format!(
            "no other version of crowd {crowd} that is kept has answered: name one; `taghouse crowds {crowd}` lists them"
        ))
    })
}

/// The share of the next stage, if that is due. While the newest version waits because it failed a
/// check, a rollout stays where it is.
fn next_share(versions: &CrowdVersions, now_ms: TimestampMs) -> Option<Share> {
    let rollout = versions.rollout.as_ref()?;
    let failed = versions.waiting().and_then(|waiting| waiting.waits.as_ref());
    if matches!(failed, Some(Waits::Check(_))) {
        return None;
    }
    rollout.next_ms().filter(|next_ms| *next_ms <= now_ms)?;
    match rollout.stages.first() {
        Some(parts) => Share::of_10_000(*parts),
        None => Some(Share::EVERYBODY),
    }
}

fn ascending(request: &RolloutRequest) -> Result<()> {
    let all: Vec<Share> = std::iter::once(request.share).chain(request.stages.clone()).collect();
    if !request.stages.is_empty() && request.every_ms.is_none() {
        return Err(Error::Argument(
            "say how long each stage lasts, such as `every: 1d`".to_owned(),
        ));
    }
    let in_between = |share: &Share| Share::NOBODY < *share && *share < Share::EVERYBODY;
    match all.is_sorted_by(|a, b| a < b) && request.stages.iter().all(in_between) {
        true => Ok(()),
        false => Err(Error::Argument(
            "stages ascend, from more than the first share to less than 100%".to_owned(),
        )),
    }
}
