use crate::{Error, Result, Users};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_crowd::Question;
use taghouse_dictionary::Dictionary;
use taghouse_index::HeldIndex;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use tokio::runtime::Handle;

/// What became of the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The generation of the dictionary that holds now.
    pub generation: u64,
    /// Users before.
    pub before: u64,
    /// Users that expired.
    pub expired: u64,
    /// Users now.
    pub users: u64,
    /// The dictionary's bytes on disk before, and now.
    pub dictionary_bytes: (u64, u64),
}

impl Users {
    /// Numbers the users anew without gaps, without those for whom `expire` holds (such as `last_seen < "2025-10-01"`), and writes the dictionary,
    /// every segment and every kept crowd version under the new generation. Questions are answered all the time, each from one generation; changes and
    /// deletions wait. One commit of the catalog makes all of it current. Productions must not run meanwhile.
    ///
    /// # Errors
    /// [`Error::NoTags`]; of the crowds for an expression that does not fit; of the index, the dictionary and the catalog. Nothing is changed then.
    pub async fn compact(self: &Arc<Self>, app: &AppId, definitions: &Definitions, expire: Option<&Question>) -> Result<Compacted> {
        let lock = self.lock(app);
        let _alone = lock.write().await;
        let held = self.index.hold(app).await?.ok_or_else(|| Error::NoTags { app: app.clone() })?;
        // Writers wait, so nothing comes between this and the cut that is held.
        let expired = match expire {
            Some(question) => self.crowds.bitmap(app, definitions, question).await?,
            None => Bitmap::new(),
        };
        let (users, app, runtime) = (self.clone(), app.clone(), Handle::current());
        // The dictionary's part is synchronous from beginning to end, and the others' parts lie between its steps.
        let work = move || users.renumber(&app, held, &expired, &runtime);
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::BrokeOff(e.to_string()))?
    }

    fn renumber(&self, app: &AppId, held: HeldIndex, expired: &Bitmap, runtime: &Handle) -> Result<Compacted> {
        let snapshot = held.snapshot().clone();
        let kept = snapshot.users().and_not(expired);
        let bytes_before = self.dictionary.bytes_on_disk(app)?;
        let dictionary: &Dictionary = &self.dictionary;
        let repack = dictionary.repack(app, kept.iter())?;
        let (from, to) = (snapshot.generation(), repack.generation());
        let renumbering = repack.renumbering().clone();
        let (of_index, of_crowds) = (renumbering.clone(), renumbering);
        let publication = runtime.block_on(held.renamed(to, Arc::new(move |old| of_index.new_ordinal(old))))?;
        let crowds_hold = runtime.block_on(self.crowds.hold());
        let renumber = Arc::new(move |set: &Bitmap| Some(set.iter().filter_map(|old| of_crowds.new_ordinal(old)).collect()));
        let crowds = runtime.block_on(self.crowds.renumbered(&crowds_hold, app, from, to, renumber))?;
        let changes = crowds.changes.clone();
        let published = repack.finish(|_| -> Result<()> {
            let Err(error) = runtime.block_on(self.index.publish_renamed(app, held, publication, changes)) else { return Ok(()) };
            // A commit whose answer was lost may have happened.
            match runtime.block_on(self.index.published(app)) {
                Ok(Some(now)) if now.generation == to => Ok(()),
                _ => Err(error.into()),
            }
        });
        match published {
            Ok(()) => runtime.block_on(self.crowds.renumbering_published(app, crowds)),
            Err(error) => {
                runtime.block_on(self.crowds.discard(app, crowds));
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
