//! One query's session: only the app's tables that it names, bounded memory, nothing that reads files.

use super::failure::failure;
use super::guard;
use super::provider::LakeTable;
use crate::lake::Lake;
use crate::layout::Partition;
use crate::read::BatchStream;
use crate::table::Table;
use crate::{Error, Result};
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use taghouse_model::{AppId, TimestampMs};

/// What all queries of one process may hold in memory; beyond that, sorts and groupings go to disk.
const MEMORY_BYTES: usize = 512 << 20;
/// What all queries may hold on disk.
const SPILL_BYTES: u64 = 16 << 30;
const PLANNING_STACK_BYTES: usize = 512 << 20;
const CATALOG: &str = "taghouse";

/// Memory and disk that the queries of one lake share.
#[derive(Default)]
pub(crate) struct SqlRuntime(OnceLock<Arc<RuntimeEnv>>);

impl SqlRuntime {
    fn get(&self) -> Result<Arc<RuntimeEnv>> {
        if let Some(made) = self.0.get() {
            return Ok(made.clone());
        }
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory).with_max_temp_directory_size(SPILL_BYTES);
        let builder = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES))).with_disk_manager_builder(disk);
        let made = builder.build_arc().map_err(|e| failure(&e))?;
        Ok(self.0.get_or_init(|| made).clone())
    }
}

impl Lake {
    /// Answers one read-only SELECT over the app's tables, by name (`events`, `tag_country`, or `shop.events` with the app's id). Gives the
    /// result's schema and batches; texts come as Utf8.
    ///
    /// For the tables named in `at` the query sees what was known at that instant: of a table that is cut by as-of times the rows of
    /// exactly that one, of others the rows with an earlier time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything but one SELECT, for unknown tables, columns and functions (named), and for a query that needs more than
    /// 512 MB of memory even with spilling; the stream may give it too, and [`Error::Corrupt`].
    pub async fn sql(&self, app: &AppId, query: &str, at: &[(&str, TimestampMs)]) -> Result<(SchemaRef, BatchStream)> {
        let (lake, app, query) = (self.clone(), app.clone(), query.to_owned());
        let at: Vec<(String, TimestampMs)> = at.iter().map(|(table, at)| ((*table).to_owned(), *at)).collect();
        let stream = on_deep_stack(move || async move { lake.start(&app, &query, &at).await }).await?;
        let from = stream.schema();
        let fields: Vec<Field> = from.fields().iter().map(|f| Field::new(f.name(), plain_type(f.data_type()), f.is_nullable())).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let to = schema.clone();
        let batches = stream.map(move |batch| plain(&to, &batch?)).map_err(|e: DataFusionError| failure(&e));
        Ok((schema, batches.boxed()))
    }

    /// Parses, plans and starts the query.
    async fn start(&self, app: &AppId, query: &str, at: &[(String, TimestampMs)]) -> Result<SendableRecordBatchStream> {
        let statement = guard::read_only(query)?;
        let context = self.session(app, &statement, at).await?;
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|e| failure(&e))?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        options.verify_plan(&plan).map_err(|e| failure(&e))?;
        guard::shallow(&plan)?;
        let frame = context.execute_logical_plan(plan).await.map_err(|e| failure(&e))?;
        frame.execute_stream().await.map_err(|e| failure(&e))
    }

    async fn session(&self, app: &AppId, statement: &Statement, at: &[(String, TimestampMs)]) -> Result<SessionContext> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, app.as_str())
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(cores);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.shared().sql.get()?)
            .with_default_features()
            // They make rows from nothing or from files.
            .with_table_functions(HashMap::new())
            .with_table_factories(HashMap::new())
            .build();
        let tables = self.named_tables(app, &state, statement).await?;
        let schema = MemorySchemaProvider::new();
        for table in tables {
            let as_of = at.iter().find(|(name, _)| name == table.name()).map(|(_, at)| *at);
            schema.register_table(table.name().to_owned(), provider(table, as_of)?).map_err(|e| failure(&e))?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(app.as_str(), Arc::new(schema)).map_err(|e| failure(&e))?;
        let context = SessionContext::new_with_state(state);
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(context)
    }

    /// Handles of the tables that the query reads.
    async fn named_tables(
        &self,
        app: &AppId,
        state: &datafusion::execution::session_state::SessionState,
        statement: &Statement,
    ) -> Result<Vec<Table>> {
        let mut named = BTreeSet::new();
        for reference in state.resolve_table_references(statement).map_err(|e| failure(&e))? {
            let own = reference.catalog().is_none_or(|c| c == CATALOG) && reference.schema().is_none_or(|s| s == app.as_str());
            if !own {
                return Err(Error::Invalid(format!(
                    "the query reads {reference}, which is not of app {app}: only the app's own tables can be read"
                )));
            }
            named.insert(reference.table().to_owned());
        }
        let mut tables = Vec::with_capacity(named.len());
        for name in named {
            match self.table(app, &name).await? {
                Some(table) => tables.push(table),
                None => {
                    let known = self.tables(app).await?.join(", ");
                    return Err(Error::Invalid(format!("app {app} has no table {name}: it has {known}")));
                }
            }
        }
        Ok(tables)
    }
}

/// Parsing and planning recurse as deep as the query nests, which its writer chooses: they get a stack that the longest query accepted
/// cannot fill. (Memory of a stack is only taken where it is touched.)
async fn on_deep_stack<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    F: Future<Output = Result<T>>,
    T: Send + 'static,
{
    let runtime = tokio::runtime::Handle::try_current().map_err(|e| Error::Internal(format!("a query outside a runtime: {e}")))?;
    let (give, take) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("taghouse-sql".to_owned()).stack_size(PLANNING_STACK_BYTES);
    let run = move || drop(give.send(runtime.block_on(work())));
    thread.spawn(run).map_err(|e| Error::Unavailable(format!("no thread for the query: {e}")))?;
    take.await.map_err(|_| Error::Internal("planning of the query broke off".to_owned()))?
}

/// The table, or a view of what was known of it.
fn provider(table: Table, as_of: Option<TimestampMs>) -> Result<Arc<dyn TableProvider>> {
    let Some(as_of) = as_of else { return Ok(Arc::new(LakeTable(table))) };
    let micros = as_of.checked_mul(1000).ok_or_else(|| Error::Invalid(format!("{as_of} ms is no as-of time")))?;
    let instant = lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())));
    let condition = match table.partition() {
        Partition::Identity(column) => col(column).eq(instant),
        Partition::Day(column) => col(column).lt(instant),
        Partition::None if table.arrow_schema().field_with_name("time").is_ok() => col("time").lt(instant),
        Partition::None => return Err(Error::Invalid(format!("table {} has no time to see it as of", table.name()))),
    };
    let name = table.name().to_owned();
    let source = provider_as_source(Arc::new(LakeTable(table)));
    let plan = LogicalPlanBuilder::scan(name, source, None).and_then(|b| b.filter(condition)).and_then(LogicalPlanBuilder::build);
    Ok(Arc::new(ViewTable::new(plan.map_err(|e| failure(&e))?, None)))
}

/// Callers know one type of text.
fn plain_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

fn plain(schema: &SchemaRef, batch: &RecordBatch) -> std::result::Result<RecordBatch, DataFusionError> {
    let of = |(array, field): (&ArrayRef, &Arc<Field>)| match array.data_type() == field.data_type() {
        true => Ok(array.clone()),
        false => cast(array, field.data_type()),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(of).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
