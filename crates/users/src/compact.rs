use crate::{Error, Result, Users};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_crowd::Question;
use taghouse_dictionary::Dictionary;
use taghouse_index::{HeldIndex, Numbering};
use taghouse_model::{AppId, Ordinal, TimestampMs};
use taghouse_rules::Definitions;
use tokio::runtime::Handle;
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_util::sync::CancellationToken;

/// Ids taken over before it is looked whether the compaction is to go on.
const TAKEN_AT_ONCE: usize = 1 << 14;

/// What became of the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The generation of the dictionary that holds now.
    pub generation: u64,
    /// How many users there were before.
    pub before: u64,
    /// Users that expired.
    pub expired: u64,
    /// How many users there are now.
    pub users: u64,
    /// The dictionary's bytes on disk before, and now.
    pub dictionary_bytes: (u64, u64),
}

/// What waits for a compaction, as long as it works: also while nobody waits for it any more.
struct Alone {
    held: HeldIndex,
    /// When it was said who expires.
    asked_ms: TimestampMs,
    _writers: OwnedRwLockWriteGuard<()>,
    _numbering: Numbering,
}

impl Users {
    /// Renumbers the users without gaps, without those for whom `expire` holds (such as `last_seen
    /// < "2025-10-01"`), and writes the dictionary, every segment and every kept crowd version
    /// under the new generation. Questions are answered all the time, each from one generation;
    /// changes and deletions wait. One commit of the catalog makes all of it current. It waits
    /// for a production that goes on, and the next one waits for it.
    ///
    /// Before the commit it hears `stop` between its steps and within the long ones, and changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::NoTags`]; [`Error::Stopped`]; of the crowds for an expression that does not fit; of
    /// the index, the dictionary and the catalog. Nothing is changed then.
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
        let alone = Alone { held, asked_ms, _writers: writers, _numbering: numbering };
        let (users, app, runtime, stop) =
            (self.clone(), app.clone(), Handle::current(), stop.clone());
        // The dictionary's part is synchronous from beginning to end, and the others' parts lie
        // between its steps. The locks go with it: when the caller is dropped it works
        // until it hears the stop.
        let work = move || users.renumber(&app, alone, &expired, &runtime, &stop);
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::BrokeOff(e.to_string()))?
    }

    /// Notes who expires, before it is so: who is noted and does not expire, for the process ends
    /// in between, goes with the next production.
    async fn note_expired(
        &self,
        app: &AppId,
        asked_ms: TimestampMs,
        expired: &Bitmap,
    ) -> Result<()> {
        let ordinals: Vec<Ordinal> = expired.iter().collect();
        for some in ordinals.chunks(TAKEN_AT_ONCE) {
            let ids = self.dictionary.resolve(app, some)?;
            self.note_gone(app, asked_ms, ids.into_iter().flatten(), true).await?;
        }
        Ok(())
    }

    fn renumber(
        &self,
        app: &AppId,
        alone: Alone,
        expired: &Bitmap,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Compacted> {
        let Alone { held, asked_ms, _writers, _numbering } = alone;
        let goes_on = || if stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) };
        let snapshot = held.snapshot().clone();
        let kept = snapshot.users().and_not(expired);
        let bytes_before = self.dictionary.bytes_on_disk(app)?;
        let dictionary: &Dictionary = &self.dictionary;
        goes_on()?;
        let taken = kept
            .iter()
            .enumerate()
            .take_while(|(number, _)| number % TAKEN_AT_ONCE > 0 || !stop.is_cancelled());
        let repack = dictionary.repack(app, taken.map(|(_, ordinal)| ordinal))?;
        goes_on()?;
        let (from, to) = (snapshot.generation(), repack.generation());
        let renumbering = repack.renumbering().clone();
        let (of_index, of_crowds) = (renumbering.clone(), renumbering);
        let publication = runtime.block_on(held.renamed(
            to,
            Arc::new(move |old| of_index.new_ordinal(old)),
            stop,
        ))?;
        goes_on()?;
        let crowds_hold = runtime.block_on(self.crowds.pause_computations(app));
        let given_up = stop.clone();
        // What is made after a stop is thrown away below.
        let renumber = Arc::new(move |set: &Bitmap| {
            (!given_up.is_cancelled())
                .then(|| set.iter().filter_map(|old| of_crowds.new_ordinal(old)).collect())
        });
        let mut crowds =
            runtime.block_on(self.crowds.renumbered(&crowds_hold, app, from, to, renumber))?;
        let changes = crowds.changes.clone();
        let published = repack.finish(|_| -> Result<()> {
            // From here on it is done to its end.
            goes_on()?;
            runtime.block_on(self.note_expired(app, asked_ms, &snapshot.users().and_not(&kept)))?;
            if let Err(error) =
                runtime.block_on(self.index.publish_renamed(app, held, publication, changes))
            {
                // A commit whose answer was lost may have happened.
                match runtime.block_on(self.index.published(app)) {
                    Ok(Some(now)) if now.generation == to => {}
                    _ => return Err(error.into()),
                }
            }
            // Now, while both generations can be read: afterwards nobody can read the versions of
            // the old one.
            self.crowds.renumbering_published(app, &mut crowds);
            Ok(())
        });
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
            dictionary_bytes: (bytes_before, self.dictionary.bytes_on_disk(app)?),
        })
    }
}
