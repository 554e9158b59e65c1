//! Who read the data of single users: summed up for each key, app, minute and way of reading.
//!
//! Judgments come by the ten thousand per second, so they are counted in memory. A process that is
//! killed loses the sums of its last minute. The lines name tags and crowds, never users.

use crate::trail::{DONE, named};
use crate::{Engine, Error};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use taghouse_catalog::{AuditRecord, Change};
use taghouse_model::{AppId, TimestampMs};

/// How many names a sum keeps; one more says that there are more.
const NAMED: usize = 21;

/// The sums that are not in the trail yet, by actor.
#[derive(Default)]
pub(crate) struct Reads(Mutex<HashMap<String, Vec<Read>>>);

/// What one key read in one way.
struct Read {
    app: AppId,
    action: &'static str,
    calls: u64,
    users: u64,
    names: BTreeSet<String>,
    last_ms: TimestampMs,
}

impl Read {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.users += other.users;
        self.names.extend(other.names);
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    fn line(&self, actor: &str) -> AuditRecord {
        let of = match self.names.len() {
            0 => String::new(),
            _ => format!(", of {}", named(self.names.iter())),
        };
        AuditRecord {
            app: Some(self.app.clone()),
            at_ms: self.last_ms,
            actor: actor.to_owned(),
            action: self.action.to_owned(),
            subject: match self.users {
                0 => format!("{} calls{of}", self.calls),
                users => format!("{users} users in {} calls{of}", self.calls),
            },
            outcome: DONE.to_owned(),
        }
    }
}

impl Engine {
    /// Adds a call that was answered with what single users have or are: of how many users, and by
    /// which tags and crowds. `actor` is a key's id. Allocates nothing once the key is known.
    pub fn sum_read<'a>(
        &self,
        actor: &str,
        app: &AppId,
        action: &'static str,
        users: u64,
        names: impl Iterator<Item = &'a str>,
    ) {
        let now_ms = self.clock.now_ms();
        let mut all = self.memory.reads.0.lock();
        if !all.contains_key(actor) {
            all.insert(actor.to_owned(), Vec::new());
        }
        let Some(of_actor) = all.get_mut(actor) else { return };
        let known = of_actor.iter().position(|read| read.action == action && read.app == *app);
        let place = known.unwrap_or_else(|| {
            let (app, names) = (app.clone(), BTreeSet::new());
            of_actor.push(Read { app, action, calls: 0, users: 0, names, last_ms: now_ms });
            of_actor.len() - 1
        });
        let Some(read) = of_actor.get_mut(place) else { return };
        read.calls += 1;
        read.users += users;
        read.last_ms = now_ms;
        for name in names {
            if read.names.len() >= NAMED {
                break;
            }
            if !read.names.contains(name) {
                read.names.insert(name.to_owned());
            }
        }
    }

    /// Writes the sums; call it every minute.
    ///
    /// # Errors
    /// The catalog cannot be written; the sums are kept and written next time.
    pub(crate) async fn write_reads(&self) -> Result<(), Error> {
        let sums = std::mem::take(&mut *self.memory.reads.0.lock());
        let lines = sums.iter().flat_map(|(actor, reads)| reads.iter().map(|r| r.line(actor)));
        let lines: Vec<Change> = lines.map(Change::Audit).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let Err(error) = self.catalog.commit(lines).await else { return Ok(()) };
        let mut now = self.memory.reads.0.lock();
        for (actor, reads) in sums {
            let of_actor = now.entry(actor).or_default();
            for read in reads {
                let same = |other: &&mut Read| other.action == read.action && other.app == read.app;
                match of_actor.iter_mut().find(same) {
                    Some(other) => other.add(read),
                    None => of_actor.push(read),
                }
            }
        }
        Err(error.into())
    }
}
