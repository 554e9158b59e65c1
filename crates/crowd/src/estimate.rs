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

/// The assumed speed of a count. It is low on purpose: announcing a fast count as slow does less
/// harm than the reverse. Cold data may be slower still.
const READ_BYTES_PER_MS: u64 = 2 << 20;

/// Bounds of a count, known before anything is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Lower bound of the users who match.
    pub at_least: u64,
    /// Upper bound of the users who match.
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

/// About how many users per millisecond a condition on computed values is evaluated for.
const COMPUTED_PER_MS: u64 = 1000;

/// An estimate, and the query of the exact count if that is compiled already.
struct Estimated {
    estimate: Estimate,
    /// `None`: the question has conditions on computed values.
    query: Option<Query>,
}

fn estimate_of(ready: &Ready) -> Result<Estimated> {
    if !ready.expression.is_computed() {
        let query = ready.query()?;
        let estimate = estimate(ready, query.bounds(), query.reads_bytes(), 0);
        return Ok(Estimated { estimate, query: Some(query) });
    }
    let [lower, upper] = [false, true].map(|greatest| {
        bounding_query(&ready.snapshot, &ready.expression, &ready.others, greatest)
    });
    let (lower, upper) = (lower?, upper?);
    let (at_least, at_most) = (lower.bounds().0, upper.bounds().1);
    let estimate = estimate(ready, (at_least, at_most), upper.reads_bytes(), at_most);
    Ok(Estimated { estimate, query: None })
}

/// `computed`: for at most this many users, a value is computed.
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
        blocking(move || Ok(estimate_of(&ready)?.estimate)).await
    }

    /// The same, and the exact count of the same snapshot. Counting has started when this returns,
    /// and continues by itself.
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
            let Estimated { estimate, query } = estimate_of(&ready)?;
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
