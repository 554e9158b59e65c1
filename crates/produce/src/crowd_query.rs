//! Queries of crowds: what they say of who is in one.

use crate::sql_tag::links;
use crate::{Error, Producer, Result};
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::DataType;
use futures::StreamExt;
use taghouse_identities::mapping_of;
use taghouse_lake::{BatchStream, layout, with_as_of};
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{Definitions, TagMode};

/// The users that a query gives, some at a time. Dropping it ends the query.
pub struct CrowdQuery {
    crowd: Name,
    batches: BatchStream,
}

/// Some rows of a query.
pub struct QueriedIds(StringArray);

impl QueriedIds {
    /// The ids, as they came.
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().flatten().collect()
    }

    /// How many rows have none.
    pub fn missing(&self) -> u64 {
        self.0.null_count() as u64
    }
}

impl Producer {
    /// Runs the query of a crowd. `{as_of}` in it becomes the as-of time. Of `events` and `attributes`
    /// it sees the rows before that time, as an `sql` tag does; of `users_wide` and tables of tags
    /// those that were produced as of it.
    ///
    /// # Errors
    /// The lake refuses the query, or the result is not the column `user_id`.
    pub async fn crowd_query(
        &self,
        definitions: &Definitions,
        crowd: &Name,
        query: &str,
        as_of_ms: TimestampMs,
    ) -> Result<CrowdQuery> {
        let app: &AppId = &definitions.app.id;
        let identities = self.lake.table(app, layout::IDENTITIES).await?;
        let mapping = mapping_of(identities.as_ref()).await?;
        let produced = definitions.tags.values().filter(|tag| tag.mode != TagMode::Stream);
        let tables: Vec<String> = [layout::EVENTS, layout::ATTRIBUTES, layout::USERS_WIDE]
            .map(str::to_owned)
            .into_iter()
            .chain(produced.map(|tag| layout::tag_table(&tag.name)))
            .collect();
        let seen: Vec<(&str, TimestampMs)> =
            tables.iter().map(|table| (table.as_str(), as_of_ms)).collect();
        let query = with_as_of(query, as_of_ms);
        let (schema, batches) = self
            .lake
            .sql_by_user(app, &query, &seen, links(&mapping))
            .await
            .map_err(|source| Error::CrowdSql { crowd: crowd.clone(), source })?;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if names != ["user_id"] {
            let detail =
                format!("the query gives the columns {}: select exactly user_id", names.join(", "));
            return Err(Error::CrowdSqlResult { crowd: crowd.clone(), detail });
        }
        Ok(CrowdQuery { crowd: crowd.clone(), batches })
    }
}

impl CrowdQuery {
    /// The next rows; `None`: there are no more.
    ///
    /// # Errors
    /// The query fails, or its ids are nothing that a text can be made of.
    pub async fn next(&mut self) -> Result<Option<QueriedIds>> {
        let Some(batch) = self.batches.next().await else { return Ok(None) };
        let failed = |source| Error::CrowdSql { crowd: self.crowd.clone(), source };
        let batch = batch.map_err(failed)?;
        let ids = arrow::compute::cast(batch.column(0), &DataType::Utf8).map_err(|error| {
            let detail = format!("the column user_id is not an id: {error}");
            Error::CrowdSqlResult { crowd: self.crowd.clone(), detail }
        })?;
        Ok(Some(QueriedIds(ids.as_string::<i32>().clone())))
    }
}
