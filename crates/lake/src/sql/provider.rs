//! A table of the lake as DataFusion sees it: one partition a core, only the columns and files that
//! the query needs.

use super::filter::condition;
use crate::plan::{self, Scan};
use crate::table::Table;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::TryStreamExt;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// One table, as of the handle.
pub(super) struct LakeTable(pub(super) Table);

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeTable({})", self.0.metadata_location())
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.0.arrow_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let schema = self.0.metadata().current_schema();
        let of = |filter: &&Expr| match condition(filter, schema) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let columns: Vec<String> = wanted.iter().map(|&i| schema.field(i).name().clone()).collect();
        let conditions: Vec<_> = filters
            .iter()
            .filter_map(|f| condition(f, self.0.metadata().current_schema()))
            .collect();
        let partitions = state.config().target_partitions();
        let planned = plan::plan(&self.0, &conditions, None).await;
        let scan = planned.and_then(|planned| planned.scan(&self.0, &columns, partitions));
        Ok(Arc::new(LakeScan::new(
            self.0.name(),
            scan.map_err(|e| DataFusionError::External(Box::new(e)))?,
        )))
    }
}

/// The leaf of a physical plan.
struct LakeScan {
    table: String,
    scan: Scan,
    properties: Arc<PlanProperties>,
}

impl LakeScan {
    fn new(table: &str, scan: Scan) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(scan.schema().clone()),
            Partitioning::UnknownPartitioning(scan.partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { table: table.to_owned(), scan, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for LakeScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LakeScan: table={}, files={}, partitions={}",
            self.table,
            self.scan.files(),
            self.scan.partition_count()
        )
    }
}

impl DisplayAs for LakeScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl ExecutionPlan for LakeScan {
    fn name(&self) -> &str {
        "LakeScan"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches =
            self.scan.stream(partition).map_err(|e| DataFusionError::External(Box::new(e)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.scan.schema().clone(), batches)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Statistics> {
        let rows = usize::try_from(self.scan.rows()).unwrap_or(usize::MAX);
        let num_rows = match partition {
            // Exact, so that count(*) reads nothing.
            None if self.scan.is_whole() => Precision::Exact(rows),
            None => Precision::Inexact(rows),
            Some(_) => Precision::Inexact(rows / self.scan.partition_count()),
        };
        let columns = vec![ColumnStatistics::new_unknown(); self.scan.schema().fields().len()];
        Ok(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics: columns })
    }
}
