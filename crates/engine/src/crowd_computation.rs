//! The computation of one crowd in a run: with the query that some are made of, and what there is to say
//! of ids that belong to no user.

use crate::{Engine, Error, Result};
use taghouse_crowd::{CrowdVersion, IdCounts};
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::{CrowdDefinition, CrowdSource, Definitions};

/// How often a query is run again because the users were renumbered meanwhile.
const ATTEMPTS: u32 = 3;
/// How many ids of no user a warning names.
const NAMED_IDS: usize = 3;

impl Engine {
    /// Computes a crowd and publishes the result. `as_of_ms`: what its query is as of.
    pub(crate) async fn compute_crowd(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        as_of_ms: TimestampMs,
    ) -> Result<CrowdVersion> {
        let CrowdSource::Sql { query } = &crowd.source else {
            return Ok(self.crowds.compute(definitions, crowd).await?);
        };
        let mut attempt = 1;
        loop {
            match self.compute_queried(definitions, crowd, query, as_of_ms).await {
                Err(Error::Crowd(taghouse_crowd::Error::Renumbered { .. }))
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn compute_queried(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        query: &str,
        as_of_ms: TimestampMs,
    ) -> Result<CrowdVersion> {
        let mut given = self.crowds.given_users(&definitions.app.id, Some(as_of_ms)).await?;
        let mut rows = self.producer.crowd_query(definitions, &crowd.name, query, as_of_ms).await?;
        while let Some(batch) = rows.next().await? {
            given.add(&batch.ids())?;
            given.add_missing(batch.missing());
        }
        Ok(self.crowds.compute_given(definitions, crowd, Some(&given)).await?)
    }

    /// What there is to say of the ids that a version was made of, if some belong to no user.
    pub(crate) async fn unknown_ids(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
        version: &CrowdVersion,
    ) -> Result<Option<String>> {
        let Some(IdCounts { given, unknown, .. }) = version.ids.filter(|ids| ids.unknown > 0)
        else {
            return Ok(None);
        };
        let name = &crowd.name;
        let CrowdSource::Ids(list) = &crowd.source else {
            let rows = format!("{unknown} of the {given} rows that its query gives");
            return Ok(Some(format!("crowd {name}: there is no user for {rows}")));
        };
        let named = self.crowds.unknown_ids(app, &list.ids, NAMED_IDS).await?;
        let named: Vec<String> = named.into_iter().map(|id| format!("{id:?}")).collect();
        let which = match named.len() as u64 {
            0 => String::new(),
            all if all == unknown => format!(": {}", named.join(", ")),
            _ => format!(", such as {}", named.join(", ")),
        };
        Ok(Some(format!("crowd {name}: there is no user for {unknown} of its {given} ids{which}")))
    }
}
