use crate::anonymous::bounding_query;
use crate::question::Ready;
use crate::{Count, Crowds, Question, Result};
use std::future::Future;
use taghouse_disk::blocking;
use taghouse_index::Query;
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// An exact count that takes longer is slow: its bounds are shown first.
pub const SLOW_MS: u64 = 100;

/// What a count is taken to read, low on purpose: to announce a slow one that comes quickly does
/// less harm than the reverse. Cold data may be slower still.
const READ_BYTES_PER_MS: u64 = 2 << 20;

/// What is known of a count before anything is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Users for whom it holds, at the least.
    pub at_least: u64,
    /// And at the most.
    pub at_most: u64,
    /// Users that exist.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
    /// About how many bytes an exact count reads.
    pub reads_bytes: u64,
    /// Whether an exact count is expected to take longer than [`SLOW_MS`].
    pub slow: bool,
}

/// About how many users a millisecond a condition on computed values is worked out for.
const COMPUTED_PER_MS: u64 = 1000;

/// What is known of a question, and the query that tells its count, where nothing had to be worked
/// out for it.
fn estimate_of(ready: &Ready) -> Result<(Estimate, Option<Query>)> {
    if !ready.expression.is_computed() {
        let query = ready.query()?;
        return Ok((estimate(ready, query.bounds(), query.reads_bytes(), 0), Some(query)));
    }
    let [lower, upper] = [false, true].map(|greatest| {
        bounding_query(&ready.snapshot, &ready.expression, &ready.others, greatest)
    });
    let (lower, upper) = (lower?, upper?);
    let (at_least, at_most) = (lower.bounds().0, upper.bounds().1);
    Ok((estimate(ready, (at_least, at_most), upper.reads_bytes(), at_most), None))
}

/// `computed`: for so many users, at the most, something is worked out.
fn estimate(
    ready: &Ready,
    (at_least, at_most): (u64, u64),
    reads_bytes: u64,
    computed: u64,
) -> Estimate {
    Estimate {
        at_least,
        at_most,
        users: ready.snapshot.users().len(),
        revision: ready.snapshot.revision(),
        reads_bytes,
        slow: reads_bytes / READ_BYTES_PER_MS + computed / COMPUTED_PER_MS > SLOW_MS,
    }
}

impl Crowds {
    /// Bounds of [`Crowds::count`], from cardinalities alone: no bitmap of a tag is read. Other
    /// crowds that it names are loaded.
    ///
    /// # Errors
    /// As [`Crowds::count`].
    pub async fn estimate(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<Estimate> {
        let ready = self.ready(app, definitions, question).await?;
        blocking(move || Ok(estimate_of(&ready)?.0)).await
    }

    /// The same, and the exact count of the same snapshot, which is under way when this returns and
    /// goes on by itself.
    ///
    /// # Errors
    /// As [`Crowds::count`], now and later.
    pub async fn counting(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<(Estimate, impl Future<Output = Result<Count>> + Send + use<>)> {
        let ready = self.ready(app, definitions, question).await?;
        let (estimate, ready, query) = blocking::<_, crate::Error>(move || {
            let (estimate, query) = estimate_of(&ready)?;
            Ok((estimate, ready, query))
        })
        .await?;
        let started = tokio::task::spawn_blocking(move || match query {
            Some(query) => ready.count(&query),
            None => ready.count(&ready.query()?),
        });
        Ok((estimate, async move { started.await.map_err(taghouse_disk::TaskFailed::from)? }))
    }
}
