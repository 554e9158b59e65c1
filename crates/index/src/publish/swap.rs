//! Moves the pointer to a prepared publication, on top of whatever was published last.

use super::merge::{Merged, Ready, merge};
use super::prepared::{ObjectToWrite, Prepared, Scope};
use crate::apps::{App, Known};
use crate::error::{Error, Result};
use crate::index::{Index, load_users};
use crate::manifest::UsersEntry;
use crate::pointer::WrittenManifest;
use crate::store::path_of;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::{AppId, ErrorKind};
use tokio::sync::OwnedMutexGuard;

/// The users' folder beside the tags' folders; no tag can be called so.
const USERS_FOLDER: &str = "users-bitmap";

/// Which of an app's locks the publisher holds already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// No pause between attempts.
    Waits,
    /// Nothing is flushed meanwhile.
    Flushing,
    /// Nothing is published meanwhile.
    Alone,
}

/// The outcome of an attempt to move the pointer.
enum Moved {
    To(u64),
    /// Another process has moved it.
    Lost,
}

impl Index {
    /// Makes a prepared publication visible, and keeps what others publish meanwhile. After a
    /// failure nothing of it stays.
    pub(crate) async fn publish_prepared(
        &self,
        app: &AppId,
        mut prepared: Prepared,
        also: Vec<Change>,
        turn: Turn,
    ) -> Result<u64> {
        let state = self.apps.get(app);
        let outcome = self.take_turns(app, &state, &mut prepared, &also, turn).await;
        if outcome.is_err() {
            self.discard(app, &prepared.written).await;
        }
        outcome
    }

    async fn take_turns(
        &self,
        app: &AppId,
        state: &App,
        prepared: &mut Prepared,
        also: &[Change],
        turn: Turn,
    ) -> Result<u64> {
        // Who says up to where the live changes are in must not be overtaken by a flush time and
        // again.
        let waits =
            turn == Turn::Waits && prepared.tags.iter().any(|tag| tag.flushed_through.is_some());
        let _flushing = if waits { Some(state.flushing.lock().await) } else { None };
        loop {
            let swapping = if turn == Turn::Alone {
                None
            } else {
                Some(state.swapping.clone().lock_owned().await)
            };
            let before = self.known_for(app, prepared.generation).await?;
            let log = self.log_of(app, &before).await?;
            let log_end = match log.clone() {
                // So that no reader meets the new segments under an overlay that has not come so
                // far.
                Some(log) => blocking::<_, Error>(move || Ok(log.tick().position)).await?,
                None => 0,
            };
            match merge(&before, prepared, log_end)? {
                Merged::Behind(behind) => {
                    drop(swapping);
                    let log = log.ok_or(Error::NoLog)?;
                    self.catch_up(app, &log, prepared, behind).await?;
                }
                Merged::Ready(ready) => {
                    match self.swap(app, state, prepared, before, ready, also).await? {
                        Moved::To(revision) => return self.shown(app, revision, swapping).await,
                        Moved::Lost => {
                            self.ask(app).await?;
                        }
                    }
                }
            }
        }
    }

    /// What a publication of a generation comes on top of: also where a manifest is lost of which
    /// it needs nothing.
    pub(super) async fn known_for(&self, app: &AppId, generation: u64) -> Result<Known> {
        match self.known(app).await {
            Err(error @ Error::Corrupt { .. }) => {
                self.replaceable(app, generation).await?.ok_or(error)
            }
            known => known,
        }
    }

    /// Writes the manifest and moves the pointer to it.
    async fn swap(
        &self,
        app: &AppId,
        state: &App,
        prepared: &mut Prepared,
        before: Known,
        ready: Ready,
        also: &[Change],
    ) -> Result<Moved> {
        let Ready { mut manifest, spare, remove } = ready;
        let next = before.revision.unwrap_or(0) + 1;
        let mut objects = Vec::with_capacity(2);
        manifest.users = match self.users_after(state, prepared, &before, &remove).await? {
            None => before.manifest.users.clone(),
            Some(users) => {
                let content = users.to_bytes().map_err(|e| Error::Internal(e.to_string()))?;
                let object =
                    path_of(app, USERS_FOLDER, next, prepared.publication, "bitmap", &content);
                objects.push(ObjectToWrite { object: object.clone(), source: content.into() });
                UsersEntry { object, count: users.len() }
            }
        };
        // Objects that older snapshots read stay for another publication.
        let (in_use, read) = (manifest.objects(), state.in_use());
        let retired = before.manifest.objects().into_iter().chain(before.object.clone());
        let earlier = before.manifest.retired.intersection(&read).cloned();
        manifest.retired =
            retired.chain(earlier).filter(|object| !in_use.contains(object)).collect();
        let written = WrittenManifest::of(app, &manifest, next, prepared.publication)?;
        let object = written.pointer.manifest.clone();
        objects
            .push(ObjectToWrite { object: object.clone(), source: written.content.clone().into() });
        let own: BTreeSet<String> =
            objects.iter().map(|ObjectToWrite { object, .. }| object.clone()).collect();
        prepared.written.extend(own.iter().cloned());
        self.write_objects(objects).await?;
        let mut changes = vec![written.change(app, before.revision)?];
        changes.extend_from_slice(also);
        if let Err(error) = self.catalog.commit(changes).await {
            // Whatever the catalog did, it is asked before it is relied on.
            state.forget_known();
            if error.kind() == ErrorKind::Conflict && self.revision(app).await? != before.revision {
                // Whoever won may have written the same users under the same name.
                self.discard(app, &own).await;
                prepared.written.retain(|object| !own.contains(object));
                return Ok(Moved::Lost);
            }
            return Err(error.into());
        }
        let revision = match before.revision {
            Some(_) => next,
            // Where there was an index once and no more, revisions go on from its last one.
            None => self.revision(app).await?.unwrap_or(next),
        };
        let still_read = &in_use | &manifest.retired;
        let deleted: BTreeSet<String> = &(&before.manifest.retired - &still_read) | &spare;
        state.know(Known {
            revision: Some(revision),
            manifest: Arc::new(manifest),
            object: Some(object),
        });
        self.objects.delete(&deleted).await;
        Ok(Moved::To(revision))
    }

    /// The users of the next cut; `None` when they are those before.
    async fn users_after(
        &self,
        state: &App,
        prepared: &Prepared,
        before: &Known,
        remove: &Bitmap,
    ) -> Result<Option<Bitmap>> {
        let entry = &before.manifest.users;
        let kept = !entry.object.is_empty() && before.manifest.generation == prepared.generation;
        if matches!(prepared.scope, Scope::Declaration) && prepared.users.is_empty() && kept {
            return Ok(None);
        }
        let shown = state
            .shown
            .cut()
            .filter(|cut| cut.users.object == entry.object)
            .map(|cut| cut.users.bitmap.clone());
        let users = match shown {
            _ if !kept => None,
            Some(shown) => Some(shown),
            None => match load_users(&self.objects, entry).await {
                Ok(users) => users.map(|users| users.bitmap),
                // Publishing puts that right.
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::warn!(%error, "the users that existed before cannot be read, those of this publication take their place");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        let Some(users) = users else { return Ok(Some(prepared.users.as_ref().clone())) };
        let all = (prepared.users.clone(), remove.clone());
        let next = blocking::<_, Error>(move || {
            let next = users.or(&all.0).and_not(&all.1);
            let same = next == *users;
            Ok((next, same))
        });
        let (next, same) = next.await?;
        // A batch writes them in any case, so that it replaces an object that is damaged.
        Ok((!same || matches!(prepared.scope, Scope::Batch)).then_some(next))
    }

    /// Shows readers what was published. The publication is done, so that a failure is theirs.
    async fn shown(
        &self,
        app: &AppId,
        revision: u64,
        swapping: Option<OwnedMutexGuard<()>>,
    ) -> Result<u64> {
        let state = self.apps.get(app);
        let shown = match self.known(app).await {
            Ok(known) => self.show(app, &known).await,
            Err(error) => Err(error),
        };
        drop(swapping);
        match shown {
            Ok(None) => return Ok(revision),
            Ok(Some(object)) => {
                tracing::warn!(%app, %object, "the index was published and an object of it is missing")
            }
            Err(error) => {
                tracing::warn!(%app, %error, "the index was published and cannot be read")
            }
        }
        state.forget();
        Ok(revision)
    }

    /// Deletes what a failed publication wrote, unless the cut that won reads the same objects, or
    /// nobody can tell.
    async fn discard(&self, app: &AppId, written: &BTreeSet<String>) {
        let state = self.apps.get(app);
        state.forget_known();
        let in_use: BTreeSet<String> = match self.ask(app).await {
            Ok(known) => {
                // The commit of which no answer came may have happened.
                if state.shown.cut().is_some_and(|cut| known.revision != Some(cut.revision)) {
                    state.shown.forget();
                }
                known
                    .manifest
                    .objects()
                    .into_iter()
                    .chain(known.manifest.retired.iter().cloned())
                    .chain(known.object)
                    .collect()
            }
            // A publication that needed nothing of a lost manifest: what it wrote stays as waste.
            Err(_) => return,
        };
        self.objects.delete(&(written - &in_use)).await;
    }
}
