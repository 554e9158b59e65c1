//! What a group of requests comes to.

use crate::contents::Contents;
use crate::frame::Kind;
use crate::group::Group;
use crate::mark::Mark;
use crate::{Error, Result};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use taghouse_model::AppId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// One write of one caller.
pub(crate) struct Request {
    pub(crate) app: AppId,
    pub(crate) work: Work,
    /// Gets the app's end once the work is on disk.
    pub(crate) reply: oneshot::Sender<Result<u64>>,
    /// The caller's share of the bytes that may wait; given back when the request is done.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// What is to be written.
pub(crate) enum Work {
    /// Records at the next positions.
    Append(Vec<Vec<u8>>),
    /// Everything up to this position goes.
    Trim(u64),
}

/// A group's writes, and what to do when they are on disk.
#[derive(Default)]
pub(crate) struct CommitPlan {
    /// In the order in which they came, by app.
    appends: Vec<Append>,
    pub(crate) trims: BTreeMap<AppId, u64>,
    waiting: Vec<Waiting>,
}

struct Append {
    app: AppId,
    first: u64,
    records: Vec<Vec<u8>>,
}

struct Waiting {
    reply: oneshot::Sender<Result<u64>>,
    end: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl CommitPlan {
    /// Gives each request its positions; those that cannot have any are answered.
    pub(crate) fn of(requests: Vec<Request>, contents: &RwLock<Contents>) -> Self {
        let mut plan = Self::default();
        // Marks move only when the group is on disk.
        let (mut marks, mut places) = (HashMap::<AppId, Mark>::new(), HashMap::new());
        for Request { app, work, reply, permit } in requests {
            let mark = marks.entry(app.clone()).or_insert_with(|| contents.read().mark(&app));
            match work {
                Work::Append(records) => {
                    let first = mark.end + 1;
                    mark.end += records.len() as u64;
                    let place = *places.entry(app.clone()).or_insert(plan.appends.len());
                    match plan.appends.get_mut(place) {
                        Some(append) => append.records.extend(records),
                        None => plan.appends.push(Append { app, first, records }),
                    }
                }
                Work::Trim(through) if through > mark.end => {
                    let _ = reply.send(Err(Error::PastEnd { app, through, end: mark.end }));
                    continue;
                }
                Work::Trim(through) => {
                    if through > mark.trimmed {
                        mark.trimmed = through;
                        plan.trims.insert(app, through);
                    }
                }
            }
            plan.waiting.push(Waiting { reply, end: mark.end, _permit: permit });
        }
        plan
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.trims.is_empty()
    }

    pub(crate) fn put_into(&self, group: &mut Group) {
        for Append { app, first, records } in &self.appends {
            for (position, record) in (*first..).zip(records) {
                group.record(Kind::Records, app, position, record);
            }
        }
        self.trims.iter().for_each(|(app, through)| group.trim(app, *through));
    }

    /// Answers everybody.
    pub(crate) fn answer(self, outcome: &Result<()>) {
        for Waiting { reply, end, .. } in self.waiting {
            let answer = match outcome {
                Ok(()) => Ok(end),
                Err(error) => Err(error.again()),
            };
            let _ = reply.send(answer);
        }
    }
}
