//! The index's doors to live changes.

use super::{AppLog, Changes, Published, blocking};
use crate::builder::SegmentBuilder;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::publish::{Publication, TagPublication};
use crate::snapshot::{Cut, Snapshot};
use serde_json::Value as Json;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_model::{AppId, Name, TimestampMs, ValueType};

impl Index {
    /// Makes live changes: durable when this returns, and in every snapshot taken after the next tick. All of them or none. Returns the
    /// position of the last in the log.
    ///
    /// # Errors
    /// `UnknownTag`, `Change` for a value that its tag cannot hold, `Generation` when the ordinals are of another one than the index (then
    /// nothing is written); `NoLog`, `Log` and `Disk`; those of [`Index::snapshot`].
    pub async fn change(&self, app: &AppId, changes: Changes) -> Result<u64> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let names = changes.columns.iter().map(|column| &column.tag).chain(changes.points.iter().map(|point| &point.tag));
        if names.into_iter().any(|tag| log.type_of(tag.as_str()).is_none()) {
            // Published since, perhaps by somebody else.
            self.snapshot(app).await?;
        }
        let answer = blocking(move || log.change(&changes, &[])).await?;
        answer.await.map_err(|_| Error::Internal("the thread that logs changes has ended".to_owned()))?
    }

    /// Makes a tag known that has live changes only, without a value yet. What is published of it already stays.
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
        if let Some((_, manifest)) = self.manifest(app).await?
            && let Some(known) = manifest.tags.get(&tag).filter(|_| manifest.generation == generation)
        {
            let problem = format!("it holds {} values already", known.value_type);
            return if known.value_type == value_type { Ok(()) } else { Err(Error::Publication { tag: tag.to_string(), problem }) };
        }
        let segment = SegmentBuilder::new(value_type).finish()?;
        let tags = vec![TagPublication { name: tag, value_type, as_of_ms, definition, segment, subsumes: None }];
        self.publish(app, Publication { generation, users: Bitmap::new(), tags, drop: Vec::new() }, vec![]).await?;
        self.snapshot(app).await.map(drop)
    }

    /// The position of the last live change logged: what a batch that reads everything from now on may say that it subsumes.
    ///
    /// # Errors
    /// As [`Index::change`].
    pub async fn position(&self, app: &AppId) -> Result<u64> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || Ok(log.tick().position)).await
    }

    /// Writes a checkpoint of an app's live changes, so that the log before it can go.
    ///
    /// # Errors
    /// `NoLog`, `Log` and `Disk`.
    pub async fn checkpoint(&self, app: &AppId) -> Result<()> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || log.checkpoint()).await
    }

    /// Folds in the background what is due, as [`crate::LiveOptions::fold_every`] says, as long as the index lives.
    pub fn fold_in_background(self: &Arc<Self>) {
        let Some(every) = self.live.as_ref().and_then(|live| live.options.fold_every) else { return };
        let index = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(index) = index.upgrade() else { return };
                let apps = index.live.as_ref().map(|live| live.open_apps()).unwrap_or_default();
                for app in apps {
                    if let Err(error) = index.fold_due(&app).await {
                        tracing::warn!(%error, %app, "live changes could not be folded; they stay on top of the segments");
                    }
                }
            }
        });
    }

    /// The log of an app, opened at the first call; `None` for an index without live changes.
    pub(crate) async fn log(&self, app: &AppId) -> Result<Option<Arc<AppLog>>> {
        let Some(live) = &self.live else { return Ok(None) };
        if let Some(open) = live.opened(app) {
            return Ok(Some(open));
        }
        let manifest = self.manifest(app).await?.map(|(_, manifest)| manifest).unwrap_or_default();
        let subsumed = manifest.tags.values().map(|tag| tag.subsumes).max().unwrap_or(0);
        let (live, app) = (live.clone(), app.clone());
        let open = blocking(move || live.open(&app, manifest.generation, subsumed)).await?;
        // Of tags that were published with another type since, the log still has the old one.
        open.know(&manifest.tags.into_iter().map(|(name, tag)| (name, tag.value_type)).collect());
        Ok(Some(open))
    }

    /// A cut with the live changes on top; `None` when the cut is older than those. `fresh`: the log was not told of this cut yet.
    pub(crate) async fn on_top(&self, app: &AppId, cut: Arc<Cut>, fresh: bool) -> Result<Option<Snapshot>> {
        let Some(log) = self.log(app).await? else { return Ok(Some(Snapshot::new(cut, None))) };
        let overlay = log.overlay();
        if overlay.generation != cut.generation {
            if overlay.revision >= cut.revision {
                return Ok(None);
            }
            let (restarting, cut) = (log.clone(), cut.clone());
            let subsumed = cut.tags.values().map(|tag| tag.info.subsumes).max().unwrap_or(0);
            blocking(move || restarting.restart(cut.generation, cut.revision, subsumed)).await?;
        }
        if fresh || log.overlay().revision < cut.revision {
            log.know(&cut.tags.iter().map(|(name, tag)| (name.clone(), tag.info.value_type)).collect());
            let subsumed = cut.tags.values().map(|tag| (tag.info.name.clone(), tag.info.subsumes)).collect();
            log.published(Published { revision: cut.revision, users: cut.users.bitmap.clone(), subsumed });
        }
        let overlay = log.overlay();
        Ok((overlay.revision <= cut.revision && overlay.generation == cut.generation).then(|| Snapshot::new(cut, Some(overlay))))
    }
}
