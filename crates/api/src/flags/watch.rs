//! Who waits for changes of flags is woken: all where definitions or versions changed, one user where
//! the change feed says that the user entered or left a live crowd.
//!
//! 1. The first who watches an app begins a task for it, which ends when nobody watches.
//! 2. The task follows the feed, and looks whether definitions or versions are others.
//! 3. Whoever is woken evaluates the flags of its user, and tells of a change where the ETag differs.
//!    A wake is a hint: one too many does no harm, and what no hint tells, such as an id that became
//!    another user's, is found by looking at the flags every few seconds.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use taghouse_crowd::VersionsMark;
use taghouse_engine::Engine;
use taghouse_feed::{Change, FeedReader, Record, Start};
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use tokio::sync::watch;

/// How often definitions and versions are compared with those of before.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the feed is left alone after it could not be read.
const FEED_AGAIN: Duration = Duration::from_secs(5);

/// The apps that are watched.
#[derive(Default)]
pub(crate) struct Watches {
    apps: Mutex<HashMap<AppId, Weak<AppWatch>>>,
    is_over: AtomicBool,
}

/// One app's watchers.
struct AppWatch {
    /// Counts what concerns everybody.
    everybody: watch::Sender<Everybody>,
    users: Mutex<HashMap<String, Watched>>,
}

/// What all watchers are told.
#[derive(Clone, Copy, Default)]
struct Everybody {
    changes: u64,
    is_over: bool,
}

/// A user who is watched, by as many as follow the count of what concerns the user alone.
type Watched = watch::Sender<u64>;

/// A watcher of one user's flags.
pub(crate) struct Watch {
    app: Arc<AppWatch>,
    user: String,
    changes: watch::Receiver<u64>,
    everybody: watch::Receiver<Everybody>,
}

impl Watches {
    /// Watches a user. `user` is the id by which the feed names the user.
    pub(crate) fn watch(&self, engine: &Arc<Engine>, app: &AppId, user: &str) -> Watch {
        let mut apps = self.apps.lock();
        let watched = apps.get(app).and_then(Weak::upgrade).unwrap_or_else(|| {
            let watched =
                Arc::new(AppWatch { everybody: watch::Sender::default(), users: Mutex::default() });
            apps.retain(|_, watched| watched.strong_count() > 0);
            apps.insert(app.clone(), Arc::downgrade(&watched));
            tokio::spawn(follow(engine.clone(), app.clone(), Arc::downgrade(&watched)));
            watched
        });
        drop(apps);
        if self.is_over() {
            watched.end();
        }
        let everybody = watched.everybody.subscribe();
        let changes = watched.add(user);
        Watch { app: watched, user: user.to_owned(), changes, everybody }
    }

    /// Tells all who watch that nothing more comes, for the process ends.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.apps.lock().values().filter_map(Weak::upgrade).for_each(|watched| watched.end());
    }

    /// Whether the process is about to end.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

impl AppWatch {
    fn add(&self, user: &str) -> watch::Receiver<u64> {
        self.users.lock().entry(user.to_owned()).or_default().subscribe()
    }

    /// The watcher that leaves still counts.
    fn leave(&self, user: &str) {
        let mut users = self.users.lock();
        if users.get(user).is_some_and(|watched| watched.receiver_count() <= 1) {
            users.remove(user);
        }
    }

    fn wake_user(&self, user: &str) {
        if let Some(watched) = self.users.lock().get(user) {
            watched.send_modify(|changes| *changes += 1);
        }
    }

    fn wake_everybody(&self) {
        self.everybody.send_modify(|told| told.changes += 1);
    }

    fn end(&self) {
        self.everybody.send_modify(|told| told.is_over = true);
    }

    fn wake_for(&self, record: &Record) {
        match &record.change {
            Change::Entered { user, .. }
            | Change::Exited { user, .. }
            | Change::UserDeleted { user } => self.wake_user(user),
            Change::CrowdPublished { .. } => self.wake_everybody(),
            Change::Tag { .. } | Change::TagPublished { .. } => {}
        }
    }
}

impl Watch {
    /// Waits until the flags of the user may be others; `false`: nothing more comes.
    pub(crate) async fn woken(&mut self) -> bool {
        let is_there = tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            changed = self.everybody.changed() => changed.is_ok(),
        };
        is_there && !self.is_over()
    }

    /// Whether the process is about to end.
    pub(crate) fn is_over(&self) -> bool {
        self.everybody.borrow().is_over
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.app.leave(&self.user);
    }
}

/// What the flags of an app come from.
#[derive(PartialEq)]
struct Sources {
    /// The address of what is in force: another definition, another address.
    definitions: Option<SameDefinitions>,
    versions: VersionsMark,
}

struct SameDefinitions(Arc<Definitions>);

impl PartialEq for SameDefinitions {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Sources {
    async fn of(engine: &Engine, app: &AppId) -> Self {
        Self {
            definitions: engine.definitions(app).await.ok().map(SameDefinitions),
            versions: engine.crowds.versions_mark(app),
        }
    }
}

/// Wakes the watchers of an app as long as there are some.
async fn follow(engine: Arc<Engine>, app: AppId, watched: Weak<AppWatch>) {
    let mut feed = Follower::default();
    let mut sources = Sources::of(&engine, &app).await;
    while let Some(watched) = watched.upgrade() {
        let now = Sources::of(&engine, &app).await;
        if now != sources {
            sources = now;
            watched.wake_everybody();
        }
        if feed.open(&engine, &app).await {
            // What came before is not read.
            watched.wake_everybody();
        }
        for record in feed.read(&app).await {
            watched.wake_for(&record);
        }
    }
}

/// A reader of the feed, from the moment at which it was opened.
#[derive(Default)]
struct Follower {
    reader: Option<FeedReader>,
    /// When it could not be read.
    failed: Option<Instant>,
}

impl Follower {
    /// Whether the feed was opened now.
    async fn open(&mut self, engine: &Engine, app: &AppId) -> bool {
        let is_soon = self.failed.is_some_and(|failed| failed.elapsed() < FEED_AGAIN);
        if self.reader.is_some() || is_soon {
            return false;
        }
        match engine.feeds.reader(app, Start::Latest).await {
            Ok(reader) => self.reader = Some(reader),
            Err(error) => {
                tracing::warn!(%error, %app, "flags that change with live crowds are told late: the change feed cannot be read");
                self.failed = Some(Instant::now());
            }
        }
        self.reader.is_some()
    }

    /// New records, or none after [`LOOK_EVERY`].
    async fn read(&mut self, app: &AppId) -> Vec<Record> {
        let Some(reader) = &mut self.reader else {
            tokio::time::sleep(LOOK_EVERY).await;
            return Vec::new();
        };
        match tokio::time::timeout(LOOK_EVERY, reader.wait()).await {
            Err(_) => return Vec::new(),
            Ok(true) => {}
            Ok(false) => {
                self.reader = None;
                self.failed = Some(Instant::now());
                return Vec::new();
            }
        }
        // To its end: a reading that is given up loses its place.
        reader.read().await.unwrap_or_else(|error| {
            tracing::debug!(%error, %app, "the change feed is followed from its end");
            self.reader = None;
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app_watch() -> AppWatch {
        AppWatch { everybody: watch::Sender::default(), users: Mutex::default() }
    }

    fn watch_of(app: &Arc<AppWatch>, user: &str) -> Watch {
        let (everybody, changes) = (app.everybody.subscribe(), app.add(user));
        Watch { app: app.clone(), user: user.to_owned(), changes, everybody }
    }

    #[tokio::test]
    async fn one_user_or_everybody_is_woken_also_when_not_waiting() {
        let app = Arc::new(app_watch());
        let (mut ann, mut bob) = (watch_of(&app, "ann"), watch_of(&app, "bob"));
        let is_woken = async |watch: &mut Watch| {
            tokio::time::timeout(Duration::from_millis(20), watch.woken()).await.ok()
        };
        app.wake_user("ann");
        assert_eq!(is_woken(&mut ann).await, Some(true));
        assert_eq!(is_woken(&mut ann).await, None, "once");
        assert_eq!(is_woken(&mut bob).await, None);
        app.wake_everybody();
        assert_eq!((is_woken(&mut ann).await, is_woken(&mut bob).await), (Some(true), Some(true)));
        let second = watch_of(&app, "ann");
        drop(ann);
        assert_eq!(app.users.lock().len(), 2, "another watches ann");
        drop(second);
        assert_eq!(app.users.lock().len(), 1);
        app.end();
        assert_eq!(is_woken(&mut bob).await, Some(false));
    }
}
