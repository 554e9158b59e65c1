//! The operations of the index on live changes.

use crate::apps::{App, Known};
use crate::builder::SegmentBuilder;
use crate::error::{Error, Result};
use crate::index::{BEFORE_COMPLAINT, Index};
use crate::live::{AppLog, Changes, Deletions, Pin, Published};
use crate::publish::{Onto, Prepared, Scope, TagPublication, TagToWrite, Turn};
use crate::snapshot::Cut;
use serde_json::Value as Json;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, TimestampMs, ValueType};

impl Index {
    /// Makes live changes, all of them or none. They are durable on return, and in every snapshot
    /// taken after the next tick. Returns the position of the last one in the log. When too many
    /// changes are not flushed yet (see [`crate::LiveOptions::limit_changes`]), it waits until
    /// there is room.
    ///
    /// # Errors
    /// `UnknownTag`, `Change` for a value that its tag cannot hold, `Generation` when the ordinals
    /// are of another one than the index (then nothing is written); `NoLog`, `Log` and `Disk`;
    /// those of [`Index::snapshot`].
    pub async fn change(&self, app: &AppId, changes: Changes) -> Result<u64> {
        let log = self.log_for(app, &changes).await?;
        let _room = self.room(app, &log, changes.weight()).await?;
        let answer = blocking(move || log.change(&changes, &[])).await?;
        answer
            .await
            .map_err(|_| Error::Internal("the thread that logs changes has ended".to_owned()))?
    }

    /// Checks changes as [`Index::change`] does, without writing anything.
    ///
    /// # Errors
    /// `UnknownTag` and `Change`, as [`Index::change`]; `NoLog`; those of [`Index::snapshot`].
    pub async fn check(&self, app: &AppId, changes: &Changes) -> Result<()> {
        self.log_for(app, changes).await?.check(changes)
    }

    /// The log, with the tags of these changes registered if they exist.
    async fn log_for(&self, app: &AppId, changes: &Changes) -> Result<Arc<AppLog>> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let names = changes
            .columns
            .iter()
            .map(|column| &column.tag)
            .chain(changes.points.iter().map(|point| &point.tag));
        if names.into_iter().any(|tag| log.type_of(tag.as_str()).is_none()) {
            // Not read yet, or published since by somebody else.
            self.refresh(app).await?;
        }
        Ok(log)
    }

    /// Registers a tag without values, so that it can have live changes. Keeps what is published of
    /// it already.
    ///
    /// # Errors
    /// `Publication` for a tag that is there with another type; those of [`Index::publish`].
    pub async fn declare(
        &self,
        app: &AppId,
        generation: u64,
        tag: Name,
        value_type: ValueType,
        as_of_ms: TimestampMs,
        definition: Json,
    ) -> Result<()> {
        let known = self.known(app).await?;
        if let Some(there) =
            known.manifest.tags.get(&tag).filter(|_| known.manifest.generation == generation)
        {
            let problem = format!("it holds {} values already", there.value_type);
            return if there.value_type == value_type {
                Ok(())
            } else {
                Err(Error::Publication { tag: tag.to_string(), problem })
            };
        }
        let segment = SegmentBuilder::new(value_type).finish()?;
        let tag = TagPublication {
            name: tag,
            value_type,
            as_of_ms,
            definition,
            segment: segment.into(),
            flushed_through: None,
        };
        let mut prepared = Prepared::new(
            self.apps.get(app).publication(),
            generation,
            Bitmap::new(),
            Vec::new(),
            Scope::Declaration,
        );
        let tag = TagToWrite { publication: tag, onto: Onto::Nothing };
        self.write_tags(app, &mut prepared, vec![tag]).await?;
        self.publish_prepared(app, prepared, Vec::new(), Turn::Waits).await?;
        Ok(())
    }

    /// Pins the last live change logged: a batch that reads everything from now on includes all
    /// changes up to it. While the result lives, the log keeps later changes, so that a publication
    /// can reapply those that were flushed meanwhile.
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn pin(&self, app: &AppId) -> Result<Pin> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || Ok(log.pin())).await
    }

    /// The position of the last live change logged. Snapshots have it within a tick; see
    /// [`Snapshot::position`](crate::Snapshot::position).
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn logged(&self, app: &AppId) -> Result<u64> {
        Ok(self.log(app).await?.ok_or(Error::NoLog)?.logged())
    }

    /// The position of the last live change logged. All changes up to it are visible on return.
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn position(&self, app: &AppId) -> Result<u64> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || Ok(log.tick().position)).await
    }

    /// The number of live changes of an app that are in memory and in no segment yet.
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn unflushed(&self, app: &AppId) -> Result<u64> {
        Ok(self.log(app).await?.ok_or(Error::NoLog)?.held())
    }

    /// The bytes of memory that the texts of an app's live changes take.
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn unflushed_text_bytes(&self, app: &AppId) -> Result<u64> {
        Ok(self.log(app).await?.ok_or(Error::NoLog)?.text_bytes())
    }

    /// Writes a checkpoint of an app's live changes, so that the log before it can be removed.
    ///
    /// # Errors
    /// `NoLog`, `Log` and `Disk`.
    pub async fn checkpoint(&self, app: &AppId) -> Result<()> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || log.checkpoint()).await
    }

    /// Flushes in the background what is due, as [`crate::LiveOptions::flush_every`] says, as long
    /// as the index lives.
    pub fn flush_in_background(self: &Arc<Self>) {
        let Some(every) = self.live.as_ref().and_then(|live| live.options.flush_every) else {
            return;
        };
        let index = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(index) = index.upgrade() else { return };
                let apps = index.live.as_ref().map(|live| live.open_apps()).unwrap_or_default();
                for app in apps {
                    if let Err(error) = index.flush_due(&app).await {
                        // A process that ends cancels what blocks, and that is no trouble: then
                        // this task goes no further than here.
                        tokio::time::sleep(BEFORE_COMPLAINT).await;
                        tracing::warn!(%error, %app, "live changes could not be flushed; they stay on top of the segments");
                    }
                }
            }
        });
    }

    /// The deletions of an app, for stores that keep sets of its users elsewhere; `None` for an
    /// index without live changes.
    ///
    /// # Errors
    /// When the log has to be opened first: `Log` and `Disk`; `Catalog`.
    pub async fn deletions(&self, app: &AppId) -> Result<Option<Deletions>> {
        Ok(self.log(app).await?.map(Deletions))
    }

    /// The log of an app, opened at the first call; `None` for an index without live changes.
    pub(crate) async fn log(&self, app: &AppId) -> Result<Option<Arc<AppLog>>> {
        match self.live.as_ref().map(|live| live.opened(app)) {
            None => Ok(None),
            Some(Some(open)) => Ok(Some(open)),
            Some(None) => self.log_of(app, &self.known(app).await?).await,
        }
    }

    /// The log of an app of which this is published.
    pub(crate) async fn log_of(&self, app: &AppId, known: &Known) -> Result<Option<Arc<AppLog>>> {
        let Some(live) = &self.live else { return Ok(None) };
        if let Some(open) = live.opened(app) {
            return Ok(Some(open));
        }
        let manifest = known.manifest.clone();
        let flushed_through =
            manifest.tags.values().map(|tag| tag.flushed_through).max().unwrap_or(0);
        let (live, app, shown) = (live.clone(), app.clone(), self.apps.get(app).shown.clone());
        let open =
            blocking(move || live.open(&app, manifest.generation, flushed_through, shown)).await?;
        // Of tags that were published with another type since, the log still has the old one.
        open.know(
            &known.manifest.tags.iter().map(|(name, tag)| (name.clone(), tag.value_type)).collect(),
        );
        Ok(Some(open))
    }

    /// Shows a cut with the live changes on top, and tells their log what is published.
    pub(crate) async fn put_beneath(&self, app: &AppId, state: &App, cut: Arc<Cut>) -> Result<()> {
        let Some(log) = self.log(app).await? else {
            state.shown.set_cut(cut, false);
            return Ok(());
        };
        let overlay = log.overlay();
        if overlay.revision > cut.revision {
            return Ok(());
        }
        let (shown, beneath) = (state.shown.clone(), cut.clone());
        blocking::<_, Error>(move || {
            shown.set_cut(beneath, true);
            Ok(())
        })
        .await?;
        if overlay.generation != cut.generation {
            let (restarting, cut) = (log.clone(), cut.clone());
            let flushed_through =
                cut.tags.values().map(|tag| tag.info.flushed_through).max().unwrap_or(0);
            blocking(move || restarting.restart(cut.generation, cut.revision, flushed_through))
                .await?;
        }
        let types =
            cut.tags.iter().map(|(name, tag)| (name.clone(), tag.info.value_type)).collect();
        let flushed_through = cut
            .tags
            .values()
            .map(|tag| (tag.info.name.clone(), tag.info.flushed_through))
            .collect();
        log.published(
            Published { revision: cut.revision, users: cut.users.bitmap.clone(), flushed_through },
            &types,
        );
        Ok(())
    }
}
