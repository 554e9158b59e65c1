//! The audit trail: who did what, to what, when, and what became of it.
//!
//! - What is one commit of the catalog (definitions, keys) has its line in that commit.
//! - What reaches beyond the catalog (deletions, compactions, productions, ingestions, exports) has two: `begun`, on disk before
//!   anything is done, and the outcome after it. One that was cut off by the end of the process gets its second at the next
//!   start, `interrupted`. Where the first cannot be written, nothing is done.
//! - A file of an upload has one, after it came or failed to.
//! - Changes by hand come by the thousand a second and are durable in their own log: they are summed up for each key and minute. A
//!   process that is killed loses the sums of its last minute, never a change.
//!
//! Calls that a key may not make are summed up too: see [`crate::refusals`]. Lines are written in groups, one commit for all that wait.

use crate::access::{Action, Caller};
use crate::routes::app_checked;
use crate::{House, Problem};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::Frame;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use taghouse_catalog::{AuditRecord, Catalog, Change};
use taghouse_model::{AppId, ErrorKind, TimestampMs};
use taghouse_schedule::{RunHandle, RunState, RunStatus};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The outcome of what was begun and may have been done in part.
const BEGUN: &str = AuditRecord::BEGUN;
const DONE: &str = "done";
/// Characters of a subject or an outcome.
const MAX_TEXT: usize = 2000;
/// Names that a line names one by one.
const NAMED: usize = 20;
/// Lines that go each time it is looked: a bound on how long the catalog is held.
const PRUNED_AT_ONCE: u32 = 50_000;

/// For how long lines are kept, and how many.
#[derive(Debug, Clone, Copy)]
pub struct AuditLimits {
    /// In days.
    pub days: u32,
    /// The newest so many.
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
    /// What is written beside the requests.
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

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT { text.to_owned() } else { text.chars().take(MAX_TEXT / 4).chain("…".chars()).collect() }
}

/// `a, b, c and 5 more`
pub(crate) fn named<T: AsRef<str>>(names: impl ExactSizeIterator<Item = T>) -> String {
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
    async fn write(self: &Arc<Self>, catalog: &Arc<dyn Catalog>, line: AuditRecord) -> Result<(), Problem> {
        let (written, mut answer) = oneshot::channel();
        held(&self.waiting).push((line, written));
        let failed =
            |why: String| Problem::new(ErrorKind::Unavailable, format!("the audit trail cannot be written, so nothing was done: {why}"));
        let (trail, catalog) = (self.clone(), catalog.clone());
        // Not dropped with a request whose caller leaves: others wait for the same commit.
        let committed = tokio::spawn(async move {
            let _turn = trail.committing.lock().await;
            let (lines, written): (Vec<_>, Vec<_>) = std::mem::take(&mut *held(&trail.waiting)).into_iter().unzip();
            if lines.is_empty() {
                return;
            }
            let outcome = catalog.commit(lines.into_iter().map(Change::Audit).collect()).await.map_err(|error| error.to_string());
            for of in written {
                of.send(outcome.clone()).ok();
            }
        });
        committed.await.map_err(|error| failed(error.to_string()))?;
        // Whoever committed it, it is done: ours came after it was put in.
        answer.try_recv().map_err(|_| failed("it was given up".to_owned()))?.map_err(failed)
    }

    /// Does something beside the request; [`House::settle_audit`] waits for it.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut beside = held(&self.beside);
        while beside.try_join_next().is_some() {}
        beside.spawn_on(work, &runtime);
    }
}

/// Something that was begun and whose outcome will be written, whatever it is.
pub(crate) struct Act {
    house: Arc<House>,
    line: Option<AuditRecord>,
}

impl Act {
    /// Writes the outcome and gives it back.
    pub(crate) async fn end<T>(mut self, outcome: Result<T, Problem>) -> Result<T, Problem> {
        let text = outcome.as_ref().map_or_else(|problem| format!("failed: {}", problem.detail), |_| DONE.to_owned());
        if let Some(line) = self.line.take() {
            self.house.add_line(AuditRecord { at_ms: self.house.clock.now_ms(), outcome: cut(&text), ..line }).await;
        }
        outcome
    }

    /// Writes the outcome beside the request.
    pub(crate) fn ended(mut self, outcome: &str) {
        self.write_beside(outcome);
    }

    /// Writes the run's outcome when it has ended.
    pub(crate) fn follow(mut self, run: &RunHandle) {
        let (Some(line), house, run) = (self.line.take(), self.house.clone(), run.clone()) else { return };
        self.house.memory.trail.spawn(async move {
            let outcome = of_run(&run.finished().await);
            house.add_line(AuditRecord { at_ms: house.clock.now_ms(), outcome, ..line }).await;
        });
    }

    fn write_beside(&mut self, outcome: &str) {
        let Some(line) = self.line.take() else { return };
        let (house, outcome) = (self.house.clone(), cut(outcome));
        self.house.memory.trail.spawn(async move {
            house.add_line(AuditRecord { at_ms: house.clock.now_ms(), outcome, ..line }).await;
        });
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        self.write_beside("broke off: the caller left before the end, and it may have been done in part");
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
    let error = run.tasks.iter().find_map(|task| task.error.as_deref()).map(|error| format!(": {error}")).unwrap_or_default();
    cut(&format!("{}: run {}{error}", run.state, run.id))
}

impl House {
    /// Says that something begins; on disk when this returns.
    pub(crate) async fn begin<'a>(
        self: &Arc<Self>,
        caller: &Caller,
        app: impl Into<Option<&'a AppId>>,
        action: &'static str,
        subject: &str,
    ) -> Result<Act, Problem> {
        let line = self.line(caller, app.into(), action, subject, BEGUN);
        // Before the first line is on disk: a caller may leave meanwhile, and that line needs its second all the same.
        let mut act = Act { house: self.clone(), line: Some(line.clone()) };
        let begun = self.memory.trail.write(&self.catalog, line).await;
        if begun.is_err() {
            act.line = None;
        }
        begun.map(|()| act)
    }

    /// Starts a run between two lines: what it is to do, and what became of it.
    pub(crate) async fn audited_run(
        self: &Arc<Self>,
        caller: &Caller,
        app: &AppId,
        action: &'static str,
        subject: &str,
        start: impl Future<Output = Result<RunHandle, Problem>>,
    ) -> Result<RunHandle, Problem> {
        let act = self.begin(caller, app, action, subject).await?;
        match start.await {
            Ok(run) => {
                act.follow(&run);
                Ok(run)
            }
            Err(problem) => act.end(Err(problem)).await,
        }
    }

    /// Writes one line, after the fact. That it cannot be written changes nothing of the fact.
    pub(crate) async fn note<T>(
        self: &Arc<Self>,
        caller: &Caller,
        app: Option<&AppId>,
        action: &'static str,
        subject: &str,
        outcome: Result<T, Problem>,
    ) -> Result<T, Problem> {
        let text = outcome.as_ref().map_or_else(|problem| cut(&format!("failed: {}", problem.detail)), |_| DONE.to_owned());
        self.add_line(self.line(caller, app, action, subject, &text)).await;
        outcome
    }

    /// The same for what failed only: the line of what was done is in its commit.
    pub(crate) async fn note_failure<T>(
        self: &Arc<Self>,
        caller: &Caller,
        app: Option<&AppId>,
        action: &'static str,
        subject: &str,
        outcome: Result<T, Problem>,
    ) -> Result<T, Problem> {
        if outcome.is_err() { self.note(caller, app, action, subject, outcome).await } else { outcome }
    }

    fn line(&self, caller: &Caller, app: Option<&AppId>, action: &str, subject: &str, outcome: &str) -> AuditRecord {
        AuditRecord {
            app: app.cloned(),
            at_ms: self.clock.now_ms(),
            actor: caller.id.clone(),
            action: action.to_owned(),
            subject: cut(subject),
            outcome: outcome.to_owned(),
        }
    }

    async fn add_line(&self, line: AuditRecord) {
        let told = format!("{} {} {}: {}", line.actor, line.action, line.subject, line.outcome);
        if let Err(problem) = self.memory.trail.write(&self.catalog, line).await {
            tracing::error!(line = told, detail = problem.detail, "a line of the audit trail is lost");
        }
    }

    /// Adds a call with changes to its key's sum.
    pub(crate) fn sum_changes<'a>(
        &self,
        caller: &Caller,
        app: &AppId,
        tags: impl Iterator<Item = &'a str>,
        outcome: Result<usize, &Problem>,
    ) {
        let mut sums = held(&self.memory.trail.sums);
        let sum = sums.entry((app.clone(), caller.id.clone())).or_default();
        sum.calls += 1;
        sum.last_ms = self.clock.now_ms();
        match outcome {
            Ok(changes) => sum.changes += changes as u64,
            Err(problem) => {
                sum.failed += 1;
                sum.last_error = cut(&problem.detail);
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
    pub async fn write_sums(&self) -> Result<(), Problem> {
        self.write_refusals(false).await?;
        let sums = std::mem::take(&mut *held(&self.memory.trail.sums));
        if sums.is_empty() {
            return Ok(());
        }
        let lines = sums.iter().map(|((app, actor), sum)| Change::Audit(sum.line(app, actor))).collect();
        let Err(error) = self.catalog.commit(lines).await else { return Ok(()) };
        let mut now = held(&self.memory.trail.sums);
        for (key, sum) in sums {
            now.entry(key).or_default().add(sum);
        }
        Err(error.into())
    }

    /// Waits until every line of what has ended is written. At the end of a process; runs have ended before.
    pub async fn settle_audit(&self) {
        if let Err(problem) = self.write_sums().await {
            tracing::error!(detail = problem.detail, "the audit trail's sums of changes are lost");
        }
        if let Err(problem) = self.write_refusals(true).await {
            tracing::error!(detail = problem.detail, "the audit trail's lines of refused calls are lost");
        }
        let mut beside = std::mem::take(&mut *held(&self.memory.trail.beside));
        while beside.join_next().await.is_some() {}
    }

    /// Writes the end of what an earlier process left open. Call it once, before anything begins.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn end_interrupted(&self) -> taghouse_catalog::Result<()> {
        let open = self.catalog.open_acts().await?;
        if open.is_empty() {
            return Ok(());
        }
        let (at_ms, outcome) = (self.clock.now_ms(), "interrupted: the process ended before it did, and it may have been done in part");
        let end = |line| Change::Audit(AuditRecord { at_ms, outcome: outcome.to_owned(), ..line });
        self.catalog.commit(open.into_iter().map(end).collect()).await
    }

    /// Removes lines that are too old or too many; call it now and then.
    ///
    /// # Errors
    /// The catalog cannot be written; it is done next time.
    pub async fn prune_audit(&self) -> Result<(), Problem> {
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
            (failed, calls) => format!("{DONE}, but {failed} of {calls} calls failed: {}", self.last_error),
        };
        AuditRecord {
            app: Some(app.clone()),
            at_ms: self.last_ms,
            actor: actor.to_owned(),
            action: "change".to_owned(),
            subject: format!("{} changes in {} calls, of {}", self.changes, self.calls, named(self.tags.iter())),
            outcome,
        }
    }
}

/// Puts an export between its two lines: what was asked for, and how much of it went out.
pub(crate) async fn audit_exports(
    State(house): State<Arc<House>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_export = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str().ends_with("/export"));
    let caller = request.extensions().get::<Caller>().cloned();
    let (true, Some(caller), Ok(parameters)) = (is_export, caller, parameters) else { return Ok(next.run(request).await) };
    let part = |wanted: &str| parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()).unwrap_or_default();
    let app = app_checked(&part("app"), &caller, Action::Read)?;
    let asked = request.uri().query().map(|query| format!(" ({query})")).unwrap_or_default();
    let act = house.begin(&caller, &app, "export", &format!("crowd {}{asked}", part("crowd"))).await?;
    let response = next.run(request).await;
    if !response.status().is_success() {
        act.ended(&format!("failed: {}", response.status()));
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Exported { body, bytes: 0, ended: false, act: Some(act) })))
}

/// The body of an export, which tells how it ended.
struct Exported {
    body: Body,
    bytes: u64,
    ended: bool,
    act: Option<Act>,
}

impl HttpBody for Exported {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                let outcome = format!("failed after {} bytes: {error}", self.bytes);
                if let Some(act) = self.act.take() {
                    act.ended(&outcome);
                }
            }
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let Some(act) = self.act.take() else { return };
        // A body that is dropped before its end had a reader who left.
        let whole = self.ended || self.body.is_end_stream();
        act.ended(&if whole {
            format!("{DONE}: {} bytes", self.bytes)
        } else {
            format!("broke off: the caller left after {} bytes", self.bytes)
        });
    }
}
