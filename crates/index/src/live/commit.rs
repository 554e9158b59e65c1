//! The thread that logs changes: group commit.

use super::app_log::Shared;
use super::change::Block;
use super::change_log::ChangeLog;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use taghouse_model::Ordinal;
use tokio::sync::oneshot;

/// A frame takes no further call once it has this many bytes.
const FRAME_BYTES: usize = 8 << 20;

/// Answers a call with the position of its last change.
type Reply = oneshot::Sender<Result<u64>>;

/// The changes of one call, on their way to the log.
pub(super) struct Request {
    pub(super) generation: u64,
    pub(super) blocks: Vec<Block>,
    pub(super) added: Vec<Ordinal>,
    pub(super) deleted: Vec<Ordinal>,
    pub(super) payload: Vec<u8>,
    pub(super) changes: u32,
    pub(super) reply: Reply,
}

impl Shared {
    /// Serves calls until there is no sender left. While one frame is synced, the calls of the next
    /// one queue up: that is all there is to group commit.
    pub(super) fn commit_all(&self, requests: &Receiver<Request>) {
        let mut group: Vec<Request> = Vec::new();
        while let Ok(first) = requests.recv() {
            let mut bytes = first.payload.len();
            group.push(first);
            while bytes < FRAME_BYTES
                && let Ok(next) = requests.try_recv()
            {
                bytes += next.payload.len();
                group.push(next);
            }
            let mut held = self.held.lock();
            self.released.wait_while(&mut held, |held| *held);
            let mut log = self.log.lock();
            drop(held);
            self.commit(&mut log, std::mem::take(&mut group));
        }
    }

    /// Logs a group as one frame, and answers each call.
    fn commit(&self, log: &mut ChangeLog, group: Vec<Request>) {
        // 1. Refuse calls that no longer fit. Since they were checked, their ordinals may have
        //    become those of other users, or their tags those of another type.
        let generation = self.overlay().generation;
        let superseded = log.is_superseded();
        let fits = |request: &Request| {
            let same = |block: &Block| {
                self.tag(block.tag.name.as_str()).is_some_and(|tag| Arc::ptr_eq(&tag, &block.tag))
            };
            !superseded && request.generation == generation && request.blocks.iter().all(same)
        };
        let (group, refused): (Vec<Request>, Vec<Request>) = group.into_iter().partition(fits);
        for Request { generation: of, reply, .. } in refused {
            let _ = reply.send(Err(Error::Generation { of, current: generation }));
        }
        let changes = group.iter().map(|request| u64::from(request.changes)).sum::<u64>();
        if changes == 0 {
            group.into_iter().for_each(|request| drop(request.reply.send(Ok(log.end()))));
            return;
        }

        // 2. Append the others as one frame, synced.
        let before = log.end();
        let len = group.iter().map(|request| request.payload.len()).sum();
        let mut payload = Vec::with_capacity(len);
        group.iter().for_each(|request| payload.extend_from_slice(&request.payload));
        let outcome = u32::try_from(changes)
            .map_err(|_| Error::TooMany(changes as usize))
            .and_then(|count| log.append(&payload, count));
        if let Err(error) = outcome {
            tracing::error!(%error, "the change log cannot be written");
            for request in group {
                let _ = request.reply.send(Err(self.disk_error(&error)));
            }
            return;
        }

        // 3. Hand them to the next tick, and answer.
        for (reply, position) in self.push_pending(group, before) {
            let _ = reply.send(Ok(position));
        }
    }

    /// Adds logged calls to the pending changes. Gives each call's reply and last position.
    fn push_pending(&self, group: Vec<Request>, before: u64) -> Vec<(Reply, u64)> {
        let mut position = before;
        let mut pending = self.pending.lock();
        let mut replies = Vec::with_capacity(group.len());
        for Request { blocks, added, deleted, reply, changes, .. } in group {
            let mut next = position + 1;
            for Block { tag, entries } in blocks {
                next = pending.push(tag, entries, next);
            }
            pending.added.extend(added);
            pending.deleted.extend(deleted);
            position += u64::from(changes);
            replies.push((reply, position));
        }
        pending.position = position;
        replies
    }

    /// A copy of a failed append's error, for each of its calls.
    fn disk_error(&self, error: &Error) -> Error {
        match error {
            Error::Disk { file, detail } => {
                Error::Disk { file: file.clone(), detail: detail.clone() }
            }
            other => {
                Error::Disk { file: self.folder.display().to_string(), detail: other.to_string() }
            }
        }
    }
}
