//! Checks that definitions fit the data already in the lake. Otherwise they would be accepted now
//! and fail later, at the next ingestion or in the middle of a production.

use crate::{Engine, Result};
use std::collections::BTreeMap;
use taghouse_lake::{TableLayout, layout, layout_schema, with_as_of};
use taghouse_model::{AppId, ErrorKind, Name, ValueType};
use taghouse_rules::{
    CrowdSource, DefinitionError, Definitions, Document, DocumentKind, TagKind, TagMode,
};

/// The misfits, each with its place. `changed` tells whether a definition is new or differs from
/// the stored one.
///
/// # Errors
/// The lake cannot be read.
pub(crate) async fn check(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    documents: &[Document],
    changed: &(dyn Fn(&Document) -> bool + Sync),
) -> Result<Vec<DefinitionError>> {
    let changed: Vec<&Document> = documents.iter().filter(|document| changed(document)).collect();
    let mut errors = properties(engine, app, definitions, documents).await?;
    for document in changed {
        let Some(question) = question(definitions, document) else { continue };
        if let Some(message) = refused(engine, app, definitions, &question).await? {
            errors.push(at(document, format!("{} {}: {message}", question.of, document.name)));
        }
    }
    Ok(errors)
}

/// A query that a definition has.
struct Question<'a> {
    /// What it is of.
    of: &'static str,
    query: &'a str,
    /// What it must give.
    columns: &'static [&'static str],
    /// Whether the tables of tags are there when it is run.
    after_tags: bool,
}

fn question<'a>(definitions: &'a Definitions, document: &Document) -> Option<Question<'a>> {
    let name = document.name.as_str();
    match document.kind {
        DocumentKind::Tag => match &definitions.tags.get(name)?.kind {
            TagKind::Sql { query } => Some(Question {
                of: "sql tag",
                query,
                columns: &["user_id", "value"],
                after_tags: false,
            }),
            _ => None,
        },
        DocumentKind::Crowd => match &definitions.crowds.get(name)?.source {
            CrowdSource::Sql { query } => {
                Some(Question { of: "crowd", query, columns: &["user_id"], after_tags: true })
            }
            _ => None,
        },
        _ => None,
    }
}

fn at(document: &Document, message: String) -> DefinitionError {
    DefinitionError {
        path: document.path.clone(),
        line: document.line,
        column: usize::from(document.line > 0),
        message,
    }
}

/// Properties whose column in the table of events has another type, for a column keeps its type.
async fn properties(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    documents: &[Document],
) -> Result<Vec<DefinitionError>> {
    let Some(table) = engine.lake.table(app, layout::EVENTS).await? else { return Ok(Vec::new()) };
    let properties = definitions.properties();
    let wanted = layout_schema(&layout::events(&properties))?;
    let mut errors = Vec::new();
    for (name, value_type) in &properties {
        let (Ok(wanted), Some(held)) = (
            wanted.field_with_name(name.as_str()),
            table
                .arrow_schema()
                .fields()
                .iter()
                .find(|held| held.name().eq_ignore_ascii_case(name.as_str())),
        ) else {
            continue;
        };
        let message = if held.name() != name.as_str() {
            format!(
                "property `{name}` differs only in case from the column `{}` of the lake's events: write it so",
                held.name()
            )
        } else if held.data_type() != wanted.data_type() {
            format!(
                "property `{name}` is of type {value_type} here, but the lake's events hold it as {}: keep that type, or give the property \
                 another name",
                held.data_type()
            )
        } else {
            continue;
        };
        errors.extend(
            documents
                .iter()
                .filter(|document| names(document, name))
                .map(|document| at(document, message.clone())),
        );
    }
    Ok(errors)
}

/// Whether a source's document has the property.
fn names(document: &Document, property: &Name) -> bool {
    document.kind == DocumentKind::Source
        && document.body.get("properties").is_some_and(|all| all.get(property.as_str()).is_some())
}

/// Why a query is refused, if it is. It is planned but not run.
async fn refused(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    question: &Question<'_>,
) -> Result<Option<String>> {
    let query = with_as_of(question.query, 0);
    let schema = match engine.lake.sql_schema(app, &query).await {
        Ok(schema) => schema,
        Err(error) if error.kind() != ErrorKind::Invalid => return Err(error.into()),
        // It may speak of what comes with these definitions or with the first events.
        Err(error) => {
            let mut tables = empty_tables(engine, app, definitions).await?;
            if question.after_tags {
                tables.extend(tables_of_tags(engine, app, definitions, &query).await?);
            }
            let Some(query) = in_front(&query, &tables.join(", ")) else {
                return Ok(Some(error.to_string()));
            };
            match engine.lake.sql_schema(app, &query).await {
                Ok(schema) => schema,
                Err(second) if second.kind() != ErrorKind::Invalid => return Err(second.into()),
                // A place in the text is right only in the words on the text as it was given.
                Err(second) if second.to_string().contains("Line:") => {
                    return Ok(Some(error.to_string()));
                }
                Err(second) => return Ok(Some(second.to_string())),
            }
        }
    };
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Ok((columns != question.columns).then(|| {
        format!(
            "the query gives the columns {}: select exactly {}",
            columns.join(", "),
            question.columns.join(" and ")
        )
    }))
}

/// The query with tables of its own in front of the lake's; `None` for what is not a query.
fn in_front(query: &str, tables: &str) -> Option<String> {
    let query = without_leading_comments(query);
    let (word, rest) =
        query.split_at(query.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(query.len()));
    match word.to_ascii_lowercase().as_str() {
        "with" => Some(format!("WITH {tables}, {rest}")),
        "select" | "" => Some(format!("WITH {tables} {query}")),
        _ => None,
    }
}

fn without_leading_comments(query: &str) -> &str {
    let query = query.trim_start();
    let rest = match query.get(..2) {
        Some("--") => query.split_once('\n'),
        Some("/*") => query.split_once("*/"),
        _ => None,
    };
    rest.map_or(query, |(_, rest)| without_leading_comments(rest))
}

/// The tables that every app has once something was ingested, as they would then be, without rows.
/// They stand before the lake's own: a query may be defined before anything was ingested, and may
/// use properties that are defined with it. The lake itself is not touched, for a
/// refused definition must leave no column behind.
async fn empty_tables(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for layout in
        [layout::events(&definitions.properties()), layout::attributes(), layout::rejected_events()]
    {
        tables.push(empty_table(engine, app, &layout).await?);
    }
    // As the lake names them with all of their rows.
    let all = [layout::EVENTS, layout::ATTRIBUTES]
        .map(|name| format!("\"all_{name}\" AS (SELECT * FROM \"{name}\")"));
    tables.extend(all);
    Ok(tables)
}

/// The tables of the tags that a query speaks of, without rows: the first production writes them.
async fn tables_of_tags(
    engine: &Engine,
    app: &AppId,
    definitions: &Definitions,
    query: &str,
) -> Result<Vec<String>> {
    // Without quotes, names mean the same in any case.
    let query = query.to_lowercase();
    let speaks_of = |name: &str| query.contains(&name.to_lowercase());
    let spoken_of = definitions.tags.values().filter(|tag| {
        tag.mode != TagMode::Stream && !tag.is_anonymous() && speaks_of(tag.name.as_str())
    });
    let types: BTreeMap<Name, ValueType> =
        spoken_of.map(|tag| (tag.name.clone(), tag.value_type)).collect();
    let mut tables = Vec::new();
    for (tag, value_type) in &types {
        if speaks_of(&layout::tag_table(tag)) {
            tables.push(empty_table(engine, app, &layout::tag(tag, *value_type)).await?);
        }
    }
    if speaks_of(layout::USERS_WIDE) {
        tables.push(empty_table(engine, app, &layout::users_wide(&types)).await?);
    }
    Ok(tables)
}

async fn empty_table(engine: &Engine, app: &AppId, layout: &TableLayout) -> Result<String> {
    let mut columns: BTreeMap<String, String> = BTreeMap::new();
    if let Some(table) = engine.lake.table(app, &layout.name).await? {
        columns.extend(
            table
                .arrow_schema()
                .fields()
                .iter()
                .map(|field| (field.name().clone(), field.data_type().to_string())),
        );
    }
    let wanted = layout_schema(layout)?;
    columns.extend(
        wanted.fields().iter().map(|field| (field.name().clone(), field.data_type().to_string())),
    );
    let cast = |(name, data_type): (&String, &String)| {
        format!(
            "arrow_cast(NULL, '{}') AS \"{}\"",
            data_type.replace('\'', "''"),
            name.replace('"', "\"\"")
        )
    };
    let columns: Vec<String> = columns.iter().map(cast).collect();
    Ok(format!("\"{}\" AS (SELECT {} WHERE false)", layout.name, columns.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::in_front;

    #[test]
    fn tables_are_put_in_front_of_any_query() {
        let cases = [
            ("SELECT 1", Some("WITH t SELECT 1")),
            ("(select 1) union (select 2);", Some("WITH t (select 1) union (select 2);")),
            (
                "-- why\n/* and how */ with a AS (SELECT 1) SELECT 2 -- end",
                Some("WITH t,  a AS (SELECT 1) SELECT 2 -- end"),
            ),
            ("DELETE FROM events", None),
        ];
        for (query, expected) in cases {
            assert_eq!(in_front(query, "t").as_deref(), expected, "{query}");
        }
    }
}
