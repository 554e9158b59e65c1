//! Definitions and a lake, as of a time, into tag tables and the index.

use crate::output::{Output, build, wide};
use crate::pass::{self, Owned, Plan};
use crate::roster::{Roster, check_text};
use crate::selection::Selection;
use crate::{Error, Result, sql_tag, tables};
use arrow::array::{ArrayRef, RecordBatch};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use taghouse_catalog::Catalog;
use taghouse_dictionary::Dictionary;
use taghouse_fold::{Calendar, ColumnBuilder, DerivedFold, SkipReason};
use taghouse_index::{Bitmap, Index, Publication, TagPublication};
use taghouse_lake::{Lake, TableLayout, layout};
use taghouse_model::{AppId, Name, TimestampMs, Value, ValueType};
use taghouse_rules::{Definitions, TagDefinition, TagKind};

/// Produces tags.
pub struct Producer {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    /// One production of an app at a time: a later one must not be overtaken by what an earlier one read.
    running: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<()>>>>,
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
    /// The whole time.
    pub elapsed_ms: u64,
    /// What took how long, in milliseconds: reading and folding, writing the tables, publishing the index.
    pub steps_ms: BTreeMap<&'static str, u64>,
}

/// One tag of a production.
#[derive(Debug, Clone)]
pub struct ProducedTag {
    /// Its name.
    pub name: Name,
    /// How many users have a value.
    pub users: u64,
    /// The time that was spent on this tag alone; the pass over events is shared.
    pub elapsed_ms: u64,
    /// What counted for nothing, by reason: values that the tag cannot hold, so that their users have none, and of aggregates each event
    /// whose value is out of range.
    pub skipped: BTreeMap<SkipReason, u64>,
}

/// A tag's values while they are made.
struct Column {
    values: ArrayRef,
    skipped: BTreeMap<SkipReason, u64>,
    elapsed_ms: u64,
}

impl Producer {
    /// A producer over these rooms.
    pub fn new(catalog: Arc<dyn Catalog>, lake: Arc<Lake>, index: Arc<Index>, dictionary: Arc<Dictionary>) -> Self {
        Self { catalog, lake, index, dictionary, running: Mutex::default() }
    }

    /// Produces all tags as of a time, or those of `only` and what is computed from them. `report` is told of rows read, and of how many
    /// there are. Needs a tokio runtime of several threads.
    ///
    /// The tables of all tags change in one transaction, in which these rows take the place of those of any as-of time of the same local
    /// day; the index is published after it. A crash between the two leaves the index as it was, and the same production again puts both
    /// right. Productions of one app wait for one another.
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
        let app_lock = self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(app.clone()).or_default().clone();
        let _running = app_lock.lock().await;
        let began = Instant::now();
        let mut steps_ms = BTreeMap::new();
        let selection = Selection::new(definitions, only);
        // What is produced takes the place of values changed by hand up to here; later changes stay on top.
        let subsumes = match self.index.position(app).await {
            Ok(position) => Some(position),
            Err(taghouse_index::Error::NoLog) => None,
            Err(error) => return Err(error.into()),
        };
        let gone = self.renumber(app, definitions, &selection).await?;
        let plan = Arc::new(Plan::new(definitions, &selection, as_of_ms)?);
        let (pass, sql) = tokio::try_join!(pass::run(&self.lake, app, plan, report), self.sql_tags(app, &selection, as_of_ms))?;
        let (found, events_read) = pass;
        steps_ms.insert("fold", elapsed_ms(began));
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        let (roster, mut columns) = blocking(move || {
            let roster = Roster::enlist(&dictionary, &owner, &found)?;
            let columns = align(&roster, found)?;
            Ok((roster, columns))
        })
        .await?;
        steps_ms.insert("enlist", elapsed_ms(began));
        for (tag, (values, spent)) in sql {
            columns.insert(tag.name.clone(), place(&roster, tag, values, spent)?);
        }
        for tag in &selection.computed {
            if let Some(column) = derive(definitions, tag, &columns, roster.len())? {
                columns.insert(tag.name.clone(), column);
            }
        }
        steps_ms.insert("derive", elapsed_ms(began));
        let roster = Arc::new(roster);
        let (tags, outputs) = outputs(&selection, &roster, &columns, as_of_ms).await?;
        let (mut tables, mut segments) = (Vec::with_capacity(outputs.len() + 1), Vec::with_capacity(outputs.len()));
        for (tag, output) in outputs {
            tables.push((layout::tag(&tag.name, tag.value_type), output.rows));
            segments.push((tag, output.segment));
        }
        if selection.complete {
            tables.push(wide_rows(&selection, columns, &roster, as_of_ms)?);
        }
        steps_ms.insert("encode", elapsed_ms(began));
        tables::write(&self.lake, app, tables, &Calendar::new(&definitions.app.time_zone), as_of_ms).await?;
        steps_ms.insert("write", elapsed_ms(began));
        let revision = self.publish(app, gone, segments, &roster, as_of_ms, subsumes).await?;
        steps_ms.insert("publish", elapsed_ms(began));
        Ok(Produced { tags, users: roster.len() as u64, events_read, revision, elapsed_ms: elapsed_ms(began), steps_ms })
    }

    /// Gives the dictionary another generation if what is published is not of its ordinals: it was lost, or is older than the index. Gives
    /// the published tags that are not defined any more.
    async fn renumber(&self, app: &AppId, definitions: &Definitions, selection: &Selection<'_>) -> Result<Vec<Name>> {
        let Some(published) = self.index.published(app).await? else { return Ok(Vec::new()) };
        let generation = self.dictionary.generation(app);
        let same = generation == published.generation && published.users <= u64::from(self.dictionary.len(app));
        if !same && !selection.complete {
            return Err(Error::Renumbered(app.clone()));
        }
        if !same && generation <= published.generation {
            tracing::warn!(%app, "the index was made with another dictionary: the users are numbered anew");
            let (dictionary, owner) = (self.dictionary.clone(), app.clone());
            blocking(move || Ok(dictionary.renew(&owner, published.generation + 1)?)).await?;
        }
        let defined = |name: &Name| definitions.tags.contains_key(name);
        Ok(published.tags.into_iter().filter(|name| selection.complete && !defined(name)).collect())
    }

    async fn sql_tags<'a>(
        &self,
        app: &AppId,
        selection: &Selection<'a>,
        as_of_ms: TimestampMs,
    ) -> Result<Vec<(&'a TagDefinition, (HashMap<String, Value>, u64))>> {
        let mut values = Vec::new();
        for tag in &selection.computed {
            if let TagKind::Sql { query } = &tag.kind {
                let began = Instant::now();
                let found = sql_tag::values(&self.lake, app, &tag.name, tag.value_type, query, as_of_ms).await?;
                values.push((*tag, (found, elapsed_ms(began))));
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
        subsumes: Option<u64>,
    ) -> Result<u64> {
        let stored = self.catalog.definitions(app).await.map_err(taghouse_index::Error::from)?;
        let body =
            |name: &Name| stored.iter().find(|d| d.kind == "tag" && d.name == name.as_str()).map(|d| d.body.clone()).unwrap_or_default();
        let tags = segments.into_iter().map(|(tag, segment)| TagPublication {
            definition: body(&tag.name),
            name: tag.name,
            value_type: tag.value_type,
            as_of_ms,
            segment,
            subsumes,
        });
        let users: Bitmap = roster.ordinals.iter().copied().collect();
        let publication = Publication { generation: self.dictionary.generation(app), users, tags: tags.collect(), drop: gone };
        Ok(self.index.publish(app, publication, Vec::new()).await?)
    }
}

/// The wide table with its rows.
fn wide_rows(
    selection: &Selection<'_>,
    mut columns: BTreeMap<Name, Column>,
    roster: &Roster,
    as_of_ms: TimestampMs,
) -> Result<(TableLayout, RecordBatch)> {
    let types: BTreeMap<Name, ValueType> = selection.computed.iter().map(|tag| (tag.name.clone(), tag.value_type)).collect();
    let table = layout::users_wide(&types);
    let values = types.keys().filter_map(|name| columns.remove(name)).map(|column| column.values).collect();
    let rows = wide(&table, values, roster, as_of_ms)?;
    Ok((table, rows))
}

/// The workers' values of each tag, in the roster's order. A worker's part is let go of as soon as it is in its place.
fn align(roster: &Roster, found: Vec<Owned>) -> Result<BTreeMap<Name, Column>> {
    let mut workers: Vec<_> = found.into_iter().map(|owned| owned.values.into_iter()).collect();
    let mut columns = BTreeMap::new();
    loop {
        let began = Instant::now();
        let (mut name, mut parts, mut skipped) = (None, Vec::with_capacity(workers.len()), BTreeMap::new());
        for (tag, values) in workers.iter_mut().filter_map(Iterator::next) {
            for (reason, count) in values.skipped {
                *skipped.entry(reason).or_default() += count;
            }
            parts.push(values.array);
            name = Some(tag);
        }
        let Some(name) = name else { return Ok(columns) };
        let values = roster.align(&name, parts)?;
        columns.insert(name, Column { values, skipped, elapsed_ms: elapsed_ms(began) });
    }
}

/// The values of an `sql` tag, in the roster's order. Users that the lake does not know are passed over and counted.
fn place(roster: &Roster, tag: &TagDefinition, values: HashMap<String, Value>, spent_ms: u64) -> Result<Column> {
    let bytes = values.values().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Set(members) => members.iter().map(|member| member.len()).sum(),
        _ => 0,
    });
    check_text(|| format!("the values of tag {}", tag.name), bytes.sum())?;
    let mut builder = ColumnBuilder::new(tag.value_type);
    let mut known = 0;
    for id in roster.ids.iter().flatten() {
        let value = values.get(id);
        known += u64::from(value.is_some());
        builder.push(value);
    }
    let unknown = values.len() as u64 - known;
    let skipped = if unknown > 0 { BTreeMap::from([(SkipReason::UnknownUser, unknown)]) } else { BTreeMap::new() };
    Ok(Column { values: builder.finish(), skipped, elapsed_ms: spent_ms })
}

/// The values of a cohort or expression, from those of other tags; none for other kinds.
fn derive(definitions: &Definitions, tag: &TagDefinition, columns: &BTreeMap<Name, Column>, users: usize) -> Result<Option<Column>> {
    let began = Instant::now();
    let types = |name: &str| definitions.tag_type(name);
    let fold = match &tag.kind {
        TagKind::Cohort { rules, otherwise } => DerivedFold::cohort(rules, otherwise.as_ref(), tag.value_type, &types),
        TagKind::Expression(expression) => DerivedFold::expression(expression, tag.value_type, &types),
        TagKind::Attribute { .. } | TagKind::Aggregate(_) | TagKind::Sql { .. } => return Ok(None),
    };
    let values = fold.values(0..users, &|name| columns.get(name).map(|column| &column.values))?;
    Ok(Some(Column { values: values.array, skipped: values.skipped, elapsed_ms: elapsed_ms(began) }))
}

/// Rows and segments of the published tags, on all cores.
async fn outputs(
    selection: &Selection<'_>,
    roster: &Arc<Roster>,
    columns: &BTreeMap<Name, Column>,
    as_of_ms: TimestampMs,
) -> Result<(Vec<ProducedTag>, Vec<(TagDefinition, Output)>)> {
    let mut building = Vec::new();
    for tag in selection.computed.iter().filter(|tag| selection.published.contains(&tag.name)) {
        let Some(column) = columns.get(&tag.name) else { continue };
        let (tag, values, roster) = ((*tag).clone(), column.values.clone(), roster.clone());
        let known = (column.skipped.clone(), column.elapsed_ms);
        building.push((
            known,
            tokio::task::spawn_blocking(move || {
                let began = Instant::now();
                let output = build(&tag.name, tag.value_type, &values, &roster, as_of_ms)?;
                Ok::<_, Error>((tag, output, elapsed_ms(began)))
            }),
        ));
    }
    let (mut tags, mut outputs) = (Vec::new(), Vec::new());
    for ((skipped, spent_ms), output) in building {
        let (tag, output, built_ms) = output.await.map_err(|error| Error::Worker(error.to_string()))??;
        tags.push(ProducedTag { name: tag.name.clone(), users: output.users, elapsed_ms: spent_ms + built_ms, skipped });
        outputs.push((tag, output));
    }
    Ok((tags, outputs))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Worker(error.to_string()))?
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
