//! How far a sink has come: a pointer in the catalog.

use crate::Result;
use crate::defined::{Defined, of_sink};
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change as Commit, Pointer};
use taghouse_feed::{FeedReader, Feeds, Start};
use taghouse_model::{AppId, Name};
use taghouse_rules::{SinkDefinition, StartAt};

/// The catalog's pointer at what was sent, by name of the sink: value `{"sent": id, "of": number}`.
/// What was sent of another definition of the name counts no more.
const POINTER_KIND: &str = "sinks";

/// What was acknowledged of the feed. There may be only one of each sink.
pub struct Progress {
    app: AppId,
    sink: Name,
    /// Of the definition; `None`: it is of a former release.
    of: Option<u64>,
    feeds: Arc<Feeds>,
    catalog: Arc<dyn Catalog>,
    /// The pointer's, as it is in the catalog.
    revision: Option<u64>,
    /// Whether that is known: not after a commit that failed, for it may have been done.
    is_known: bool,
    remembered: u64,
    /// Whether the catalog has that.
    is_written: bool,
}

/// A sink that goes on behind what was acknowledged.
pub struct Begun {
    /// What was acknowledged.
    pub progress: Progress,
    /// Reads what comes behind it.
    pub reader: FeedReader,
    /// What the feed did not keep until it could be sent.
    pub lost: Option<Lost>,
}

/// Changes that were removed from the feed before they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The id before the first of them.
    pub after: u64,
    /// The id behind the last of them.
    pub first: u64,
}

impl Lost {
    /// For people.
    pub fn detail(&self) -> String {
        let Self { after, first } = self;
        if *first > after + 1 {
            return format!(
                "the changes from {} to {} were not kept until they were sent: read the current values",
                after + 1,
                first - 1
            );
        }
        format!(
            "the change feed does not know the change {after}, which was sent last: read the current values"
        )
    }
}

impl Progress {
    /// Goes on behind what was acknowledged; where nothing was, behind what the feed had when the sink
    /// was defined, or with all that it has, as the definition says.
    ///
    /// # Errors
    /// Of the catalog and the feed.
    pub async fn begin(
        app: &AppId,
        sink: &SinkDefinition,
        feeds: &Arc<Feeds>,
        catalog: &Arc<dyn Catalog>,
    ) -> Result<Begun> {
        let defined = of_sink(catalog.as_ref(), app, sink.name.as_str()).await?;
        let of = defined.map(|defined| defined.number);
        let pointer = catalog.pointer(POINTER_KIND, app, sink.name.as_str()).await?;
        let known = pointer.as_ref().and_then(|pointer| sent(pointer, of));
        let start = match (known.or(defined.and_then(|Defined { after, .. }| after)), sink.start) {
            (Some(id), _) => Start::After(id),
            (None, StartAt::Earliest) => Start::Earliest,
            (None, StartAt::Latest) => Start::Latest,
        };
        let (reader, lost) = Self::reader(app, feeds, start).await?;
        let mut progress = Self {
            app: app.clone(),
            sink: sink.name.clone(),
            of,
            feeds: feeds.clone(),
            catalog: catalog.clone(),
            revision: pointer.map(|pointer| pointer.revision),
            is_known: true,
            remembered: known.or(defined.and_then(|defined| defined.after)).unwrap_or(0),
            is_written: known.is_some(),
        };
        // A sink that begins with what comes does so after a restart, too.
        match (known, &lost) {
            (None, None) => progress.remember(reader.after()).await?,
            _ => progress.hold().await?,
        }
        Ok(Begun { progress, reader, lost })
    }

    async fn reader(
        app: &AppId,
        feeds: &Feeds,
        start: Start,
    ) -> Result<(FeedReader, Option<Lost>)> {
        match feeds.reader(app, start).await {
            Ok(reader) => Ok((reader, None)),
            Err(taghouse_feed::Error::Gone { after, .. }) => {
                let reader = feeds.reader(app, Start::Earliest).await?;
                let first = reader.after() + 1;
                Ok((reader, Some(Lost { after, first })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads on behind a record, which need not be the one that was acknowledged. What is damaged is
    /// passed over: what was lost says so, as it does of what the feed has removed.
    ///
    /// # Errors
    /// Of the feed.
    pub async fn read_on(&self, after: u64) -> Result<(FeedReader, Option<Lost>)> {
        Self::reader(&self.app, &self.feeds, Start::After(after)).await
    }

    /// Reads what comes from now on, where the feed behind a record is damaged.
    ///
    /// # Errors
    /// Of the feed.
    pub async fn skip_damage(&self, after: u64) -> Result<(FeedReader, Option<Lost>)> {
        let reader = self.feeds.reader(&self.app, Start::Latest).await?;
        let first = reader.after() + 1;
        Ok((reader, Some(Lost { after, first })))
    }

    /// The id of the last record that was written down as acknowledged.
    pub fn remembered(&self) -> u64 {
        self.remembered
    }

    /// Writes down that all up to this id is acknowledged, and lets the feed go up to there.
    ///
    /// # Errors
    /// Of the catalog and the feed.
    pub async fn remember(&mut self, id: u64) -> Result<()> {
        if !self.is_written || id != self.remembered {
            if !self.is_known {
                self.revision = self.stored().await?;
            }
            self.is_known = false;
            let commit = Commit::PutPointer {
                kind: POINTER_KIND.to_owned(),
                app: self.app.clone(),
                name: self.sink.to_string(),
                expected: self.revision,
                value: serde_json::json!({ "sent": id, "of": self.of }),
            };
            self.catalog.commit(vec![commit]).await?;
            self.revision = self.stored().await?;
            self.is_known = true;
            self.remembered = id;
            self.is_written = true;
        }
        self.hold().await
    }

    async fn stored(&self) -> Result<Option<u64>> {
        let pointer = self.catalog.pointer(POINTER_KIND, &self.app, self.sink.as_str()).await?;
        Ok(pointer.map(|pointer| pointer.revision))
    }

    /// Lets the feed keep what is not acknowledged, within its bounds.
    async fn hold(&self) -> Result<()> {
        Ok(self.feeds.hold(&self.app, &holder(&self.sink), self.remembered).await?)
    }
}

/// Lets the feed go: nothing writes the sink any more.
///
/// # Errors
/// Of the feed.
pub async fn release(feeds: &Feeds, app: &AppId, sink: &Name) -> Result<()> {
    Ok(feeds.release(app, &holder(sink)).await?)
}

/// What was sent of this definition.
fn sent(pointer: &Pointer, of: Option<u64>) -> Option<u64> {
    let value = &pointer.value;
    let is_of = value.get("of").and_then(|number| number.as_u64()) == of;
    value.get("sent").filter(|_| is_of)?.as_u64()
}

fn holder(sink: &Name) -> String {
    format!("sink {sink}")
}
