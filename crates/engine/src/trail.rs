//! The audit trail: who did what, to what, when, and what became of it.
//!
//! - An action that is one commit of the catalog (definitions, keys) has its line in that commit.
//! - An action beyond the catalog (deletions, compactions, productions, ingestions, exports) has
//!   two lines: `begun`, on disk before anything is done, and the outcome after it. If the process
//!   ends in between, the next start writes the second line, `interrupted`. If the first line
//!   cannot be written, nothing is done.
//! - Each file of an upload has one line, after it was received or failed.
//! - Changes by hand arrive by the thousand per second and are durable in their own log: they are
//!   summed up for each key and minute. A process that is killed loses the sums of its last minute,
//!   never a change.
//!
//! Lines are written in groups, one commit for all that wait.

use crate::{Engine, Error};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use taghouse_catalog::{AuditRecord, Catalog, Change};
use taghouse_model::{AppId, TimestampMs};
use taghouse_schedule::{RunHandle, RunState, RunStatus};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The outcome of an action that has begun and may be partly done.
const BEGUN: &str = AuditRecord::BEGUN;
/// The outcome of a successful action.
pub const DONE: &str = "done";
/// Characters of a subject or an outcome.
const MAX_TEXT: usize = 2000;
/// How many names a line lists before it says "and 5 more".
const NAMED: usize = 20;
/// How many lines are pruned at a time, to bound how long the catalog is locked.
const PRUNED_AT_ONCE: u32 = 50_000;

/// How long lines are kept, and how many.
#[derive(Debug, Clone, Copy)]
pub struct AuditLimits {
    /// Retention in days.
    pub days: u32,
    /// Maximum number of lines; the newest are kept.
    pub lines: u64,
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self { days: 400, lines: 1_000_000 }
    }
}

type Written = oneshot::Sender<Result<(), String>>;

/// The lines of one process on their way to the catalog.
#[derive(Default)]
pub(crate) struct Trail {
    waiting: Mutex<Vec<(AuditRecord, Written)>>,
    /// Held by the one who commits for all.
    committing: tokio::sync::Mutex<()>,
    sums: Mutex<BTreeMap<(AppId, String), Sum>>,
    /// Lines that are written in the background.
    beside: Mutex<JoinSet<()>>,
    limits: AuditLimits,
}

/// Changes of one key since they were last written.
#[derive(Default)]
struct Sum {
    calls: u64,
    failed: u64,
    changes: u64,
    tags: BTreeSet<String>,
    last_error: String,
    last_ms: TimestampMs,
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock()
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        text.to_owned()
    } else {
        text.chars().take(MAX_TEXT / 4).chain("…".chars()).collect()
    }
}

/// `a, b, c and 5 more`
pub fn named<T: AsRef<str>>(names: impl ExactSizeIterator<Item = T>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.take(NAMED).map(|name| name.as_ref().to_owned()).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

impl Trail {
    pub(crate) fn new(limits: AuditLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Writes a line, in one commit with all others that wait.
    async fn write(
        self: &Arc<Self>,
        catalog: &Arc<dyn Catalog>,
        line: AuditRecord,
    ) -> Result<(), Error> {
        let (written, mut answer) = oneshot::channel();
        locked(&self.waiting).push((line, written));
        let (trail, catalog) = (self.clone(), catalog.clone());
        // Not dropped with a request whose caller leaves: others wait for the same commit.
        let committed = tokio::spawn(async move {
            let _turn = trail.committing.lock().await;
            let (lines, written): (Vec<_>, Vec<_>) =
                std::mem::take(&mut *locked(&trail.waiting)).into_iter().unzip();
            if lines.is_empty() {
                return;
            }
            let outcome = catalog
                .commit(lines.into_iter().map(Change::Audit).collect())
                .await
                .map_err(|error| error.to_string());
            for of in written {
                of.send(outcome.clone()).ok();
            }
        });
        committed.await.map_err(|error| Error::Trail(error.to_string()))?;
        // Whoever committed it, it is done: ours came after it was put in.
        answer
            .try_recv()
            .map_err(|_| Error::Trail("it was given up".to_owned()))?
            .map_err(Error::Trail)
    }

    /// Does something in the background; [`Engine::settle_audit`] waits for it.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut beside = locked(&self.beside);
        while beside.try_join_next().is_some() {}
        beside.spawn_on(work, &runtime);
    }
}

/// An action that has begun. Its outcome will be written, whatever it is.
pub struct Act {
    engine: Arc<Engine>,
    line: Option<AuditRecord>,
}

impl Act {
    /// Writes the outcome and gives it back.
    ///
    /// # Errors
    /// Errors of the work itself.
    pub async fn end<T, E: fmt::Display>(self, outcome: Result<T, E>) -> Result<T, E> {
        self.end_saying(outcome, |_| String::new()).await
    }

    /// The same with what is to be said of a success, such as what was before and what is now.
    ///
    /// # Errors
    /// Errors of the work itself.
    pub async fn end_saying<T, E: fmt::Display>(
        mut self,
        outcome: Result<T, E>,
        said: impl FnOnce(&T) -> String,
    ) -> Result<T, E> {
        let text = match &outcome {
            Ok(done) => [DONE, &said(done)].join(": "),
            Err(error) => format!("failed: {error}"),
        };
        let text = text.trim_end_matches(": ");
        if let Some(line) = self.line.take() {
            self.engine
                .add_line(AuditRecord {
                    at_ms: self.engine.clock.now_ms(),
                    outcome: cut(text),
                    ..line
                })
                .await;
        }
        outcome
    }

    /// Writes the outcome in the background.
    pub fn ended(mut self, outcome: &str) {
        self.write_beside(outcome);
    }

    /// Writes the run's outcome when it has ended.
    pub(crate) fn follow(mut self, run: &RunHandle) {
        let (Some(line), engine, run) = (self.line.take(), self.engine.clone(), run.clone()) else {
            return;
        };
        self.engine.memory.trail.spawn(async move {
            let outcome = of_run(&run.finished().await);
            engine.add_line(AuditRecord { at_ms: engine.clock.now_ms(), outcome, ..line }).await;
        });
    }

    fn write_beside(&mut self, outcome: &str) {
        let Some(line) = self.line.take() else { return };
        let (engine, outcome) = (self.engine.clone(), cut(outcome));
        self.engine.memory.trail.spawn(async move {
            engine.add_line(AuditRecord { at_ms: engine.clock.now_ms(), outcome, ..line }).await;
        });
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        self.write_beside("interrupted: the caller left before the end; it may be partly done");
    }
}

fn of_run(run: &RunStatus) -> String {
    if run.state == RunState::Succeeded {
        return format!("{DONE}: run {}", run.id);
    }
    if run.state == RunState::SucceededWithWarnings {
        let warnings = run.tasks.iter().map(|task| task.warnings.len()).sum::<usize>();
        return format!("{DONE}: run {}, with {warnings} warnings", run.id);
    }
    let error = run
        .tasks
        .iter()
        .find_map(|task| task.error.as_deref())
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    cut(&format!("{}: run {}{error}", run.state, run.id))
}

impl Engine {
    /// Writes that an action begins; on disk when this returns. `actor` is a key's id.
    ///
    /// # Errors
    /// [`Error::Trail`]: then the action must not begin.
    pub async fn begin<'a>(
        self: &Arc<Self>,
        actor: &str,
        app: impl Into<Option<&'a AppId>>,
        action: &'static str,
        subject: &str,
    ) -> Result<Act, Error> {
        let line = self.line(actor, app.into(), action, subject, BEGUN);
        // Before the first line is on disk: a caller may leave meanwhile, and that line needs its
        // second all the same.
        let mut act = Act { engine: self.clone(), line: Some(line.clone()) };
        let begun = self.memory.trail.write(&self.catalog, line).await;
        if begun.is_err() {
            act.line = None;
        }
        begun.map(|()| act)
    }

    /// Starts a run between two lines: what it is to do, and what became of it.
    pub(crate) async fn audited_run(
        self: &Arc<Self>,
        actor: &str,
        app: &AppId,
        action: &'static str,
        subject: &str,
        start: impl Future<Output = Result<RunHandle, Error>>,
    ) -> Result<RunHandle, Error> {
        let act = self.begin(actor, app, action, subject).await?;
        match start.await {
            Ok(run) => {
                act.follow(&run);
                Ok(run)
            }
            Err(error) => act.end(Err(error)).await,
        }
    }

    /// Writes one line after the fact. A failure to write it does not change the outcome.
    ///
    /// # Errors
    /// Errors of the work itself.
    pub async fn note<T, E: fmt::Display>(
        self: &Arc<Self>,
        actor: &str,
        app: Option<&AppId>,
        action: &'static str,
        subject: &str,
        outcome: Result<T, E>,
    ) -> Result<T, E> {
        let text = outcome
            .as_ref()
            .map_or_else(|error| cut(&format!("failed: {error}")), |_| DONE.to_owned());
        self.add_line(self.line(actor, app, action, subject, &text)).await;
        outcome
    }

    /// The same, but only for a failure: the line of a success is in its own commit.
    ///
    /// # Errors
    /// Errors of the work itself.
    pub async fn note_failure<T, E: fmt::Display>(
        self: &Arc<Self>,
        actor: &str,
        app: Option<&AppId>,
        action: &'static str,
        subject: &str,
        outcome: Result<T, E>,
    ) -> Result<T, E> {
        if outcome.is_err() {
            self.note(actor, app, action, subject, outcome).await
        } else {
            outcome
        }
    }

    fn line(
        &self,
        actor: &str,
        app: Option<&AppId>,
        action: &str,
        subject: &str,
        outcome: &str,
    ) -> AuditRecord {
        AuditRecord {
            app: app.cloned(),
            at_ms: self.clock.now_ms(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: cut(subject),
            outcome: outcome.to_owned(),
        }
    }

    async fn add_line(&self, line: AuditRecord) {
        let told = format!("{} {} {}: {}", line.actor, line.action, line.subject, line.outcome);
        if let Err(error) = self.memory.trail.write(&self.catalog, line).await {
            tracing::error!(
                line = told,
                detail = error.to_string(),
                "a line of the audit trail is lost"
            );
        }
    }

    /// Adds a call with changes to its key's sum: how many they were, or why it failed.
    pub fn sum_changes<'a>(
        &self,
        actor: &str,
        app: &AppId,
        tags: impl Iterator<Item = &'a str>,
        outcome: Result<usize, &str>,
    ) {
        let mut sums = locked(&self.memory.trail.sums);
        let sum = sums.entry((app.clone(), actor.to_owned())).or_default();
        sum.calls += 1;
        sum.last_ms = self.clock.now_ms();
        match outcome {
            Ok(changes) => sum.changes += changes as u64,
            Err(error) => {
                sum.failed += 1;
                sum.last_error = cut(error);
            }
        }
        for tag in tags {
            // One more than are named, so that it is said that there are more.
            if sum.tags.len() > NAMED {
                break;
            }
            if !sum.tags.contains(tag) {
                sum.tags.insert(tag.to_owned());
            }
        }
    }

    /// Writes the sums of changes; call it every minute.
    ///
    /// # Errors
    /// The catalog cannot be written; the sums are kept and written next time.
    pub(crate) async fn write_sums(&self) -> Result<(), Error> {
        self.write_reads().await?;
        let sums = std::mem::take(&mut *locked(&self.memory.trail.sums));
        if sums.is_empty() {
            return Ok(());
        }
        let lines =
            sums.iter().map(|((app, actor), sum)| Change::Audit(sum.line(app, actor))).collect();
        let Err(error) = self.catalog.commit(lines).await else { return Ok(()) };
        let mut now = locked(&self.memory.trail.sums);
        for (key, sum) in sums {
            now.entry(key).or_default().add(sum);
        }
        Err(error.into())
    }

    /// Waits until every line of what has ended is written. At the end of a process; runs have
    /// ended before.
    pub async fn settle_audit(&self) {
        if let Err(error) = self.write_sums().await {
            tracing::error!(
                detail = error.to_string(),
                "the audit trail's sums of changes are lost"
            );
        }
        let mut beside = std::mem::take(&mut *locked(&self.memory.trail.beside));
        while beside.join_next().await.is_some() {}
    }

    /// Writes the outcome of actions that an earlier process left open. Call it once, before
    /// anything begins.
    ///
    /// # Errors
    /// Errors of the catalog.
    pub async fn end_interrupted(&self) -> taghouse_catalog::Result<()> {
        let open = self.catalog.open_acts().await?;
        if open.is_empty() {
            return Ok(());
        }
        let (at_ms, outcome) = (
            self.clock.now_ms(),
            "interrupted: the process ended before it did, and it may have been done in part",
        );
        let end = |line| Change::Audit(AuditRecord { at_ms, outcome: outcome.to_owned(), ..line });
        self.catalog.commit(open.into_iter().map(end).collect()).await
    }

    /// Removes lines that are too old or too many; call it now and then.
    ///
    /// # Errors
    /// The catalog cannot be written; it is done next time.
    pub(crate) async fn prune_audit(&self) -> Result<(), Error> {
        let limits = &self.memory.trail.limits;
        let before_ms = self.clock.now_ms() - i64::from(limits.days) * 86_400_000;
        let prune = Change::PruneAudit { before_ms, keep: limits.lines, at_once: PRUNED_AT_ONCE };
        Ok(self.catalog.commit(vec![prune]).await?)
    }
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.changes += other.changes;
        self.tags.extend(other.tags);
        if self.last_error.is_empty() {
            self.last_error = other.last_error;
        }
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    fn line(&self, app: &AppId, actor: &str) -> AuditRecord {
        let outcome = match (self.failed, self.calls) {
            (0, _) => DONE.to_owned(),
            (failed, calls) if failed == calls => format!("failed: {}", self.last_error),
            (failed, calls) => {
                format!("{DONE}, but {failed} of {calls} calls failed: {}", self.last_error)
            }
        };
        AuditRecord {
            app: Some(app.clone()),
            at_ms: self.last_ms,
            actor: actor.to_owned(),
            action: "change".to_owned(),
            subject: format!(
                "{} changes in {} calls, of {}",
                self.changes,
                self.calls,
                named(self.tags.iter())
            ),
            outcome,
        }
    }
}
