//! Queries that run: on threads of their own that give way to all others, so many at a time, each
//! for so long and within so much memory.

use super::failure::failure;
use super::limits::SqlLimits;
use super::session::Planned;
use super::watch::Watch;
use crate::lake::Lake;
use crate::read::BatchStream;
use crate::{Error, Result};
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::DataFusionError;
use futures::{FutureExt, Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use taghouse_model::{AppId, TimestampMs};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};

/// Batches that wait for the reader.
const WAITING: usize = 2;

impl Lake {
    /// Answers one read-only SELECT over the app's tables, by name (`events`, `tag_country`, or
    /// `shop.events` with the app's id). Gives the result's schema and batches; texts come as
    /// Utf8. Dropping the stream ends the query.
    ///
    /// For the tables named in `at` the query sees what was known at that instant: of a table that
    /// is cut by as-of times the rows of exactly that one, of others the rows with an earlier
    /// time. `all_events` and `all_attributes` are the same tables with all rows.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything but one SELECT, for unknown tables, columns and functions
    /// (named), and for a query that needs more than [`SqlLimits`] allow even with spilling;
    /// the stream may give it too, and [`Error::Corrupt`]. [`Error::Unavailable`] when other
    /// queries took all turns for as long as a query may take.
    pub async fn sql(
        &self,
        app: &AppId,
        query: &str,
        at: &[(&str, TimestampMs)],
    ) -> Result<(SchemaRef, BatchStream)> {
        self.sql_by_user(app, query, at, None).await
    }

    /// As [`Lake::sql`]; in `events` and `attributes` the ids of `users` are replaced by those of
    /// their users. `users` are two columns of text: `linked_id`, each once, and `linked_user`.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn sql_by_user(
        &self,
        app: &AppId,
        query: &str,
        at: &[(&str, TimestampMs)],
        users: Option<RecordBatch>,
    ) -> Result<(SchemaRef, BatchStream)> {
        let sql = &self.warehouse().sql;
        let limits = sql.limits();
        let turn = timeout(limits.deadline, sql.shared()?.running.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Error::Unavailable(format!(
                "{} other queries run and have not ended in {:?}: try again",
                limits.at_once, limits.deadline
            )));
        };
        let planned = self.plan(app, query, at, users).await?;
        let schema = plain_schema(&planned.plan.schema());
        Ok((schema.clone(), Answer::begin(planned, schema, turn, limits, &sql.threads()?).boxed()))
    }

    /// The schema of what [`Lake::sql`] would answer. The query is checked and planned, and no row
    /// of it is asked for.
    ///
    /// # Errors
    /// As [`Lake::sql`].
    pub async fn sql_schema(&self, app: &AppId, query: &str) -> Result<SchemaRef> {
        Ok(plain_schema(&self.plan(app, query, &[], None).await?.plan.schema()))
    }

    async fn plan(
        &self,
        app: &AppId,
        query: &str,
        at: &[(&str, TimestampMs)],
        users: Option<RecordBatch>,
    ) -> Result<Planned> {
        let shared = self.warehouse().sql.shared()?;
        let ended = |_| Error::Unavailable("queries have ended with the process".to_owned());
        let _turn = shared.planning.acquire().await.map_err(ended)?;
        self.planned(app, query, at, users).await
    }
}

/// The batches of a query that runs on other threads.
struct Answer {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    /// `None`: it has ended.
    query: Option<JoinHandle<()>>,
    watch: Arc<Watch>,
    deadline: Pin<Box<Sleep>>,
    limits: SqlLimits,
}

impl Answer {
    fn begin(
        planned: Planned,
        schema: SchemaRef,
        turn: OwnedSemaphorePermit,
        limits: SqlLimits,
        threads: &Handle,
    ) -> Self {
        let (send, batches) = mpsc::channel(WAITING);
        let Planned { plan, watch, context } = planned;
        let query = threads.spawn(async move {
            // Until it has truly ended: what runs on holds memory and threads.
            let _turn = turn;
            let mut stream = match datafusion::physical_plan::execute_stream(plan, context) {
                Ok(stream) => stream,
                Err(error) => return drop(send.send(Err(failure(&error))).await),
            };
            while let Some(batch) = stream.next().await {
                let batch = batch.and_then(|batch| plain(&schema, &batch)).map_err(|e| failure(&e));
                let over = batch.is_err();
                if send.send(batch).await.is_err() || over {
                    return;
                }
            }
        });
        Self {
            batches,
            query: Some(query),
            watch,
            deadline: Box::pin(sleep(limits.deadline)),
            limits,
        }
    }

    fn end(&mut self) {
        self.watch.end();
        if let Some(query) = self.query.take() {
            query.abort();
        }
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { batches, query, deadline, limits, .. } = &mut *self;
        let Some(running) = query else { return Poll::Ready(None) };
        match batches.poll_recv(context) {
            Poll::Ready(Some(batch)) => Poll::Ready(Some(batch)),
            // Its end says whether it broke off.
            Poll::Ready(None) => running.poll_unpin(context).map(|ended| {
                *query = None;
                ended.err().map(|error| {
                    Err(Error::Internal(format!("internal error: the query failed: {error}")))
                })
            }),
            Poll::Pending if deadline.poll_unpin(context).is_ready() => {
                let allowed = limits.deadline;
                self.end();
                Poll::Ready(Some(Err(Error::Invalid(format!(
                    "the query took longer than the {allowed:?} that a query may: join on equal columns, filter by time, or aggregate first"
                )))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Callers know one type of text.
fn plain_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

fn plain_schema(from: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = from
        .fields()
        .iter()
        .map(|f| Field::new(f.name(), plain_type(f.data_type()), f.is_nullable()))
        .collect();
    Arc::new(Schema::new(fields))
}

fn plain(
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> std::result::Result<RecordBatch, DataFusionError> {
    let of = |(array, field): (&ArrayRef, &Arc<Field>)| match array.data_type() == field.data_type()
    {
        true => Ok(array.clone()),
        false => cast(array, field.data_type()),
    };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(of)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
