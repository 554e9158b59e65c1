use crate::{Error, Result, Users};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_crowd::Question;
use taghouse_dictionary::{Dictionary, Renumbering};
use taghouse_disk::blocking;
use taghouse_index::{HeldIndex, Numbering, Publication, Renaming};
use taghouse_model::{AppId, Ordinal, TimestampMs};
use taghouse_rules::Definitions;
use tokio::runtime::Handle;
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_util::sync::CancellationToken;

/// Ids copied between two checks whether the compaction was stopped.
const IDS_AT_ONCE: usize = 1 << 14;

/// The result of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The generation that is current now.
    pub generation: u64,
    /// How many users there were before.
    pub before: u64,
    /// Users that expired.
    pub expired: u64,
    /// How many users there are now.
    pub users: u64,
    /// Bytes of the dictionary on disk before.
    pub dictionary_bytes_before: u64,
    /// Bytes of the dictionary on disk now.
    pub dictionary_bytes: u64,
}

/// The locks of a compaction. They go with its work, for it may outlive its caller.
struct Exclusive {
    held: HeldIndex,
    /// When the users that expire were selected.
    asked_ms: TimestampMs,
    _writers: OwnedRwLockWriteGuard<()>,
    _numbering: Numbering,
}

impl Users {
    /// Renumbers the users without gaps, and removes those that match `expire` (such as `last_seen
    /// < "2025-10-01"`). Writes the dictionary, every segment and every kept crowd version under
    /// the new generation, and makes all of it current in one commit of the catalog. Meanwhile
    /// queries are answered, each from one generation; changes and deletions wait. It waits for a
    /// running production to end, and the next one waits for it.
    ///
    /// Until the commit, `stop` is checked between its steps and within the long ones; a stopped
    /// compaction changes nothing.
    ///
    /// # Errors
    /// [`Error::NoTags`]; [`Error::Stopped`]; those of the crowds for an expression
    /// that does not fit; those of the index, the dictionary and the catalog. Then nothing has
    /// changed.
    pub async fn compact(
        self: &Arc<Self>,
        app: &AppId,
        definitions: &Definitions,
        expire: Option<&Question>,
        stop: &CancellationToken,
    ) -> Result<Compacted> {
        // Before the lock, so that changes go on while this waits for a production.
        let numbering = self.index.numbering(app).await;
        let writers = self.lock(app).write_owned().await;
        let held = self.index.hold(app).await?.ok_or_else(|| Error::NoTags { app: app.clone() })?;
        let asked_ms = self.clock.now_ms();
        // Writers wait, so nothing comes between this and the cut that is held.
        let expired = match expire {
            Some(question) => self.crowds.bitmap(app, definitions, question).await?,
            None => Bitmap::new(),
        };
        let exclusive = Exclusive { held, asked_ms, _writers: writers, _numbering: numbering };
        let (users, app, runtime, stop) =
            (self.clone(), app.clone(), Handle::current(), stop.clone());
        // On a blocking thread, for the dictionary's part is synchronous and the other parts lie
        // between its steps. If the caller is dropped, the work goes on until it notices `stop`.
        let work = move || users.renumber(&app, exclusive, &expired, &runtime, &stop);
        blocking(work).await
    }

    /// Records who expires, before it takes effect. If the process ends in between, the next
    /// production removes those users.
    async fn note_expired(
        &self,
        app: &AppId,
        asked_ms: TimestampMs,
        expired: &Bitmap,
    ) -> Result<()> {
        let ordinals: Vec<Ordinal> = expired.iter().collect();
        for some in ordinals.chunks(IDS_AT_ONCE) {
            let ids = self.dictionary.resolve(app, some)?;
            self.note_deleted(app, asked_ms, ids.into_iter().flatten(), true).await?;
        }
        Ok(())
    }

    fn renumber(
        &self,
        app: &AppId,
        exclusive: Exclusive,
        expired: &Bitmap,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Compacted> {
        let Exclusive { held, asked_ms, _writers, _numbering } = exclusive;
        let check_stopped = || if stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) };
        let snapshot = held.snapshot().clone();
        let kept = snapshot.users().and_not(expired);
        let bytes_before = self.dictionary.bytes_on_disk(app)?;

        // 1. The dictionary: copies the ids of the users that are kept.
        let dictionary: &Dictionary = &self.dictionary;
        check_stopped()?;
        let taken = kept
            .iter()
            .enumerate()
            .take_while(|(number, _)| number % IDS_AT_ONCE > 0 || !stop.is_cancelled());
        let repack = dictionary.repack(app, taken.map(|(_, ordinal)| ordinal))?;
        check_stopped()?;

        // 2. The index and the crowd versions, under the new ordinals.
        let to = repack.generation();
        let renumbering = repack.renumbering().clone();
        let of_index = renumbering.clone();
        let renaming: Renaming = Arc::new(move |old| of_index.new_ordinal(old));
        let publication = runtime.block_on(held.renamed(to, renaming, stop))?;
        check_stopped()?;
        let crowds_hold = runtime.block_on(self.crowds.pause_computations(app));
        let mut crowds = runtime.block_on(self.crowds.renumbered(
            &crowds_hold,
            app,
            snapshot.generation(),
            to,
            renumber_set(renumbering, stop.clone()),
        ))?;

        // 3. One commit makes all of it current. From here on a stop is ignored.
        let changes = crowds.changes.clone();
        let published = repack.finish(|_| -> Result<()> {
            check_stopped()?;
            runtime.block_on(self.note_expired(app, asked_ms, &snapshot.users().and_not(&kept)))?;
            runtime.block_on(self.publish_generation(app, held, publication, changes))?;
            // Now, while both generations can be read: later, the old versions are unreadable.
            self.crowds.renumbering_published(app, &mut crowds);
            Ok(())
        });

        // 4. Delete the replaced versions or, after a failure, the new ones.
        match published {
            Ok(()) => runtime.block_on(self.crowds.renumbering_done(crowds)),
            Err(error) => {
                runtime.block_on(self.crowds.discard(crowds));
                return Err(error);
            }
        }
        drop(crowds_hold);
        Ok(Compacted {
            generation: to,
            before: snapshot.users().len(),
            expired: snapshot.users().and_len(expired),
            users: kept.len(),
            dictionary_bytes_before: bytes_before,
            dictionary_bytes: self.dictionary.bytes_on_disk(app)?,
        })
    }

    async fn publish_generation(
        &self,
        app: &AppId,
        held: HeldIndex,
        publication: Publication,
        changes: Vec<Change>,
    ) -> Result<()> {
        let generation = publication.generation;
        let Err(error) = self.index.publish_renamed(app, held, publication, changes).await else {
            return Ok(());
        };
        // The commit may have happened although its answer was lost.
        match self.index.published(app).await {
            Ok(Some(now)) if now.generation == generation => Ok(()),
            _ => Err(error.into()),
        }
    }
}

/// Gives the set of a crowd version under the new ordinals, if it is to be written.
type RenumberSet = Arc<dyn Fn(&Bitmap) -> Option<Bitmap> + Send + Sync>;

/// Renumbers the set of a crowd version; `None` once stopped, for the result will be discarded.
fn renumber_set(renumbering: Arc<Renumbering>, stop: CancellationToken) -> RenumberSet {
    Arc::new(move |set: &Bitmap| {
        (!stop.is_cancelled())
            .then(|| set.iter().filter_map(|old| renumbering.new_ordinal(old)).collect())
    })
}
