//! What people do with versions: publish one, go back to an older one, pin it, roll it out.
//!
//! Each is one swap of the crowd's pointer. A version is read before it is let to answer, so one
//! whose object is damaged, or from before the users were renumbered, never does.

use crate::compute::Edit;
use crate::crowds::POINTER_KIND;
use crate::known::versions_of;
use crate::rollout::unknown;
use crate::version::Rollout;
use crate::{CrowdVersions, Crowds, Error, Result};
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
    /// Lets a kept version answer from now on, by default the newest, whatever it waited for. A
    /// rollout ends, and versions that are computed later answer again.
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
            let before = versions_of(crowd, pointer.value)?;
            let mut edit = Edit { app, crowd, versions: before.clone(), written: Vec::new() };
            if let Err(error) = self.change(&mut edit, act).await {
                self.discard_written(&edit.written).await;
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
                let version = version.unwrap_or_else(|| newest(&edit.versions));
                self.switch(edit, version).await?;
                edit.versions.held_ms = None;
                Ok(())
            }
            Act::RollBack(version) => {
                let Some(version) = version.or_else(|| former(&edit.versions)) else {
                    let crowd = edit.crowd;
                    return Err(Error::Argument(format!(
                        "no other version of crowd {crowd} that is kept has answered: name one; `taghouse crowds {crowd}` lists them"
                    )));
                };
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
        if from == to {
            // Asked for once more: it ended already.
            if [Share::NOBODY, Share::EVERYBODY].contains(&request.share) {
                return Ok(());
            }
            return Err(Error::Argument(format!(
                "version {to} of crowd {crowd} answers already: name another; `taghouse crowds {crowd}` lists them"
            )));
        }
        edit.versions.rollout = Some(Rollout {
            from,
            to,
            parts: request.share.parts(),
            stages: request.stages.iter().map(|share| share.parts()).collect(),
            every_ms: request.every_ms,
            since_ms: now_ms,
        });
        edit.versions.held_ms = None;
        self.blend(edit, now_ms).await
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
    async fn switch(&self, edit: &mut Edit<'_>, version: u64) -> Result<()> {
        let Some(kept) = edit.versions.get(version).cloned() else {
            return Err(unknown(edit.crowd, version, &edit.versions));
        };
        self.view_of(edit.app, edit.crowd, &kept)?;
        self.set(&self.state(edit.app).known_version(edit.crowd, &kept)).await?;
        edit.versions.rollout = None;
        if edit.versions.current != version {
            edit.versions.answer_with(version, self.clock.now_ms());
        }
        Ok(())
    }
}

/// The newest version that is no stage of a rollout.
fn newest(versions: &CrowdVersions) -> u64 {
    let whole = versions.versions.iter().rev().find(|version| version.blend.is_none());
    whole.map_or_else(|| versions.last(), |version| version.version)
}

/// The version to go back to.
fn former(versions: &CrowdVersions) -> Option<u64> {
    if let Some(rollout) = &versions.rollout {
        return Some(rollout.from);
    }
    let turns = versions.turns();
    let whole = |version: &u64| versions.get(*version).is_some_and(|kept| kept.blend.is_none());
    turns.iter().rev().map(|turn| turn.version).filter(whole).find(|at| *at != versions.current)
}

/// The share of the next stage, if that is due.
fn next_share(versions: &CrowdVersions, now_ms: TimestampMs) -> Option<Share> {
    let rollout = versions.rollout.as_ref()?;
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
