//! Runs through the scheduler's public face, on a real catalog.
#![allow(clippy::unwrap_used, clippy::panic)]

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use sqlx::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_model::{AppId, Clock, ErrorKind, TimestampMs};
use taghouse_schedule::{
    Progress, Retry, RunHandle, RunState, RunStatus, Scheduler, Task, TaskError, TaskState,
};
use tokio::sync::{Barrier, Notify};

const LONG: Duration = Duration::from_secs(30);

/// Ticks by one at each look.
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now_ms(&self) -> TimestampMs {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

async fn catalog(folder: &Path) -> Arc<SqliteCatalog> {
    Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap())
}

fn scheduler(catalog: Arc<SqliteCatalog>) -> Scheduler {
    let retry = Retry { retries: 3, backoff: Duration::from_millis(1) };
    Scheduler::new(catalog, Arc::new(Ticks(AtomicI64::new(1000))))
        .with_retry(retry)
        .with_grace(Duration::from_millis(100))
}

/// What a task of these tests does.
#[derive(Clone)]
enum Does {
    /// Notes its name, yields, succeeds.
    Note(Arc<Mutex<Vec<String>>>),
    /// Meets others.
    Meet(Arc<Barrier>),
    /// Fails this often in this way, then succeeds.
    Fail(Arc<AtomicU32>, ErrorKind),
    /// Says that it has begun, then ends when it is asked to.
    UntilAsked(Arc<Notify>),
    /// Says that it has begun, then never ends.
    Never(Arc<Notify>),
    /// Says that it has begun, then holds its thread until it is let go, and hears nothing.
    Deaf(Arc<Notify>, Arc<Mutex<()>>),
    /// Notes the name of its thread.
    Thread(Arc<Mutex<Vec<String>>>),
    Panic,
    /// Reports progress, then waits for leave to end.
    Report(Arc<Notify>),
}

struct Step(&'static str, Vec<&'static str>, Does);

fn step(name: &'static str, after: &[&'static str], does: Does) -> Box<dyn Task> {
    Box::new(Step(name, after.to_vec(), does))
}

#[async_trait]
impl Task for Step {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn after(&self) -> Vec<String> {
        self.1.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn run(&mut self, progress: &Progress) -> Result<Json, TaskError> {
        match &self.2 {
            Does::Note(notes) => {
                tokio::task::yield_now().await;
                notes.lock().unwrap().push(self.0.to_owned());
            }
            Does::Meet(barrier) => {
                barrier.wait().await;
            }
            Does::Fail(times, kind) => {
                if times
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    return Err(TaskError::new(*kind, "not yet"));
                }
            }
            Does::UntilAsked(begun) => {
                begun.notify_one();
                progress.cancelled().await;
                assert!(progress.is_cancelled());
                return Err(TaskError::new(ErrorKind::Internal, "stopped when asked"));
            }
            Does::Never(begun) => {
                begun.notify_one();
                std::future::pending().await
            }
            Does::Deaf(begun, gate) => {
                begun.notify_one();
                drop(gate.lock().unwrap());
            }
            Does::Thread(names) => names
                .lock()
                .unwrap()
                .push(std::thread::current().name().unwrap_or_default().to_owned()),
            Does::Panic => panic!("a defect"),
            Does::Report(leave) => {
                progress.set(5, 10);
                progress.message("half way");
                leave.notified().await;
            }
        }
        Ok(json!({ "by": self.0 }))
    }
}

fn states(run: &RunStatus) -> String {
    let tasks: Vec<_> =
        run.tasks.iter().map(|task| format!("{} {}", task.name, task.state)).collect();
    format!("{}: {}", run.state, tasks.join(", "))
}

async fn run(tasks: Vec<Box<dyn Task>>) -> RunStatus {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let run =
        scheduler(catalog.clone()).start(&shop(), "test", tasks).await.unwrap().wait(LONG).await;
    let record = catalog.run(&shop(), &run.id).await.unwrap().unwrap();
    assert_eq!(record.state, run.state.to_string(), "what is said is recorded");
    assert_eq!(record.detail, json!({ "tasks": run.tasks }));
    assert_eq!((record.started_ms, record.finished_ms), (run.started_ms, run.finished_ms));
    assert!(
        run.state.is_final()
            && run.finished_ms.is_some()
            && run.tasks.iter().all(|task| task.state.is_final())
    );
    run
}

#[tokio::test]
async fn tasks_run_behind_those_they_need() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let note = || Does::Note(notes.clone());
    let done = run(vec![
        step("last", &["left", "right"], note()),
        step("left", &["first"], note()),
        step("right", &["first", "other"], note()),
        step("first", &[], note()),
        step("other", &[], note()),
    ])
    .await;
    assert_eq!(done.state, RunState::Succeeded);
    assert_eq!(done.tasks[0].result, Some(json!({ "by": "last" })));
    let notes = notes.lock().unwrap().clone();
    let place = |name: &str| notes.iter().position(|note| note == name).unwrap();
    assert_eq!(notes.len(), 5);
    for (before, behind) in [
        ("first", "left"),
        ("first", "right"),
        ("other", "right"),
        ("left", "last"),
        ("right", "last"),
    ] {
        assert!(place(before) < place(behind), "{before} before {behind} in {notes:?}");
    }
}

#[tokio::test]
async fn tasks_that_need_nothing_run_side_by_side() {
    let barrier = Arc::new(Barrier::new(3));
    let meet = || Does::Meet(barrier.clone());
    assert_eq!(
        run(vec![step("a", &[], meet()), step("b", &[], meet()), step("c", &[], meet())])
            .await
            .state,
        RunState::Succeeded
    );
}

#[tokio::test]
async fn passing_errors_are_tried_again_three_times() {
    let cases = [
        (ErrorKind::Unavailable, 0, 1, TaskState::Succeeded),
        (ErrorKind::Unavailable, 3, 4, TaskState::Succeeded),
        (ErrorKind::Conflict, 1, 2, TaskState::Succeeded),
        (ErrorKind::Conflict, 4, 4, TaskState::Failed),
        (ErrorKind::Invalid, 1, 1, TaskState::Failed),
        (ErrorKind::Corrupt, 1, 1, TaskState::Failed),
    ];
    for (kind, failures, attempts, state) in cases {
        let done =
            run(vec![step("a", &[], Does::Fail(Arc::new(AtomicU32::new(failures)), kind))]).await;
        let task = &done.tasks[0];
        assert_eq!((task.attempts, task.state), (attempts, state), "{kind:?} {failures} times");
        assert_eq!(task.error.as_deref(), (state == TaskState::Failed).then_some("not yet"));
    }
}

#[tokio::test]
async fn a_failure_skips_what_needs_it_and_nothing_else() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let note = || Does::Note(notes.clone());
    let done = run(vec![
        step("bad", &[], Does::Fail(Arc::new(AtomicU32::new(9)), ErrorKind::Invalid)),
        step("child", &["bad", "good"], note()),
        step("grandchild", &["child"], note()),
        step("good", &[], note()),
        step("friend", &["good"], note()),
        step("broken", &[], Does::Panic),
        step("behind_broken", &["broken"], note()),
    ])
    .await;
    assert_eq!(
        states(&done),
        "failed: bad failed, child skipped, grandchild skipped, good succeeded, friend succeeded, broken failed, behind_broken skipped"
    );
    assert_eq!(*notes.lock().unwrap(), ["good", "friend"]);
    assert_eq!(done.tasks[2].error.as_deref(), Some("\"bad\" did not succeed"));
    assert!(done.tasks[5].error.as_deref().unwrap().contains("a defect"), "{:?}", done.tasks[5]);
}

#[tokio::test]
async fn what_is_no_dag_is_refused_and_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let scheduler = scheduler(catalog.clone());
    for after in ["b", "x"] {
        let tasks = vec![
            step("a", &["c"], Does::Panic),
            step("b", &["a"], Does::Panic),
            step("c", if after == "b" { &["b"] } else { &["x"] }, Does::Panic),
        ];
        let error = scheduler.start(&shop(), "test", tasks).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(catalog.runs(&shop(), 10).await.unwrap(), []);
    assert_eq!(scheduler.list(&shop()), []);
}

#[tokio::test]
async fn a_cancel_stops_what_runs_and_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let scheduler = scheduler(catalog(folder.path()).await);
    let (begun, notes) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let tasks = |blocks: Does| {
        vec![
            step("done", &[], Does::Note(notes.clone())),
            step("runs", &["done"], blocks),
            step("waits", &["runs"], Does::Note(notes.clone())),
            step("waits_more", &["waits", "done"], Does::Note(notes.clone())),
        ]
    };
    for (blocks, error) in [
        (Does::UntilAsked(begun.clone()), "stopped when asked"),
        (Does::Never(begun.clone()), "stopped by a cancel"),
    ] {
        let run = scheduler.start(&shop(), "test", tasks(blocks)).await.unwrap();
        begun.notified().await;
        assert_eq!(
            states(&run.wait(Duration::from_millis(20)).await),
            "running: done succeeded, runs running, waits pending, waits_more pending"
        );
        run.cancel();
        run.cancel();
        let end = run.wait(LONG).await;
        assert_eq!(
            states(&end),
            "cancelled: done succeeded, runs cancelled, waits cancelled, waits_more cancelled"
        );
        assert_eq!(end.tasks[1].error.as_deref(), Some(error));
    }
    assert_eq!(*notes.lock().unwrap(), ["done", "done"]);
}

#[test]
#[allow(clippy::await_holding_lock, reason = "it is what the deaf task waits for")]
fn a_task_that_holds_its_thread_neither_holds_the_run_nor_who_started_it() {
    let tasks_runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("of-tasks")
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (begun, gate, names) =
        (Arc::new(Notify::new()), Arc::new(Mutex::new(())), Arc::new(Mutex::new(Vec::new())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = catalog(folder.path()).await;
        let scheduler = scheduler(catalog.clone()).on(tasks_runtime.handle().clone());
        let quick = scheduler
            .start(&shop(), "test", vec![step("a", &[], Does::Thread(names.clone()))])
            .await
            .unwrap();
        assert_eq!(quick.wait(LONG).await.state, RunState::Succeeded);
        assert_eq!(*names.lock().unwrap(), ["of-tasks"]);
        let held = gate.lock().unwrap();
        let deaf = vec![
            step("deaf", &[], Does::Deaf(begun.clone(), gate.clone())),
            step("behind", &["deaf"], Does::Panic),
        ];
        let run = scheduler.start(&shop(), "test", deaf).await.unwrap();
        begun.notified().await;
        scheduler.shut_down().await;
        assert_eq!(states(&run.status()), "cancelled: deaf cancelled, behind cancelled");
        assert_eq!(
            run.status().tasks[0].error.as_deref(),
            Some("it did not stop in time and was left behind")
        );
        assert_eq!(catalog.unfinished_runs().await.unwrap(), []);
        drop(held);
    });
}

/// The shortest of some, for a machine that is busy now and then.
#[test]
#[allow(clippy::await_holding_lock, reason = "it is what the deaf task waits for")]
fn a_cancel_is_over_within_a_second_whatever_the_task_does() {
    let tasks_runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = catalog(folder.path()).await;
        let mut shortest = LONG;
        for _ in 0..5 {
            let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Mutex::new(())));
            let clock = Arc::new(Ticks(AtomicI64::new(1000)));
            let scheduler =
                Scheduler::new(catalog.clone(), clock).on(tasks_runtime.handle().clone());
            let held = gate.lock().unwrap();
            let run = scheduler
                .start(
                    &shop(),
                    "test",
                    vec![step("deaf", &[], Does::Deaf(begun.clone(), gate.clone()))],
                )
                .await
                .unwrap();
            begun.notified().await;
            let asked = Instant::now();
            run.cancel();
            assert_eq!(run.finished().await.state, RunState::Cancelled);
            shortest = shortest.min(asked.elapsed());
            drop(held);
        }
        assert!(shortest < Duration::from_secs(1), "{shortest:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_told_while_the_catalog_takes_nothing_and_recorded_later() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let scheduler = scheduler(catalog.clone());
    let begun = Arc::new(Notify::new());
    let run = scheduler
        .start(&shop(), "test", vec![step("never", &[], Does::Never(begun.clone()))])
        .await
        .unwrap();
    begun.notified().await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("catalog.db"));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    run.cancel();
    // The catalog would wait ten seconds for the lock, and be tried four times.
    assert_eq!(run.wait(Duration::from_secs(5)).await.state, RunState::Cancelled);
    assert_eq!(catalog.run(&shop(), run.id()).await.unwrap().unwrap().state, "running");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    scheduler.shut_down().await;
    let recorded = async {
        while catalog.run(&shop(), run.id()).await.unwrap().unwrap().state != "cancelled" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, recorded).await.unwrap();
}

#[tokio::test]
async fn a_cancel_ends_the_pause_before_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let retry = Retry { retries: 3, backoff: LONG * 100 };
    let scheduler = scheduler(catalog(folder.path()).await).with_retry(retry);
    let fails = Does::Fail(Arc::new(AtomicU32::new(9)), ErrorKind::Unavailable);
    let run = scheduler.start(&shop(), "test", vec![step("a", &[], fails)]).await.unwrap();
    run.watch()
        .wait_for(|run| run.tasks[0].message.starts_with("retry 1 of 3 in 3000000 ms: not yet"))
        .await
        .unwrap();
    run.cancel();
    assert_eq!(states(&run.wait(LONG).await), "cancelled: a cancelled");
}

#[tokio::test]
async fn progress_is_seen_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let scheduler = scheduler(catalog(folder.path()).await);
    let leave = Arc::new(Notify::new());
    let run = scheduler
        .start(&shop(), "test", vec![step("a", &[], Does::Report(leave.clone()))])
        .await
        .unwrap();
    run.watch().wait_for(|run| run.tasks[0].message == "half way").await.unwrap();
    let seen = scheduler.get(run.id()).unwrap().status();
    assert_eq!((seen.tasks[0].done, seen.tasks[0].total, seen.state), (5, 10, RunState::Running));
    let text = serde_json::to_value(&seen).unwrap();
    assert_eq!(
        (&text["state"], &text["tasks"][0]["state"]),
        (&json!("running"), &json!("running"))
    );
    assert_eq!(serde_json::from_value::<RunStatus>(text).unwrap(), seen);
    leave.notify_one();
    assert_eq!(run.finished().await.state, RunState::Succeeded);
}

#[tokio::test]
async fn runs_are_found_by_id_and_app() {
    let folder = tempfile::tempdir().unwrap();
    let scheduler = scheduler(catalog(folder.path()).await);
    let other = AppId::new("other").unwrap();
    let mut ids = Vec::new();
    for app in [shop(), other.clone(), shop()] {
        ids.push(scheduler.start(&app, "test", Vec::new()).await.unwrap().id().to_owned());
    }
    let list = |app: &AppId| scheduler.list(app).into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(list(&shop()), [ids[2].clone(), ids[0].clone()]);
    assert_eq!(list(&other), [ids[1].clone()]);
    assert_eq!(scheduler.get(&ids[1]).map(|run| run.app().clone()), Some(other));
    assert!(scheduler.get("run-1-1").is_none());
    assert_eq!(
        scheduler.get(&ids[0]).unwrap().wait(LONG).await.state,
        RunState::Succeeded,
        "a run without tasks"
    );
}

/// Starts runs in a runtime that dies with them: as SIGKILL leaves the catalog.
fn leave_open(folder: &Path) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let scheduler = scheduler(catalog(folder).await);
        let begun = Arc::new(Notify::new());
        let whole = scheduler
            .start(&shop(), "test", vec![step("a", &[], Does::Note(Arc::default()))])
            .await
            .unwrap();
        assert_eq!(whole.wait(LONG).await.state, RunState::Succeeded);
        let tasks =
            vec![step("a", &[], Does::Never(begun.clone())), step("b", &["a"], Does::Panic)];
        let open: RunHandle = scheduler.start(&shop(), "test", tasks).await.unwrap();
        begun.notified().await;
        open.id().to_owned()
    });
    runtime.shutdown_background();
    id
}

#[test]
fn runs_of_a_dead_process_are_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let open = leave_open(folder.path());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let catalog = catalog(folder.path()).await;
        let scheduler = scheduler(catalog.clone());
        // The same clock begins again: ids must differ all the same.
        let begun = Arc::new(Notify::new());
        let mine = scheduler
            .start(&shop(), "test", vec![step("a", &[], Does::UntilAsked(begun.clone()))])
            .await
            .unwrap();
        begun.notified().await;
        assert_eq!(
            scheduler.recover().await.unwrap(),
            1,
            "the whole run and this process's run are left alone"
        );
        assert_eq!(scheduler.recover().await.unwrap(), 0);

        let record = catalog.run(&shop(), &open).await.unwrap().unwrap();
        assert_eq!((record.state.as_str(), record.finished_ms.is_some()), ("interrupted", true));
        assert_eq!(record.detail["tasks"][0]["state"], json!("cancelled"));
        assert_eq!(record.detail["tasks"][1]["error"], json!("its process ended"));
        assert!(!mine.status().state.is_final());
        assert_eq!(catalog.runs(&shop(), 10).await.unwrap().len(), 3);

        scheduler.shut_down().await;
        assert_eq!(mine.status().state, RunState::Cancelled);
        let refused = scheduler.start(&shop(), "test", Vec::new()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(catalog.unfinished_runs().await.unwrap(), []);
    });
}

#[tokio::test]
async fn an_end_that_could_not_be_recorded_is_recorded_once_the_catalog_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let scheduler = scheduler(catalog.clone());
    let leave = Arc::new(Notify::new());
    let run = scheduler
        .start(&shop(), "produce", vec![step("a", &[], Does::Report(leave.clone()))])
        .await
        .unwrap();
    // A catalog that refuses.
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("catalog.db"));
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let refuse =
        "CREATE TRIGGER refuse BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'refused'); END";
    sqlx::raw_sql(refuse).execute(&mut other).await.unwrap();
    leave.notify_one();
    assert_eq!(run.wait(LONG).await.state, RunState::Succeeded, "its end is known all the same");
    assert_eq!(catalog.run(&shop(), run.id()).await.unwrap().unwrap().state, "running");
    sqlx::raw_sql("DROP TRIGGER refuse").execute(&mut other).await.unwrap();
    let began = std::time::Instant::now();
    while catalog.run(&shop(), run.id()).await.unwrap().unwrap().state != "succeeded" {
        assert!(began.elapsed() < LONG, "the end was never recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
