//! Message ids that landed, read from the lake where the memory of them is missing.

use crate::Result;
use crate::ids::{MessageIds, message_hash};
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_lake::{Comparison, Lake, layout};
use taghouse_model::{AppId, TimestampMs, Value};
use taghouse_rules::Definitions;

/// How far back is read, by the times at which calls came in: a day, and an hour for what waited in
/// the log.
const READ_MS: i64 = 25 * 3_600_000;

/// Remembers the ids of all live messages that landed and came in a day (and some) before
/// `first_ms` or later. Those of rejected messages are not in the lake: they can be rejected once
/// more.
pub(crate) async fn remember_landed(
    ids: &Arc<MessageIds>,
    lake: &Lake,
    app: &AppId,
    definitions: &Definitions,
    first_ms: TimestampMs,
) -> Result<()> {
    let file_sources: HashSet<&str> = definitions
        .sources
        .values()
        .filter(|source| !source.format.is_live())
        .map(|source| source.name.as_str())
        .collect();
    let from_ms = first_ms - READ_MS;
    for name in [layout::EVENTS, layout::ATTRIBUTES] {
        let Some(table) = lake.table(app, name).await? else { continue };
        let scan = table.scan(&["message_id", "received_at", "source"]);
        let scan = scan.compare("received_at", Comparison::GreaterOrEqual, Value::Time(from_ms))?;
        for mut batches in scan.plan(1).await?.partitions() {
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let (texts, sources) =
                    (batch.column(0).as_string::<i32>(), batch.column(2).as_string::<i32>());
                let received = batch.column(1).as_primitive::<TimestampMicrosecondType>();
                let wanted = |row: &usize| {
                    received.value(*row).div_euclid(1000) >= from_ms
                        && !file_sources.contains(sources.value(*row))
                };
                let found: Vec<u128> = (0..batch.num_rows())
                    .filter(wanted)
                    .map(|row| message_hash(texts.value(row)))
                    .collect();
                let (ids, app) = (Arc::clone(ids), app.clone());
                blocking(move || ids.restore(&app, found.into_iter())).await?;
            }
        }
    }
    Ok(())
}
