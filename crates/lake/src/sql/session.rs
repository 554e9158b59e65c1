//! One query's session: only the app's tables that it names, bounded memory, nothing that reads
//! files.

use super::as_of::ALL;
use super::bounded::{BATCH_ROWS, Room};
use super::extent;
use super::failure::failure;
use super::functions::Functions;
use super::provider::LakeTable;
use super::watch::{Watch, watched};
use super::{guard, words};
use crate::lake::Lake;
use crate::layout::{self, Partition};
use crate::table::Table;
use crate::{Error, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::execution::TaskContext;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use taghouse_model::{AppId, TimestampMs, give_way};
use tokio::runtime::Handle;

const PLANNING_STACK_BYTES: usize = 512 << 20;
const CATALOG: &str = "taghouse";
/// The tables that can be asked for with rows of any time.
const ALL_ROWS: [&str; 2] = [layout::EVENTS, layout::ATTRIBUTES];

/// A query that is ready to run.
pub(super) struct Planned {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) watch: Arc<Watch>,
    pub(super) context: Arc<TaskContext>,
}

impl Lake {
    /// Parses and plans a query. Nothing of it runs but what its constants come to.
    pub(super) async fn planned(
        &self,
        app: &AppId,
        query: &str,
        at: &[(&str, TimestampMs)],
        users: Option<RecordBatch>,
    ) -> Result<Planned> {
        let (lake, app, query) = (self.clone(), app.clone(), query.to_owned());
        let at: Vec<(String, TimestampMs)> =
            at.iter().map(|(table, at)| ((*table).to_owned(), *at)).collect();
        on_deep_stack(self.warehouse().sql.threads()?, move || async move {
            lake.prepare(&app, &query, &at, users).await
        })
        .await
    }

    async fn prepare(
        &self,
        app: &AppId,
        query: &str,
        at: &[(String, TimestampMs)],
        users: Option<RecordBatch>,
    ) -> Result<Planned> {
        let statement = guard::read_only(query)?;
        let room = Arc::new(Room::default());
        let functions = Functions::new(&room);
        words::check(&statement, &functions)?;
        let context = self.session(app, &statement, at, users, &functions).await?;
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|e| failure(&e))?;
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        options.verify_plan(&plan).map_err(|e| failure(&e))?;
        extent::check(&plan)?;
        guard::shallow(&plan)?;
        let analyzed = state
            .analyzer()
            .execute_and_check(plan, state.config_options(), |_, _| {})
            .map_err(|e| failure(&e))?;
        let bounded = extent::bounded(analyzed, &functions)?;
        room.share(extent::growing_calls(&bounded)?);
        let optimized =
            state.optimizer().optimize(bounded, &state, |_, _| {}).map_err(|e| failure(&e))?;
        extent::check(&optimized)?;
        room.share(extent::growing_calls(&optimized)?);
        let plan = state
            .query_planner()
            .create_physical_plan(&optimized, &state)
            .await
            .map_err(|e| failure(&e))?;
        let watch = Arc::new(Watch::default());
        let plan = watched(&plan, &watch).map_err(|e| failure(&e))?;
        Ok(Planned { plan, watch, context: state.task_ctx() })
    }

    async fn session(
        &self,
        app: &AppId,
        statement: &Statement,
        at: &[(String, TimestampMs)],
        users: Option<RecordBatch>,
        functions: &Functions,
    ) -> Result<SessionContext> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, app.as_str())
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_batch_size(BATCH_ROWS)
            .with_target_partitions(cores);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        config.options_mut().execution.enable_recursive_ctes = false;
        // The lake's scans take no filters of joins that are made while they run, and a join that
        // is put under watch begins without one.
        config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
        config.options_mut().optimizer.enable_join_dynamic_filter_pushdown = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.warehouse().sql.environment()?)
            .with_default_features()
            .with_scalar_functions(functions.scalar.clone())
            .with_aggregate_functions(functions.aggregate.clone())
            .with_window_functions(functions.window.clone())
            // They make rows from nothing or from files.
            .with_table_functions(HashMap::new())
            .with_table_factories(HashMap::new())
            .build();
        let tables = self.named_tables(app, &state, statement).await?;
        let schema = MemorySchemaProvider::new();
        for (name, table) in tables {
            let as_of = at.iter().find(|(seen, _)| *seen == name).map(|(_, at)| *at);
            let (deleted, users) = if ALL_ROWS.contains(&table.name()) {
                (self.table(app, layout::USER_CHANGES).await?, users.clone())
            } else {
                (None, None)
            };
            schema
                .register_table(name, provider(table, as_of, deleted, users)?)
                .map_err(|e| failure(&e))?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(app.as_str(), Arc::new(schema)).map_err(|e| failure(&e))?;
        let context = SessionContext::new_with_state(state);
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(context)
    }

    /// Handles of the tables that the query reads, by the names that it has for them.
    async fn named_tables(
        &self,
        app: &AppId,
        state: &SessionState,
        statement: &Statement,
    ) -> Result<Vec<(String, Table)>> {
        let mut named = BTreeSet::new();
        for reference in state.resolve_table_references(statement).map_err(|e| failure(&e))? {
            let own = reference.catalog().is_none_or(|c| c == CATALOG)
                && reference.schema().is_none_or(|s| s == app.as_str());
            if !own {
                return Err(Error::Invalid(format!(
                    "the query reads {reference}, which is not of app {app}: only the app's own tables can be read"
                )));
            }
            named.insert(reference.table().to_owned());
        }
        let mut tables = Vec::with_capacity(named.len());
        for name in named {
            let table = match (self.table(app, &name).await?, name.strip_prefix(ALL)) {
                (None, Some(all)) if ALL_ROWS.contains(&all) => self.table(app, all).await?,
                (table, _) => table,
            };
            match table {
                Some(table) => tables.push((name, table)),
                None => {
                    let known = self.tables(app).await?.join(", ");
                    return Err(Error::Invalid(format!(
                        "app {app} has no table {name}: it has {known}"
                    )));
                }
            }
        }
        Ok(tables)
    }
}

/// Parsing and planning recurse as deep as the query nests, which its writer chooses: they get a
/// stack that the longest query accepted cannot fill. (Memory of a stack is only taken where it is
/// touched.)
async fn on_deep_stack<T, F>(
    runtime: Handle,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
    T: Send + 'static,
{
    let (give, take) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("taghouse-sql".to_owned())
        .stack_size(PLANNING_STACK_BYTES);
    let run = move || {
        give_way();
        drop(give.send(runtime.block_on(work())));
    };
    thread.spawn(run).map_err(|e| Error::Unavailable(format!("no thread for the query: {e}")))?;
    take.await
        .map_err(|_| Error::Internal("internal error: planning of the query failed".to_owned()))?
}

/// The table, or a view of what was known of it. Of the users who went, as `changes` has them, it
/// has what is newer only; the ids of `users` are their users'.
fn provider(
    table: Table,
    as_of: Option<TimestampMs>,
    changes: Option<Table>,
    users: Option<RecordBatch>,
) -> Result<Arc<dyn TableProvider>> {
    if as_of.is_none() && changes.is_none() && users.is_none() {
        return Ok(Arc::new(LakeTable(table)));
    }
    let condition = as_of.map(|as_of| before(&table, as_of)).transpose()?;
    let name = table.name().to_owned();
    let schema = table.arrow_schema().clone();
    let plan =
        LogicalPlanBuilder::scan(&name, provider_as_source(Arc::new(LakeTable(table))), None);
    let plan = plan
        .and_then(|plan| condition.map_or(Ok(plan.clone()), |condition| plan.filter(condition)));
    let plan = plan.and_then(|plan| match changes {
        Some(changes) => without_deleted(plan, &name, changes),
        None => Ok(plan),
    });
    let plan = plan.and_then(|plan| match users {
        Some(users) => by_user(plan, &name, &schema, users),
        None => Ok(plan),
    });
    let plan = plan.and_then(LogicalPlanBuilder::build);
    Ok(Arc::new(ViewTable::new(plan.map_err(|e| failure(&e))?, None)))
}

/// The rows that are newer than the deletion of their user, and came after it.
fn without_deleted(
    rows: LogicalPlanBuilder,
    name: &str,
    changes: Table,
) -> datafusion::error::Result<LogicalPlanBuilder> {
    let of = |column: &str| col(Column::new(Some(name), column));
    let deleted = LogicalPlanBuilder::scan(
        layout::USER_CHANGES,
        provider_as_source(Arc::new(LakeTable(changes))),
        None,
    )?
    .filter(col("tag").is_null())?
    .project(vec![col("user_id").alias("gone_user"), col("time").alias("gone_at")])?;
    let older = of("time").lt_eq(col("gone_at")).or(of("received_at").lt_eq(col("gone_at")));
    deleted.join_on(rows.build()?, JoinType::RightAnti, [col("gone_user").eq(of("user_id")), older])
}

/// The rows with each id's user in its place.
fn by_user(
    rows: LogicalPlanBuilder,
    name: &str,
    schema: &SchemaRef,
    users: RecordBatch,
) -> datafusion::error::Result<LogicalPlanBuilder> {
    let of = |column: &str| col(Column::new(Some(name), column));
    let users = MemTable::try_new(users.schema(), vec![vec![users]])?;
    let users = LogicalPlanBuilder::scan("linked_ids", provider_as_source(Arc::new(users)), None)?
        .build()?;
    let user = coalesce(vec![col("linked_user"), of("user_id")]).alias("user_id");
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "user_id" => user.clone(),
        other => of(other),
    });
    rows.join_on(users, JoinType::Left, [of("user_id").eq(col("linked_id"))])?
        .project(columns.collect::<Vec<_>>())
}

/// The condition on rows that were known at an instant.
fn before(table: &Table, as_of: TimestampMs) -> Result<Expr> {
    let micros = as_of
        .checked_mul(1000)
        .ok_or_else(|| Error::Invalid(format!("{as_of} ms is not a valid as-of time")))?;
    let instant = lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())));
    match table.partition() {
        Partition::Identity(column) => Ok(col(column).eq(instant)),
        Partition::Day(column) => Ok(col(column).lt(instant)),
        Partition::None if table.arrow_schema().field_with_name("time").is_ok() => {
            Ok(col("time").lt(instant))
        }
        Partition::None => {
            Err(Error::Invalid(format!("table {} has no time to see it as of", table.name())))
        }
    }
}
