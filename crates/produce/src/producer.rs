//! Definitions and a lake, as of a time, into tag tables and the index.

use crate::output::{Output, build, wide};
use crate::pass::{self, Owned, Plan};
use crate::roster::Roster;
use crate::selection::Selection;
use crate::{Error, Result, sql_tag};
use arrow::array::ArrayRef;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use taghouse_catalog::Catalog;
use taghouse_dictionary::Dictionary;
use taghouse_fold::{ColumnBuilder, DerivedFold, SkipReason};
use taghouse_index::{Bitmap, Index, Publication, TagPublication};
use taghouse_lake::{Lake, layout};
use taghouse_model::{AppId, Name, TimestampMs, Value, ValueType};
use taghouse_rules::{Definitions, TagDefinition, TagKind};

/// Produces tags.
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
    /// Values that the tag cannot hold, so that their users have none, by reason.
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
        Self { catalog, lake, index, dictionary }
    }

    /// Produces all tags as of a time, or those of `only` and what is computed from them. `report` is told of rows read, and of how many
    /// there are. Needs a tokio runtime of several threads.
    ///
    /// The tables of all tags change in one transaction; the index is published after it. A crash between the two leaves the index as it was,
    /// and the same production again puts both right.
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
        let began = Instant::now();
        let mut steps_ms = BTreeMap::new();
        let selection = Selection::new(definitions, only);
        let plan = Arc::new(Plan::new(definitions, &selection, as_of_ms)?);
        let (pass, sql) = tokio::try_join!(pass::run(&self.lake, app, plan, report), self.sql_tags(app, &selection, as_of_ms))?;
        let (found, events_read) = pass;
        steps_ms.insert("fold", elapsed_ms(began));
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        let (roster, mut columns) = blocking(move || {
            let roster = Roster::enlist(&dictionary, &owner, &found)?;
            let columns = align(&roster, &found)?;
            Ok((roster, columns))
        })
        .await?;
        steps_ms.insert("enlist", elapsed_ms(began));
        for (tag, (values, spent)) in sql {
            columns.insert(tag.name.clone(), place(&roster, tag.value_type, &values, spent));
        }
        for tag in &selection.computed {
            if let Some(column) = derive(definitions, tag, &columns, roster.len())? {
                columns.insert(tag.name.clone(), column);
            }
        }
        steps_ms.insert("derive", elapsed_ms(began));
        let roster = Arc::new(roster);
        let (tags, outputs) = outputs(&selection, &roster, &columns, as_of_ms).await?;
        steps_ms.insert("encode", elapsed_ms(began));
        self.write(app, &selection, &outputs, &columns, &roster, as_of_ms).await?;
        steps_ms.insert("write", elapsed_ms(began));
        let revision = self.publish(app, definitions, &selection, outputs, &roster, as_of_ms).await?;
        steps_ms.insert("publish", elapsed_ms(began));
        Ok(Produced { tags, users: roster.len() as u64, events_read, revision, elapsed_ms: elapsed_ms(began), steps_ms })
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

    /// Writes all tag tables, and the wide one where all tags are there, in one commit.
    async fn write(
        &self,
        app: &AppId,
        selection: &Selection<'_>,
        outputs: &[(TagDefinition, Output)],
        columns: &BTreeMap<Name, Column>,
        roster: &Roster,
        as_of_ms: TimestampMs,
    ) -> Result<()> {
        let as_of = Value::Time(as_of_ms);
        let mut tables = Vec::new();
        for (tag, output) in outputs {
            tables.push((layout::tag(&tag.name, tag.value_type), output.rows.clone()));
        }
        if selection.complete {
            let types: BTreeMap<Name, ValueType> = selection.computed.iter().map(|tag| (tag.name.clone(), tag.value_type)).collect();
            let layout = layout::users_wide(&types);
            let values = types.keys().filter_map(|name| columns.get(name)).map(|column| column.values.clone()).collect();
            tables.push((layout.clone(), wide(&layout, values, roster, as_of_ms)?));
        }
        let mut commit = self.lake.begin(app);
        for (layout, rows) in tables {
            let table = self.lake.ensure(app, &layout).await?;
            let mut writer = table.writer();
            writer.write(rows).await?;
            commit.overwrite(&table, &as_of, writer.close().await?)?;
        }
        commit.commit().await?;
        Ok(())
    }

    async fn publish(
        &self,
        app: &AppId,
        definitions: &Definitions,
        selection: &Selection<'_>,
        outputs: Vec<(TagDefinition, Output)>,
        roster: &Roster,
        as_of_ms: TimestampMs,
    ) -> Result<u64> {
        let stored = self.catalog.definitions(app).await.map_err(taghouse_index::Error::from)?;
        let body =
            |name: &Name| stored.iter().find(|d| d.kind == "tag" && d.name == name.as_str()).map(|d| d.body.clone()).unwrap_or_default();
        let tags = outputs.into_iter().map(|(tag, output)| TagPublication {
            definition: body(&tag.name),
            name: tag.name,
            value_type: tag.value_type,
            as_of_ms,
            segment: output.segment,
        });
        let gone = match self.index.snapshot(app).await? {
            Some(snapshot) if selection.complete => {
                snapshot.tags().map(|tag| tag.name.clone()).filter(|name| !definitions.tags.contains_key(name)).collect()
            }
            _ => Vec::new(),
        };
        let users: Bitmap = roster.ordinals.iter().copied().collect();
        let publication = Publication { users, tags: tags.collect(), drop: gone };
        Ok(self.index.publish(app, publication, Vec::new()).await?)
    }
}

/// The workers' values of each tag, in the roster's order.
fn align(roster: &Roster, found: &[Owned]) -> Result<BTreeMap<Name, Column>> {
    let mut columns = BTreeMap::new();
    let tags = found.first().map(|owned| owned.values.len()).unwrap_or_default();
    for tag in 0..tags {
        let began = Instant::now();
        let parts: Vec<ArrayRef> = found.iter().map(|owned| owned.values[tag].1.array.clone()).collect();
        let mut skipped = BTreeMap::new();
        for (reason, count) in found.iter().flat_map(|owned| &owned.values[tag].1.skipped) {
            *skipped.entry(*reason).or_default() += *count;
        }
        let name = found[0].values[tag].0.clone();
        columns.insert(name, Column { values: roster.align(&parts)?, skipped, elapsed_ms: elapsed_ms(began) });
    }
    Ok(columns)
}

/// The values of an `sql` tag, in the roster's order. Users that the lake does not know are passed over and counted.
fn place(roster: &Roster, value_type: ValueType, values: &HashMap<String, Value>, spent_ms: u64) -> Column {
    let mut builder = ColumnBuilder::new(value_type);
    let mut known = 0;
    for id in roster.ids.iter().flatten() {
        let value = values.get(id);
        known += u64::from(value.is_some());
        builder.push(value);
    }
    let unknown = values.len() as u64 - known;
    let skipped = if unknown > 0 { BTreeMap::from([(SkipReason::UnknownUser, unknown)]) } else { BTreeMap::new() };
    Column { values: builder.finish(), skipped, elapsed_ms: spent_ms }
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
