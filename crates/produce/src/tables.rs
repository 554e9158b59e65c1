//! The tables of a production: all tags' rows of one as-of time, written at once and committed
//! together.

use crate::Result;
use arrow::array::RecordBatch;
use futures::future::join_all;
use taghouse_fold::Calendar;
use taghouse_lake::{DataFile, Lake, Table, TableLayout};
use taghouse_model::{AppId, TimestampMs, Value};

/// A table and the rows of one as-of time.
pub(crate) struct TableRows {
    pub(crate) table: TableLayout,
    pub(crate) rows: RecordBatch,
}

/// What is written of one table: its files, and the as-of times that they take the place of.
struct Written {
    files: Vec<DataFile>,
    replaced: Vec<Value>,
}

/// Overwrites each table's as-of day: its rows of any as-of time within the local day of `as_of_ms`
/// give way to these.
///
/// # Errors
/// The lake's; the rows are unchanged then.
pub(crate) async fn write(
    lake: &Lake,
    app: &AppId,
    tables: Vec<TableRows>,
    calendar: &Calendar,
    as_of_ms: TimestampMs,
) -> Result<()> {
    let (layouts, rows): (Vec<TableLayout>, Vec<RecordBatch>) =
        tables.into_iter().map(|TableRows { table, rows }| (table, rows)).unzip();
    let tables = lake.ensure_derived(app, &layouts).await?;
    let writes = tables.iter().zip(rows).map(|(table, rows)| async move {
        let replaced = same_day(table, calendar, as_of_ms).await?;
        let mut writer = table.writer();
        writer.write(rows).await?;
        Ok(Written { files: writer.close().await?, replaced })
    });
    let outcomes: Vec<Result<Written>> = join_all(writes).await;
    if outcomes.iter().any(Result::is_err) {
        let (written, failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        lake.discard(written.into_iter().flatten().flat_map(|written| written.files).collect())
            .await;
        return failed.into_iter().find_map(Result::err).map_or(Ok(()), Err);
    }
    let mut commit = lake.begin(app);
    for (table, written) in tables.iter().zip(outcomes.into_iter().flatten()) {
        for value in &written.replaced {
            commit.overwrite(table, value, Vec::new())?;
        }
        commit.overwrite(table, &Value::Time(as_of_ms), written.files)?;
    }
    commit.commit().await?;
    Ok(())
}

/// The other as-of times of the local day.
async fn same_day(table: &Table, calendar: &Calendar, as_of_ms: TimestampMs) -> Result<Vec<Value>> {
    let day = calendar.day(as_of_ms);
    let values = table.partition_values().await?.into_iter().map(|(value, _)| value);
    Ok(values
        .filter(
            |value| matches!(value, Value::Time(ms) if *ms != as_of_ms && calendar.day(*ms) == day),
        )
        .collect())
}
