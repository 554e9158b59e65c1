//! Holds live tags against the batch, as a run: when somebody asks for it, and every hour.

use crate::clock_text::{instant, local};
use crate::streaming::has_live_tags;
use crate::{Engine, Error, Result, reports};
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::{AppId, Name, Value};
use taghouse_rules::Definitions;
use taghouse_schedule::{Progress, RunHandle, Task, TaskError};
use taghouse_stream::{Difference, DifferenceClass, Parity, ParityAsk, ParityParts};
use taghouse_wire::{ParityExample, ParityReport, ParityStanding, ParityTag, TaskResult};
use tokio_util::sync::CancellationToken;

const PARITY: &str = "parity";

/// Users that are compared unless somebody says otherwise.
pub const PARITY_SAMPLE: usize = 1000;

/// Between two looks: longer than anything is on its way.
const PAUSE: Duration = Duration::from_secs(1);

/// How long it is waited for states that are being computed from the lake.
const PATIENCE: Duration = Duration::from_secs(120);

/// Examples that are kept of each tag and class, and in all.
const EXAMPLES_EACH: usize = 20;
const EXAMPLES: usize = 1000;

/// Runs among which the last comparison of a former process is looked for.
const LOOKED_FOR_AMONG: u32 = 50;

/// The last comparison of an app.
#[derive(Debug, Clone)]
pub struct LastParity {
    /// Id of the run.
    pub run: String,
    /// When it ended.
    pub ended_ms: i64,
    /// What it found.
    pub report: Arc<ParityReport>,
}

impl Engine {
    /// Starts to compare an app's live tags with the batch; `actor`, a key's id, stands in the
    /// audit trail.
    ///
    /// # Errors
    /// [`Error::NoLiveTags`], [`Error::UnknownTag`] for a tag that is not live; [`Error::Running`]
    /// while another comparison goes on; those of the trail and the scheduler. Nothing was begun.
    pub async fn compare_live(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        tag: Option<Name>,
        sample: usize,
    ) -> Result<RunHandle> {
        let app = &definitions.app.id;
        if !has_live_tags(definitions) {
            return Err(Error::NoLiveTags(app.clone()));
        }
        if let Some(tag) = &tag
            && !definitions.tags.get(tag).is_some_and(|tag| tag.mode.is_live())
        {
            return Err(match definitions.tags.contains_key(tag) {
                true => Error::NotLive { tag: tag.clone() },
                false => Error::UnknownTag { tag: tag.clone(), app: app.clone() },
            });
        }
        let what = tag.as_ref().map_or_else(|| "all live tags".to_owned(), |t| format!("tag {t}"));
        let start = self.start_parity(definitions, tag, sample);
        self.audited_run(actor, app, PARITY, &what, start).await
    }

    async fn start_parity(
        self: &Arc<Self>,
        definitions: &Arc<Definitions>,
        tag: Option<Name>,
        sample: usize,
    ) -> Result<RunHandle> {
        let app = &definitions.app.id;
        let _one = self.memory.producing.lock().await;
        self.no_run_of(app, PARITY)?;
        let mut seed = [0; 8];
        self.entropy.fill(&mut seed);
        let ask = ParityAsk { tag, sample, seed: u64::from_le_bytes(seed), pause: PAUSE };
        let task = ParityTask { engine: self.clone(), definitions: definitions.clone(), ask };
        let run = self.scheduler.start(app, PARITY, vec![Box::new(task)]).await?;
        let (engine, followed) = (self.clone(), run.clone());
        self.background.spawn(async move { engine.note_parity(&followed).await });
        Ok(run)
    }

    /// Compares every app that has live tags, one after the other; until `stop`.
    ///
    /// # Errors
    /// It cannot be read which apps there are.
    pub(crate) async fn compare_all(self: &Arc<Self>, stop: &CancellationToken) -> Result<()> {
        for app in self.catalog.apps().await? {
            if stop.is_cancelled() {
                break;
            }
            // Of definitions that cannot be read other rounds tell.
            let Ok(definitions) = self.definitions(&app).await else { continue };
            if !has_live_tags(&definitions) {
                continue;
            }
            match self.start_parity(&definitions, None, PARITY_SAMPLE).await {
                Ok(run) => drop(run.finished().await),
                // Somebody asked for one just now.
                Err(Error::Running { .. }) => {}
                Err(error) => {
                    tracing::warn!(%app, %error, "the live tags could not be compared with the batch; it is tried again");
                }
            }
        }
        Ok(())
    }

    async fn note_parity(&self, run: &RunHandle) {
        let status = run.finished().await;
        let result = status.tasks.into_iter().next().and_then(|task| task.result);
        let (Some(result), Some(ended_ms)) = (result, status.finished_ms) else { return };
        if let Some(last) = read_report(status.id, ended_ms, result) {
            self.memory.parity.lock().insert(status.app, Some(last));
        }
    }

    /// The last comparison of an app, be it of a process before.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn last_parity(&self, app: &AppId) -> Result<Option<LastParity>> {
        if let Some(known) = self.memory.parity.lock().get(app) {
            return Ok(known.clone());
        }
        let runs = self.catalog.runs(app, LOOKED_FOR_AMONG).await?;
        let last = runs.into_iter().filter(|run| run.kind == PARITY).find_map(|mut run| {
            let result = run.detail.pointer_mut("/tasks/0/result")?.take();
            read_report(run.id, run.finished_ms?, result)
        });
        let mut known = self.memory.parity.lock();
        // One may have ended meanwhile.
        Ok(known.entry(app.clone()).or_insert(last).clone())
    }

    /// The same, as it stands in the answer of how live tags stand.
    pub(crate) async fn parity_standing(&self, app: &AppId) -> Result<Option<ParityStanding>> {
        let standing = |LastParity { run, ended_ms, report }: LastParity| {
            let mut differences: BTreeMap<String, u64> = BTreeMap::new();
            for (class, count) in report.compared_tags.iter().flat_map(|tag| &tag.differences) {
                *differences.entry(class.clone()).or_default() += count;
            }
            ParityStanding {
                run,
                ended: instant(ended_ms),
                users: report.compared_users,
                differences,
                defects: report.defects,
            }
        };
        Ok(self.last_parity(app).await?.map(standing))
    }
}

fn read_report(run: String, ended_ms: i64, result: Json) -> Option<LastParity> {
    let report: ParityReport = serde_json::from_value(result).ok()?;
    Some(LastParity { run, ended_ms, report: Arc::new(report) })
}

struct ParityTask {
    engine: Arc<Engine>,
    definitions: Arc<Definitions>,
    ask: ParityAsk,
}

#[async_trait]
impl Task for ParityTask {
    fn name(&self) -> String {
        PARITY.to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Json, TaskError> {
        let began = Instant::now();
        let (engine, definitions, ask) = (&self.engine, &self.definitions, &self.ask);
        let parts = ParityParts { stream: engine.stream.clone(), landing: engine.landing.clone() };
        let settle = || settled(engine, definitions).boxed();
        let report = |done, total| progress.set(done, total);
        let parity = parts.compare(definitions, ask, &settle, &report).await;
        let parity = parity.map_err(Error::from)?;
        warn(&definitions.app.id, &parity, progress);
        reports::result(&TaskResult::Parity(reported(&parity, definitions, began)))
    }
}

/// Whether the live tags have values of these definitions, which are still those of the app.
async fn settled(
    engine: &Arc<Engine>,
    definitions: &Arc<Definitions>,
) -> taghouse_stream::Result<bool> {
    let unsettled = |error: Error| taghouse_stream::Error::Unsettled {
        kind: error.kind(),
        detail: error.to_string(),
    };
    let now = engine.definitions(&definitions.app.id).await.map_err(unsettled)?;
    if !Arc::ptr_eq(&now, definitions) {
        return Ok(false);
    }
    match tokio::time::timeout(PATIENCE, engine.live_tags_settled(definitions)).await {
        Ok(outcome) => outcome.map(|()| true).map_err(unsettled),
        Err(_) => Ok(false),
    }
}

/// Says in the run and in the log of the process what nothing explains.
fn warn(app: &AppId, parity: &Parity, progress: &Progress) {
    if parity.as_of_ms.is_none() {
        progress.warn(
            "nothing was compared: the states of live tags are being computed from the lake, or other definitions were applied; try again once `taghouse status` says current",
        );
    }
    for tag in parity.tags.keys() {
        let count = parity.count(tag, DifferenceClass::Defect);
        if count == 0 {
            continue;
        }
        let warning = format!(
            "tag {tag}: {count} of {} users' values are not those of the batch, and nothing explains it",
            parity.users
        );
        tracing::warn!(%app, "{warning}");
        progress.warn(warning);
    }
}

fn reported(parity: &Parity, definitions: &Definitions, began: Instant) -> ParityReport {
    let zone = &definitions.app.time_zone;
    let mut kept: BTreeMap<(&Name, DifferenceClass), usize> = BTreeMap::new();
    let mut examples = Vec::new();
    // Defects first: of them none is to be missing.
    let by_weight = DifferenceClass::ALL.into_iter().rev();
    for class in by_weight {
        for difference in parity.differences.iter().filter(|d| d.class == class) {
            let of_kind = kept.entry((&difference.tag, class)).or_default();
            *of_kind += 1;
            if *of_kind <= EXAMPLES_EACH && examples.len() < EXAMPLES {
                examples.push(example(difference, local(difference.as_of_ms, zone)));
            }
        }
    }
    let tag = |name: &Name, values: u64| {
        let counted = |class: &DifferenceClass| (class.to_string(), parity.count(name, *class));
        let differences = DifferenceClass::ALL.iter().map(counted).filter(|(_, n)| *n > 0);
        ParityTag { name: name.to_string(), values, differences: differences.collect() }
    };
    ParityReport {
        compared_as_of: parity.as_of_ms.map(|as_of_ms| local(as_of_ms, zone)),
        compared_position: parity.position,
        compared_users: parity.users,
        known_users: parity.users_known,
        events_read: parity.events_read,
        looks: parity.looks,
        defects: parity.defects(),
        compared_tags: parity.tags.iter().map(|(name, of)| tag(name, of.values)).collect(),
        examples,
        elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn example(difference: &Difference, as_of: String) -> ParityExample {
    let text = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
    ParityExample {
        user: difference.user.clone(),
        tag: difference.tag.to_string(),
        shown: text(&difference.shown),
        state: text(&difference.held),
        batch: text(&difference.batch),
        as_of,
        class: difference.class.to_string(),
        why: difference.why.to_owned(),
    }
}
