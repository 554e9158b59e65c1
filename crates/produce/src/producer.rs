//! Definitions and a lake, as of a time, into tag tables and the index.

use crate::by_hand::Outline;
use crate::changed::ByHand;
use crate::output::{Output, build, wide};
use crate::pass::{self, Owned, Plan, goes_on};
use crate::roster::{Roster, check_text};
use crate::selection::Selection;
use crate::{Error, Result, sql_tag, tables};
use arrow::array::{ArrayRef, RecordBatch};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use taghouse_catalog::Catalog;
use taghouse_dictionary::Dictionary;
use taghouse_fold::{Calendar, ColumnBuilder, DerivedFold, Outcome, SkipReason};
use taghouse_index::{Bitmap, Index, Pin, Publication, TagPublication};
use taghouse_lake::{Lake, TableLayout, layout};
use taghouse_model::{AppId, Name, TimestampMs, Value, ValueType};
use taghouse_rules::{Definitions, TagDefinition, TagKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Computes tags from the lake and publishes them.
pub struct Producer {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
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

/// A tag's values while they are made.
struct Column {
    values: ArrayRef,
    /// What the index shows, where it is not the same.
    shown: Option<ArrayRef>,
    skipped: BTreeMap<SkipReason, u64>,
    elapsed_ms: u64,
}

/// What the query of an `sql` tag gave.
struct Queried {
    tag: TagDefinition,
    values: HashMap<String, Value>,
    spent_ms: u64,
}

impl Column {
    /// Puts the changes by hand on top.
    fn change(
        &mut self,
        by_hand: &ByHand,
        definitions: &Definitions,
        tag: &TagDefinition,
    ) -> Result<()> {
        let Some(changed) = by_hand.apply(definitions, tag, &self.values)? else { return Ok(()) };
        (self.values, self.shown) = (changed.values, changed.shown);
        for (reason, count) in changed.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        Ok(())
    }
}

impl Producer {
    /// A producer over these crates.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        lake: Arc<Lake>,
        index: Arc<Index>,
        dictionary: Arc<Dictionary>,
    ) -> Self {
        Self { catalog, lake, index, dictionary }
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
        let began = Instant::now();
        let mut steps_ms = BTreeMap::new();
        let selection = Selection::new(definitions, only);
        let gone = self.renumber(app, definitions, &selection).await?;
        // What is produced holds the changes by hand up to here; later ones stay on top.
        let pin = self.pin(app, &selection).await?;
        // Before the landing, so that whoever is deleted is known to be, by the lake or by this.
        let deleted = self.dictionary.watch_deletions(app);
        land().await.map_err(Error::Landing)?;
        let outline = Outline::of(&self.lake, app).await?.map(Arc::new);
        let calendar = Calendar::new(&definitions.app.time_zone);
        let plan = Arc::new(Plan::new(definitions, &selection, outline, as_of_ms)?);
        let (pass, sql) = tokio::try_join!(
            pass::run(&self.lake, app, plan, report, &stop),
            self.sql_tags(app, &selection, as_of_ms)
        )?;
        let (mut found, events_read) = pass;
        steps_ms.insert("fold", elapsed_ms(began));
        let (dictionary, owner, heard) = (self.dictionary.clone(), app.clone(), stop.clone());
        let zone = calendar.clone();
        let (roster, by_hand, columns) = blocking(move || {
            let roster = Roster::enlist(&dictionary, &owner, &found, &deleted, &heard)?;
            let by_hand = ByHand::gather(&mut found, &roster, zone, as_of_ms);
            let columns = align(&roster, found, &heard)?;
            Ok((Arc::new(roster), by_hand, columns))
        })
        .await?;
        steps_ms.insert("enlist", elapsed_ms(began));
        let computed: Vec<TagDefinition> =
            selection.computed.iter().map(|tag| (*tag).clone()).collect();
        let (all, order, heard) = (definitions.clone(), roster.clone(), stop.clone());
        let columns =
            blocking(move || complete(&all, &computed, sql, columns, &order, &by_hand, &heard))
                .await?;
        steps_ms.insert("derive", elapsed_ms(began));
        let (tags, outputs) = outputs(&selection, &roster, &columns, as_of_ms).await?;
        let (mut tables, mut segments) =
            (Vec::with_capacity(outputs.len() + 1), Vec::with_capacity(outputs.len()));
        for (tag, output) in outputs {
            tables.push((layout::tag(&tag.name, tag.value_type), output.rows));
            if !tag.mode.is_live() {
                segments.push((tag, output.segment));
            }
        }
        if selection.complete {
            let types = selection
                .computed
                .iter()
                .filter(|tag| selection.published.contains(&tag.name))
                .map(|tag| (tag.name.clone(), tag.value_type))
                .collect();
            let order = roster.clone();
            tables.push(blocking(move || wide_rows(&types, columns, &order, as_of_ms)).await?);
        }
        steps_ms.insert("encode", elapsed_ms(began));
        tables::write(&self.lake, app, tables, &calendar, as_of_ms).await?;
        steps_ms.insert("write", elapsed_ms(began));
        let flushed_through = pin.as_ref().map(Pin::position);
        let revision =
            self.publish(app, gone, segments, &roster, as_of_ms, flushed_through).await?;
        drop(pin);
        steps_ms.insert("publish", elapsed_ms(began));
        Ok(Produced {
            tags,
            users: roster.len() as u64,
            events_read,
            revision,
            flushed_through,
            elapsed_ms: elapsed_ms(began),
            steps_ms,
        })
    }

    /// Gives the dictionary another generation if what is published is not of its ordinals: it was
    /// lost, or is older than the index. Gives the published tags that are not defined any
    /// more.
    async fn renumber(
        &self,
        app: &AppId,
        definitions: &Definitions,
        selection: &Selection<'_>,
    ) -> Result<Vec<Name>> {
        let published = match self.index.published(app).await {
            Ok(Some(published)) => published,
            Ok(None) => return Ok(Vec::new()),
            // What was published is lost. All users and tags under another generation need nothing
            // of it.
            Err(error @ taghouse_index::Error::Corrupt { .. }) if selection.complete => {
                let (dictionary, owner) = (self.dictionary.clone(), app.clone());
                let Some(generation) = self.index.generation(app).await? else {
                    return Err(error.into());
                };
                tracing::warn!(%app, %error, "the index is made again with the users renumbered");
                if dictionary.generation(app) <= generation {
                    blocking(move || Ok(dictionary.renew(&owner, generation + 1)?)).await?;
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let generation = self.dictionary.generation(app);
        let same = generation == published.generation
            && published.users <= u64::from(self.dictionary.len(app));
        if !same && !selection.complete {
            return Err(Error::Renumbered(app.clone()));
        }
        if !same && generation <= published.generation {
            tracing::warn!(%app, "the index was made with another dictionary: the users are renumbered");
            let (dictionary, owner) = (self.dictionary.clone(), app.clone());
            blocking(move || Ok(dictionary.renew(&owner, published.generation + 1)?)).await?;
        }
        let defined = |name: &Name| definitions.tags.contains_key(name);
        Ok(published.tags.into_iter().filter(|name| selection.complete && !defined(name)).collect())
    }

    /// The position of the last live change, from which on the log keeps what is changed; `None`
    /// without live changes.
    async fn pin(&self, app: &AppId, selection: &Selection<'_>) -> Result<Option<Pin>> {
        match self.index.pin(app).await {
            Ok(pin) => Ok(Some(pin)),
            Err(taghouse_index::Error::NoLog) => Ok(None),
            // Of a lost index nothing is subsumed: the log begins again with the next generation.
            Err(taghouse_index::Error::Corrupt { .. }) if selection.complete => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn sql_tags(
        &self,
        app: &AppId,
        selection: &Selection<'_>,
        as_of_ms: TimestampMs,
    ) -> Result<Vec<Queried>> {
        let mut values = Vec::new();
        for tag in &selection.computed {
            if let TagKind::Sql { query } = &tag.kind {
                let began = Instant::now();
                let found =
                    sql_tag::values(&self.lake, app, &tag.name, tag.value_type, query, as_of_ms)
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

    async fn publish(
        &self,
        app: &AppId,
        gone: Vec<Name>,
        segments: Vec<(TagDefinition, Vec<u8>)>,
        roster: &Roster,
        as_of_ms: TimestampMs,
        flushed_through: Option<u64>,
    ) -> Result<u64> {
        let stored = self.catalog.definitions(app).await.map_err(taghouse_index::Error::from)?;
        let body = |name: &Name| {
            stored
                .iter()
                .find(|d| d.kind == "tag" && d.name == name.as_str())
                .map(|d| d.body.clone())
                .unwrap_or_default()
        };
        let tags = segments.into_iter().map(|(tag, segment)| TagPublication {
            definition: body(&tag.name),
            name: tag.name,
            value_type: tag.value_type,
            as_of_ms,
            segment: segment.into(),
            flushed_through,
        });
        let users: Bitmap = roster.ordinals.iter().copied().collect();
        let publication = Publication {
            generation: self.dictionary.generation(app),
            users,
            tags: tags.collect(),
            drop: gone,
        };
        Ok(self.index.publish(app, publication, Vec::new()).await?)
    }
}

/// The wide table with its rows.
fn wide_rows(
    types: &BTreeMap<Name, ValueType>,
    mut columns: BTreeMap<Name, Column>,
    roster: &Roster,
    as_of_ms: TimestampMs,
) -> Result<(TableLayout, RecordBatch)> {
    let table = layout::users_wide(types);
    let values =
        types.keys().filter_map(|name| columns.remove(name)).map(|column| column.values).collect();
    let rows = wide(&table, values, roster, as_of_ms)?;
    Ok((table, rows))
}

/// The workers' values of each tag, in the roster's order. A worker's part is let go of as soon as
/// it is in its place.
fn align(
    roster: &Roster,
    found: Vec<Owned>,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Column>> {
    let mut workers: Vec<_> = found.into_iter().map(|owned| owned.values.into_iter()).collect();
    let mut columns = BTreeMap::new();
    loop {
        let began = Instant::now();
        let (mut name, mut parts, mut skipped) =
            (None, Vec::with_capacity(workers.len()), BTreeMap::new());
        for (tag, values) in workers.iter_mut().filter_map(Iterator::next) {
            for (reason, count) in values.skipped {
                *skipped.entry(reason).or_default() += count;
            }
            parts.push(values.array);
            name = Some(tag);
        }
        let Some(name) = name else { return Ok(columns) };
        goes_on(stop)?;
        let values = roster.align(&name, parts)?;
        columns
            .insert(name, Column { values, shown: None, skipped, elapsed_ms: elapsed_ms(began) });
    }
}

/// All tags' values: with those of queries and those computed from others, and with the changes by
/// hand on top.
fn complete(
    definitions: &Definitions,
    computed: &[TagDefinition],
    sql: Vec<Queried>,
    mut columns: BTreeMap<Name, Column>,
    roster: &Roster,
    by_hand: &ByHand,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Column>> {
    for Queried { tag, values, spent_ms } in sql {
        goes_on(stop)?;
        columns.insert(tag.name.clone(), place(roster, &tag, values, spent_ms)?);
    }
    // In order of dependency, so that a tag is computed from values with the changes on top.
    for tag in computed {
        goes_on(stop)?;
        if let Some(column) = derive(definitions, tag, &columns, roster.len())? {
            columns.insert(tag.name.clone(), column);
        }
        if let Some(column) = columns.get_mut(&tag.name) {
            column.change(by_hand, definitions, tag)?;
        }
    }
    Ok(columns)
}

/// The values of an `sql` tag, in the roster's order. Users that the lake does not know are passed
/// over and counted.
fn place(
    roster: &Roster,
    tag: &TagDefinition,
    values: HashMap<String, Value>,
    spent_ms: u64,
) -> Result<Column> {
    let bytes = values.values().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Set(members) => members.iter().map(|member| member.len()).sum(),
        _ => 0,
    });
    check_text(|| format!("the values of tag {}", tag.name), bytes.sum())?;
    let mut builder = ColumnBuilder::new(tag.value_type);
    let (mut known, mut skipped) = (0, BTreeMap::new());
    for id in roster.ids.iter().flatten() {
        let value = values.get(id);
        known += u64::from(value.is_some());
        let outcome =
            value.map_or(Outcome::Nothing, |value| Outcome::of(value.clone(), tag.value_type));
        if let Outcome::Skipped(reason) = outcome {
            *skipped.entry(reason).or_default() += 1;
        }
        builder.push(outcome.value().as_ref());
    }
    let unknown = values.len() as u64 - known;
    if unknown > 0 {
        skipped.insert(SkipReason::UnknownUser, unknown);
    }
    Ok(Column { values: builder.finish(), shown: None, skipped, elapsed_ms: spent_ms })
}

/// The values of a cohort or expression, from those of other tags; none for other kinds.
fn derive(
    definitions: &Definitions,
    tag: &TagDefinition,
    columns: &BTreeMap<Name, Column>,
    users: usize,
) -> Result<Option<Column>> {
    let began = Instant::now();
    let types = |name: &str| definitions.tag_type(name);
    let fold = match &tag.kind {
        TagKind::Cohort { rules, otherwise } => {
            DerivedFold::cohort(rules, otherwise.as_ref(), tag.value_type, &types)
        }
        TagKind::Expression(expression) => {
            DerivedFold::expression(expression, tag.value_type, &types)
        }
        TagKind::Attribute { .. } | TagKind::Aggregate(_) | TagKind::Sql { .. } => return Ok(None),
    };
    let values = fold.values(0..users, &|name| columns.get(name).map(|column| &column.values))?;
    Ok(Some(Column {
        values: values.array,
        shown: None,
        skipped: values.skipped,
        elapsed_ms: elapsed_ms(began),
    }))
}

/// Rows and segments of the published tags, on all cores. Those that have not begun when this is
/// dropped never do.
async fn outputs(
    selection: &Selection<'_>,
    roster: &Arc<Roster>,
    columns: &BTreeMap<Name, Column>,
    as_of_ms: TimestampMs,
) -> Result<(Vec<ProducedTag>, Vec<(TagDefinition, Output)>)> {
    let mut building = JoinSet::new();
    for tag in selection.computed.iter().filter(|tag| selection.published.contains(&tag.name)) {
        let Some(column) = columns.get(&tag.name) else { continue };
        let (tag, values, shown, roster) =
            ((*tag).clone(), column.values.clone(), column.shown.clone(), roster.clone());
        let (place, skipped, spent_ms) =
            (building.len(), column.skipped.clone(), column.elapsed_ms);
        building.spawn_blocking(move || {
            let began = Instant::now();
            let mut output = build(&tag.name, tag.value_type, &values, &roster, as_of_ms)?;
            if let Some(shown) = shown {
                output.segment =
                    build(&tag.name, tag.value_type, &shown, &roster, as_of_ms)?.segment;
            }
            let elapsed_ms = spent_ms + elapsed_ms(began);
            let produced =
                ProducedTag { name: tag.name.clone(), users: output.users, elapsed_ms, skipped };
            Ok::<_, Error>((place, produced, (tag, output)))
        });
    }
    let mut built = Vec::with_capacity(building.len());
    while let Some(ended) = building.join_next().await {
        built.push(ended.map_err(|error| Error::Worker(error.to_string()))??);
    }
    built.sort_unstable_by_key(|(place, _, _)| *place);
    Ok(built.into_iter().map(|(_, produced, output)| (produced, output)).unzip())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Worker(error.to_string()))?
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
