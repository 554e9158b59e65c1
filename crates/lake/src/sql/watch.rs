//! A plan under watch: no batch is wider, no join, list or window holds more than it may, and every
//! step ends soon after the query shall end.

use super::bounded::BATCH_ROWS;
use super::width::{batch_bytes, list_items, widest_row};
use crate::Error;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{JoinType, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A batch of more bytes is not passed on.
const MAX_BATCH_BYTES: usize = 256 << 20;
/// A row that a join or a list repeats in all rows of a batch may make no more of it.
const MAX_REPEATED_BYTES: usize = 64 << 20;

fn invalid(message: String) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Invalid(message)))
}

/// Whether a query goes on.
#[derive(Debug, Default)]
pub(super) struct Watch(AtomicBool);

impl Watch {
    /// Ends the query.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            Err(invalid("the query was ended".to_owned()))
        } else {
            Ok(())
        }
    }
}

/// The plan with every step of it under watch.
///
/// # Errors
/// DataFusion's; a defect.
pub(super) fn watched(
    plan: &Arc<dyn ExecutionPlan>,
    watch: &Arc<Watch>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let joins = plan.as_any().is::<CrossJoinExec>()
        || plan.as_any().is::<HashJoinExec>()
        || plan.as_any().is::<NestedLoopJoinExec>();
    let window = plan.as_any().is::<WindowAggExec>() || plan.as_any().is::<BoundedWindowAggExec>();
    let held = Arc::new(
        (0..plan.properties().output_partitioning().partition_count())
            .map(|_| Rows::default())
            .collect::<Vec<_>>(),
    );
    let input = |child: &Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
        let child = watched(child, watch)?;
        let place = match () {
            () if joins => WatchPoint::BeforeJoin,
            () if plan.as_any().is::<UnnestExec>() => WatchPoint::BeforeLists,
            () if window => WatchPoint::BeforeWindow(held.clone()),
            () => return Ok(child),
        };
        Ok(Arc::new(Watched { input: child, watch: watch.clone(), place }))
    };
    let children = plan.children().into_iter().map(input).collect::<Result<Vec<_>>>()?;
    let plan = if children.is_empty() {
        plan.clone()
    } else {
        plan.clone().with_new_children(children)?
    };
    let plan = heeding(plan, watch)?;
    let place = if window { WatchPoint::BehindWindow(held) } else { WatchPoint::Anywhere };
    Ok(Arc::new(Watched { input: plan, watch: watch.clone(), place }))
}

/// A join whose condition ends with the query: one that holds for no pair keeps the join busy
/// without a batch.
fn heeding(plan: Arc<dyn ExecutionPlan>, watch: &Arc<Watch>) -> Result<Arc<dyn ExecutionPlan>> {
    let heeding = |filter: &JoinFilter| {
        let expression =
            Arc::new(Heeding { inner: filter.expression().clone(), watch: watch.clone() });
        JoinFilter::new(expression, filter.column_indices().to_vec(), filter.schema().clone())
    };
    if let Some(join) = plan.as_any().downcast_ref::<NestedLoopJoinExec>() {
        let filter = match (join.filter(), join.join_type()) {
            (Some(filter), _) => heeding(filter),
            (None, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) => {
                return Ok(plan);
            }
            (None, _) => {
                heeding(&JoinFilter::new(lit(true), Vec::new(), Arc::new(Schema::empty())))
            }
        };
        let projection = join.projection().as_ref().map(|columns| columns.to_vec());
        let (left, right) = (join.left().clone(), join.right().clone());
        return Ok(Arc::new(NestedLoopJoinExec::try_new(
            left,
            right,
            Some(filter),
            join.join_type(),
            projection,
        )?));
    }
    match plan.as_any().downcast_ref::<HashJoinExec>() {
        Some(join) => match join.filter() {
            Some(filter) => join.builder().with_filter(Some(heeding(filter))).build_exec(),
            None => Ok(plan),
        },
        None => Ok(plan),
    }
}

/// An expression that fails once the query shall end.
#[derive(Debug)]
struct Heeding {
    inner: Arc<dyn PhysicalExpr>,
    watch: Arc<Watch>,
}

impl PartialEq for Heeding {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Heeding {}

impl Hash for Heeding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Heeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PhysicalExpr for Heeding {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.watch.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Self { inner, watch: self.watch.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Rows that went into a window, and those that came out.
#[derive(Debug, Default)]
struct Rows {
    taken: AtomicUsize,
    given: AtomicUsize,
}

/// What is looked for in batches.
#[derive(Debug)]
enum WatchPoint {
    Anywhere,
    /// Each row may be repeated for all rows of the other side.
    BeforeJoin,
    /// Each row is repeated for all items of its lists.
    BeforeLists,
    /// Windows keep rows without counting them.
    BeforeWindow(Arc<Vec<Rows>>),
    BehindWindow(Arc<Vec<Rows>>),
}

/// A step of the plan and a look at each batch that it gives.
#[derive(Debug)]
struct Watched {
    input: Arc<dyn ExecutionPlan>,
    watch: Arc<Watch>,
    place: WatchPoint,
}

impl DisplayAs for Watched {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl ExecutionPlan for Watched {
    fn name(&self) -> &'static str {
        "Watched"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // It is put in when the plan is finished.
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new(format!("rows of a window[{partition}]"))
            .register(context.memory_pool());
        let look: Look = match &self.place {
            WatchPoint::Anywhere => Look::Anywhere,
            WatchPoint::BeforeJoin => Look::BeforeJoin,
            WatchPoint::BeforeLists => Look::BeforeLists,
            WatchPoint::BeforeWindow(rows) => {
                Look::BeforeWindow { rows: rows.clone(), partition, reservation, row_bytes: 0 }
            }
            WatchPoint::BehindWindow(rows) => Look::BehindWindow { rows: rows.clone(), partition },
        };
        let (watch, mut look) = (self.watch.clone(), look);
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            watch.check()?;
            let batch = batch?;
            look.at(&batch)?;
            Ok(batch)
        });
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches))))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Statistics> {
        self.input.partition_statistics(partition)
    }
}

/// [`WatchPoint`], of one partition.
enum Look {
    Anywhere,
    BeforeJoin,
    BeforeLists,
    BeforeWindow {
        rows: Arc<Vec<Rows>>,
        partition: usize,
        reservation: MemoryReservation,
        row_bytes: usize,
    },
    BehindWindow {
        rows: Arc<Vec<Rows>>,
        partition: usize,
    },
}

impl Look {
    fn at(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Anywhere => {
                within(batch_bytes(batch), MAX_BATCH_BYTES, "rows of a step of the query")
            }
            Self::BeforeJoin => within(
                widest_row(batch).saturating_mul(BATCH_ROWS),
                MAX_REPEATED_BYTES,
                "joined rows",
            ),
            Self::BeforeLists => within(
                widest_row(batch).saturating_mul(list_items(batch)),
                MAX_REPEATED_BYTES,
                "rows of the items of lists",
            ),
            Self::BeforeWindow { rows, partition, reservation, row_bytes } => {
                let Some(rows) = rows.get(*partition) else { return Ok(()) };
                *row_bytes = (batch_bytes(batch) / batch.num_rows().max(1)).max(*row_bytes);
                let taken =
                    rows.taken.fetch_add(batch.num_rows(), Ordering::Relaxed) + batch.num_rows();
                let held = taken.saturating_sub(rows.given.load(Ordering::Relaxed));
                reservation.try_resize(held.saturating_mul(*row_bytes))
            }
            Self::BehindWindow { rows, partition } => {
                if let Some(rows) = rows.get(*partition) {
                    rows.given.fetch_add(batch.num_rows(), Ordering::Relaxed);
                }
                within(batch_bytes(batch), MAX_BATCH_BYTES, "rows of a step of the query")
            }
        }
    }
}

fn within(bytes: usize, limit: usize, of: &str) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(invalid(format!(
        "{of} would take {bytes} bytes at a time, more than {limit}: select fewer columns, shorter texts or smaller lists"
    )))
}
