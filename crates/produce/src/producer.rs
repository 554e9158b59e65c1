//! Definitions and a lake, as of a time, into tag tables and the index.

use crate::by_hand::Outline;
use crate::changed::ByHand;
use crate::columns::{self, Column, Queried};
use crate::encode::{Encoded, ToEncode};
use crate::pass::{self, Owned, Plan};
use crate::pinned::Pinned;
use crate::publish::Release;
use crate::roster::Roster;
use crate::scratch::ScratchFolder;
use crate::selection::Selection;
use crate::{Error, Result, sql_tag, tables};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use taghouse_catalog::Catalog;
use taghouse_dictionary::{DeletionWatch, Dictionary};
use taghouse_disk::blocking;
use taghouse_fold::{Calendar, SkipReason};
use taghouse_identities::{Mapping, mapping_of};
use taghouse_index::{Index, Pin};
use taghouse_lake::Lake;
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{Definitions, TagDefinition, TagKind};
use tokio_util::sync::CancellationToken;

/// Computes tags from the lake and publishes them.
pub struct Producer {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    scratch: PathBuf,
}

/// What a production came to.
#[derive(Debug, Clone)]
pub struct Produced {
    /// The tags published, in order of dependency.
    pub tags: Vec<ProducedTag>,
    /// How many users exist.
    pub users: u64,
    /// How many events were read.
    pub events_read: u64,
    /// The index's revision that shows the tags.
    pub revision: u64,
    /// The position of the last live change that the tags take the place of; later ones stay on
    /// top. `None` without live changes.
    pub flushed_through: Option<u64>,
    /// The whole time.
    pub elapsed_ms: u64,
    /// What took how long, in milliseconds: reading and folding, writing the tables, publishing
    /// the index.
    pub steps_ms: BTreeMap<&'static str, u64>,
}

/// One tag of a production.
#[derive(Debug, Clone)]
pub struct ProducedTag {
    /// The name, unique within the app.
    pub name: Name,
    /// How many users have a value.
    pub users: u64,
    /// The time that was spent on this tag alone; the pass over events is shared.
    pub elapsed_ms: u64,
    /// What counted for nothing, by reason: values that the tag cannot hold, so that their users
    /// have none, and of aggregates each event whose value is out of range.
    pub skipped: BTreeMap<SkipReason, u64>,
}

/// Lands what waits in the log, or says why it cannot.
pub type Land<'l> = dyn Fn() -> BoxFuture<'l, std::result::Result<(), String>> + Send + Sync + 'l;

/// What is known before the lake is read.
struct Settled {
    /// Published tags that are not defined any more.
    gone: Vec<Name>,
    pin: Option<Pin>,
    deleted: DeletionWatch,
    /// What was ever changed by hand.
    outline: Option<Arc<Outline>>,
    /// Whose ids are whose.
    mapping: Arc<Mapping>,
    tables: Pinned,
}

/// What was read from the lake.
struct Read {
    found: Vec<Owned>,
    deleted: DeletionWatch,
    calendar: Calendar,
    as_of_ms: TimestampMs,
}

/// What was read, in the order of the users' ordinals.
pub(crate) struct Enlisted {
    pub(crate) roster: Arc<Roster>,
    pub(crate) by_hand: ByHand,
    pub(crate) columns: BTreeMap<Name, Column>,
    pub(crate) as_of_ms: TimestampMs,
}

/// When each step ended, counted from the beginning.
struct Steps {
    began: Instant,
    ended_ms: BTreeMap<&'static str, u64>,
}

impl Steps {
    fn begin() -> Self {
        Self { began: Instant::now(), ended_ms: BTreeMap::new() }
    }

    fn end(&mut self, step: &'static str) {
        self.ended_ms.insert(step, elapsed_ms(self.began));
    }
}

impl Producer {
    /// A producer over these crates. In `scratch` each production has a folder of its own while it
    /// runs; what a killed process left there the caller removes. Segments are moved into the
    /// index's store from there, without a copy if both are in one file system.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        lake: Arc<Lake>,
        index: Arc<Index>,
        dictionary: Arc<Dictionary>,
        scratch: PathBuf,
    ) -> Self {
        Self { catalog, lake, index, dictionary, scratch }
    }

    /// Produces all tags as of a time, or those of `only` and what is computed from them. `report`
    /// is told of rows read, and of how many there are. Needs a tokio runtime of several
    /// threads.
    ///
    /// The tables of all tags change in one transaction, in which these rows take the place of
    /// those of any as-of time of the same local day; the index is published after it. A crash
    /// between the two leaves the index as it was, and the same production again puts both
    /// right. Productions of one app wait for one another, and for a compaction of its users.
    /// Whatever is changed, deleted or folded meanwhile stays on top of what is produced.
    ///
    /// A change by hand holds until a later event or value of its tag, and a user who went stays
    /// away until one that is later. Both are read from the lake, where
    /// [`Producer::produce_landing`] brings those of this moment first.
    ///
    /// All that computes for long does so on blocking threads. When this is dropped they hold
    /// nothing that others wait for, and end soon.
    ///
    /// # Errors
    /// As [`Error`] says; what readers see is unchanged then.
    pub async fn produce(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        as_of_ms: TimestampMs,
        only: Option<&[Name]>,
        report: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Produced> {
        self.produce_landing(app, definitions, as_of_ms, only, report, &|| async { Ok(()) }.boxed())
            .await
    }

    /// The same; `land` brings into the lake what was changed by hand before this production, and
    /// is called once it is known what that is.
    ///
    /// # Errors
    /// As [`Producer::produce`].
    pub async fn produce_landing(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        as_of_ms: TimestampMs,
        only: Option<&[Name]>,
        report: &(dyn Fn(u64, u64) + Sync),
        land: &Land<'_>,
    ) -> Result<Produced> {
        // A later production must not be overtaken by what an earlier one read, and ordinals must
        // not change under one.
        let _numbering = self.index.numbering(app).await;
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let mut steps = Steps::begin();

        // 1. Settle which users and which changes by hand are known.
        let selection = Selection::new(definitions, only);
        let Settled { gone, pin, deleted, outline, mapping, tables } =
            self.settle(app, definitions, &selection, land).await?;

        // 2. Read the lake.
        let plan =
            Arc::new(Plan::new(definitions, &selection, outline, mapping.clone(), as_of_ms)?);
        let ((found, events_read), sql) = tokio::try_join!(
            pass::run(&tables, plan, report, &stop),
            self.sql_tags(app, &selection, as_of_ms, &mapping)
        )?;
        steps.end("fold");

        // 3. Give users their ordinals, and put their values in that order.
        let calendar = Calendar::new(&definitions.app.time_zone);
        let read = Read { found, deleted, calendar: calendar.clone(), as_of_ms };
        let enlisted = self.enlist(app, read, &stop).await?;
        let roster = enlisted.roster.clone();
        let users = roster.len() as u64;
        steps.end("enlist");

        // 4. Complete the values with those of queries and of other tags, and encode them.
        let columns = complete(definitions, &selection, sql, enlisted, &stop).await?;
        steps.end("derive");
        let to_encode = ToEncode {
            tags: selection.published_tags(),
            columns,
            roster: roster.clone(),
            as_of_ms,
            complete: selection.complete,
        };
        let (folder, heard) = (ScratchFolder::below(&self.scratch, app), stop.clone());
        let encoded = blocking(move || to_encode.encode(folder, &heard)).await?;
        steps.end("encode");

        // 5. Write the tables, then publish.
        let Encoded { tags, tables, segments, folder } = encoded;
        tables::write(&self.lake, app, tables, &calendar, as_of_ms).await?;
        steps.end("write");
        let flushed_through = pin.as_ref().map(Pin::position);
        let release = Release { gone, segments, folder, roster, as_of_ms, flushed_through };
        let revision = self.publish(app, release, &mapping).await?;
        steps.end("publish");
        Ok(Produced {
            tags,
            users,
            events_read,
            revision,
            flushed_through,
            elapsed_ms: elapsed_ms(steps.began),
            steps_ms: steps.ended_ms,
        })
    }

    /// What is known before the lake is read.
    async fn settle(
        &self,
        app: &AppId,
        definitions: &Definitions,
        selection: &Selection<'_>,
        land: &Land<'_>,
    ) -> Result<Settled> {
        let gone = self.renumber(app, definitions, selection).await?;
        // What is produced holds the changes by hand up to here; later ones stay on top.
        let pin = self.pin(app, selection).await?;
        // Before the landing, so that whoever is deleted is known to be, by the lake or by this.
        let deleted = self.dictionary.watch_deletions(app);
        land().await.map_err(Error::Landing)?;
        let tables = Pinned::of(&self.lake, app).await?;
        let outline = Outline::of(tables.changes.as_ref()).await?.map(Arc::new);
        let mapping = Arc::new(mapping_of(tables.identities.as_ref()).await?);
        Ok(Settled { gone, pin, deleted, outline, mapping, tables })
    }

    async fn enlist(&self, app: &AppId, read: Read, stop: &CancellationToken) -> Result<Enlisted> {
        let (dictionary, app, stop) = (self.dictionary.clone(), app.clone(), stop.clone());
        let Read { mut found, deleted, calendar, as_of_ms } = read;
        blocking(move || {
            let roster = Roster::enlist(&dictionary, &app, &found, &deleted, &stop)?;
            let by_hand = ByHand::gather(&mut found, &roster, calendar, as_of_ms);
            let columns = columns::align(&roster, found, &stop)?;
            Ok(Enlisted { roster: Arc::new(roster), by_hand, columns, as_of_ms })
        })
        .await
    }

    async fn sql_tags(
        &self,
        app: &AppId,
        selection: &Selection<'_>,
        as_of_ms: TimestampMs,
        mapping: &Mapping,
    ) -> Result<Vec<Queried>> {
        let mut values = Vec::new();
        for tag in &selection.computed {
            if let TagKind::Sql { query } = &tag.kind {
                let began = Instant::now();
                let found = sql_tag::values(
                    &self.lake,
                    app,
                    &tag.name,
                    tag.value_type,
                    query,
                    as_of_ms,
                    mapping,
                )
                .await?;
                values.push(Queried {
                    tag: (*tag).clone(),
                    values: found,
                    spent_ms: elapsed_ms(began),
                });
            }
        }
        Ok(values)
    }
}

/// All tags' values, with those of queries and those computed from others.
pub(crate) async fn complete(
    definitions: &Arc<Definitions>,
    selection: &Selection<'_>,
    sql: Vec<Queried>,
    enlisted: Enlisted,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Column>> {
    let (definitions, stop) = (definitions.clone(), stop.clone());
    let Enlisted { roster, by_hand, columns, as_of_ms } = enlisted;
    // Dates relative to now are relative to the as-of time.
    let resolved = |tag: &&TagDefinition| TagDefinition {
        kind: tag.kind.as_of(as_of_ms, &definitions.app.time_zone),
        ..(*tag).clone()
    };
    let computed: Vec<TagDefinition> = selection.computed.iter().map(resolved).collect();
    blocking(move || {
        columns::complete(&definitions, &computed, sql, columns, &roster, &by_hand, &stop)
    })
    .await
}

pub(crate) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
