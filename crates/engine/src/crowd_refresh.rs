//! Computes crowds again without a production: when somebody asks for it, and as often as their
//! definitions say.

use crate::crowd_task::{CrowdTask, crowd_task};
use crate::production::PRODUCE;
use crate::{Engine, Error, Result, named};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use taghouse_crowd::CrowdVersion;
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{CrowdDefinition, CrowdSource, Definitions};
use taghouse_schedule::{RunHandle, Task};

const REFRESH: &str = "refresh";

/// A task that others come after, unless it finds that there is nothing for them to do.
pub(crate) struct Before {
    /// Its name.
    pub(crate) task: String,
    /// Set if there is not.
    pub(crate) unchanged: Arc<AtomicBool>,
}

impl Engine {
    /// Starts to compute these of the crowds that are defined from the values that their tags have now, each after those it
    /// is made of; with `dependents`, also all that are made of them. `actor`, a key's id, stands in
    /// the audit trail.
    ///
    /// # Errors
    /// [`Error::LiveCrowd`] for one that has no versions,
    /// [`NeedsImport`](taghouse_crowd::Error::NeedsImport) for one that files say,
    /// [`NeedsProduction`](taghouse_crowd::Error::NeedsProduction) for one that is made by a query; those of the
    /// trail and the scheduler. Nothing was begun.
    pub async fn refresh_crowds(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        crowds: &BTreeSet<Name>,
        dependents: bool,
    ) -> Result<RunHandle> {
        let app = &definitions.app.id;
        let is_live = |crowd: &&CrowdDefinition| crowd.is_live;
        if let Some(live) = defined(definitions, crowds).find(is_live) {
            return Err(Error::LiveCrowd { crowd: live.name.clone() });
        }
        let is_queried = |crowd: &&CrowdDefinition| matches!(crowd.source, CrowdSource::Sql { .. });
        // It may ask tables of tags, which are as of productions.
        if let Some(crowd) = defined(definitions, crowds).find(is_queried) {
            let crowd = crowd.name.to_string();
            return Err(taghouse_crowd::Error::NeedsProduction { crowd }.into());
        }
        if let Some(crowd) = defined(definitions, crowds).find(|crowd| crowd.is_imported()) {
            let crowd = crowd.name.to_string();
            return Err(taghouse_crowd::Error::NeedsImport { crowd }.into());
        }
        // What was acknowledged before is to be in what is computed.
        self.index.position(app).await?;
        let subject = named(crowds.iter().map(Name::as_str));
        let all = if dependents { with_dependents(definitions, crowds) } else { crowds.clone() };
        let start = async {
            Ok(self.scheduler.start(app, REFRESH, self.refreshes(definitions, &all, None)).await?)
        };
        self.audited_run(actor, app, "crowd.refresh", &subject, start).await
    }

    /// The tasks that compute crowds, each after those it is made of and after `before`.
    pub(crate) fn refreshes(
        self: &Arc<Self>,
        definitions: &Arc<Definitions>,
        crowds: &BTreeSet<Name>,
        before: Option<&Before>,
    ) -> Vec<Box<dyn Task>> {
        let as_of_ms = self.clock.now_ms();
        let task = |crowd: &CrowdDefinition| -> Box<dyn Task> {
            let others = crowd.crowds().into_iter();
            let others = others.filter(|other| crowds.contains(*other)).map(crowd_task);
            let after = others.chain(before.map(|before| before.task.clone())).collect();
            let unchanged = before.map(|before| before.unchanged.clone()).unwrap_or_default();
            let (engine, definitions) = (self.clone(), definitions.clone());
            let crowd = crowd.clone();
            Box::new(CrowdTask { engine, definitions, crowd, as_of_ms, unchanged, after })
        };
        defined(definitions, crowds).map(task).collect()
    }

    /// Computes the crowds of every app whose time has come. What fails is logged, and is tried
    /// again when the time has come once more.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn refresh_due(self: &Arc<Self>) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Err(error) = self.refresh_due_of(&app).await {
                tracing::error!(%app, %error, "the crowds that are due could not be computed; it is tried again");
            }
        }
        Ok(())
    }

    async fn refresh_due_of(self: &Arc<Self>, app: &AppId) -> Result<()> {
        let definitions = self.definitions(app).await?;
        if definitions.crowds.values().all(|crowd| crowd.policy.refresh_every_ms.is_none()) {
            return Ok(());
        }
        // Before the first production there is nothing to compute them from.
        if self.index.snapshot(app).await?.is_none() {
            return Ok(());
        }
        // Beside a production they would be computed twice.
        let _one = self.memory.producing.lock().await;
        let running = [REFRESH, PRODUCE].map(|kind| self.scheduler.is_running(app, kind));
        if running.contains(&true) {
            return Ok(());
        }
        let records = self.crowds.records(app).await?;
        let now_ms = self.clock.now_ms();
        let due: BTreeSet<Name> = {
            let mut tried = self.memory.refreshed.lock();
            let mut is_due = |crowd: &&CrowdDefinition| {
                let Some(every_ms) = crowd.policy.refresh_every_ms else { return false };
                let record = records.get(crowd.name.as_str());
                let whole = |version: &&CrowdVersion| version.blend.is_none();
                let computed = record.and_then(|record| record.versions.iter().rev().find(whole));
                let computed_ms = computed.map_or(TimestampMs::MIN, |version| version.created_ms);
                let of = (app.clone(), crowd.name.clone());
                let tried_ms = tried.get(&of).copied().unwrap_or(TimestampMs::MIN);
                let due = computed_ms.max(tried_ms).saturating_add(every_ms) <= now_ms;
                if due {
                    tried.insert(of, now_ms);
                }
                due
            };
            let crowds = definitions.crowds.values().filter(|crowd| is_due(crowd));
            crowds.map(|crowd| crowd.name.clone()).collect()
        };
        if !due.is_empty() {
            // The run says what became of it: nobody asked for it, so the trail does not.
            let all = with_dependents(&definitions, &due);
            let tasks = self.refreshes(&definitions, &all, None);
            self.scheduler.start(app, REFRESH, tasks).await?;
        }
        Ok(())
    }
}

fn defined<'a>(
    definitions: &'a Definitions,
    crowds: &'a BTreeSet<Name>,
) -> impl Iterator<Item = &'a CrowdDefinition> {
    crowds.iter().filter_map(|name| definitions.crowds.get(name))
}

/// These crowds, and all that are made of them and have versions.
pub(crate) fn with_dependents(
    definitions: &Definitions,
    crowds: &BTreeSet<Name>,
) -> BTreeSet<Name> {
    let mut all = crowds.clone();
    for name in definitions.crowd_order() {
        let Some(crowd) = definitions.crowds.get(&name).filter(|crowd| !crowd.is_live) else {
            continue;
        };
        if crowd.crowds().into_iter().any(|other| all.contains(other)) {
            all.insert(name);
        }
    }
    all
}
