//! The table `identities` of the lake.

use crate::{Error, Mapping, Result};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::StreamExt;
use std::sync::Arc;
use taghouse_lake::{Lake, Table, layout, layout_schema};
use taghouse_model::{AppId, TimestampMs};

/// A link, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEvent {
    /// In the app's log.
    pub position: u64,
    /// The id.
    pub id: String,
    /// Name of its type.
    pub id_type: String,
    /// The user whose it becomes, or was.
    pub user: String,
    /// Whether it becomes the user's; else it is its own again.
    pub links: bool,
    /// When it was said.
    pub at_ms: TimestampMs,
    /// Of the call; empty: no call said it.
    pub message_id: String,
}

/// Rows of the table.
///
/// # Errors
/// None in practice: the columns are the layout's.
pub fn rows_of(events: &[LinkEvent]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&LinkEvent) -> Option<&str>| -> ArrayRef {
        Arc::new(events.iter().map(of).collect::<StringArray>())
    };
    let times = events.iter().map(|event| event.at_ms.saturating_mul(1000));
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00");
    let positions = events.iter().map(|e| i64::try_from(e.position).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![
        text(&|event| Some(&event.id)),
        text(&|event| Some(&event.id_type)),
        text(&|event| Some(&event.user)),
        text(&|event| Some(if event.links { layout::LINK } else { layout::UNLINK })),
        Arc::new(times),
        text(&|event| (!event.message_id.is_empty()).then_some(event.message_id.as_str())),
        Arc::new(Int64Array::from_iter_values(positions)),
    ];
    Ok(RecordBatch::try_new(layout_schema(&layout::identities())?, columns)?)
}

/// The links that have landed, and the ends of links, of which `keep` holds. In no order.
///
/// # Errors
/// Of the lake.
pub async fn events_of(
    lake: &Lake,
    app: &AppId,
    keep: &(dyn Fn(&LinkEvent) -> bool + Sync),
) -> Result<Vec<LinkEvent>> {
    let table = lake.table(app, layout::IDENTITIES).await?;
    read(table.as_ref(), keep).await
}

async fn read(
    table: Option<&Table>,
    keep: &(dyn Fn(&LinkEvent) -> bool + Sync),
) -> Result<Vec<LinkEvent>> {
    let mut events = Vec::new();
    let Some(table) = table else { return Ok(events) };
    let columns = ["id", "id_type", "user_id", "event", "message_id", "position", "time"];
    for mut batches in table.scan(&columns).plan(1).await?.partitions() {
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let of = |column| texts(&batch, layout::IDENTITIES, column);
            let (ids, types, users) = (of("id")?, of("id_type")?, of("user_id")?);
            let (acts, messages) = (of("event")?, of("message_id")?);
            let positions = numbers::<Int64Type>(&batch, "position")?;
            let times = numbers::<TimestampMicrosecondType>(&batch, "time")?;
            let event = |row: usize| LinkEvent {
                position: u64::try_from(positions.value(row)).unwrap_or_default(),
                id: ids.value(row).to_owned(),
                id_type: types.value(row).to_owned(),
                user: users.value(row).to_owned(),
                links: acts.value(row) == layout::LINK,
                at_ms: times.value(row).div_euclid(1000),
                message_id: messages.value(row).to_owned(),
            };
            events.extend((0..batch.num_rows()).map(event).filter(|event| keep(event)));
        }
    }
    Ok(events)
}

/// Whose ids are whose, by all links of the table `identities`; of none, each is its own.
///
/// # Errors
/// Of the lake.
pub async fn mapping_of(table: Option<&Table>) -> Result<Mapping> {
    let mut events = read(table, &|_| true).await?;
    // Links of one record lead to one user, so that their order makes no difference.
    events.sort_by(|a, b| (a.position, &a.id).cmp(&(b.position, &b.id)));
    let mut mapping = Mapping::default();
    for event in events {
        if event.links {
            mapping.link(&event.id, &event.id_type, &event.user);
        } else {
            mapping.unlink(&event.id);
        }
    }
    Ok(mapping)
}

fn numbers<'b, T: ArrowPrimitiveType>(
    batch: &'b RecordBatch,
    column: &'static str,
) -> Result<&'b PrimitiveArray<T>> {
    let array = batch.column_by_name(column).and_then(|column| column.as_primitive_opt::<T>());
    array.ok_or(Error::NoColumn { table: layout::IDENTITIES, column })
}

/// A text column of a batch.
pub(crate) fn texts<'b>(
    batch: &'b RecordBatch,
    table: &'static str,
    column: &'static str,
) -> Result<&'b StringArray> {
    let array = batch.column_by_name(column).and_then(|column| column.as_string_opt());
    array.ok_or(Error::NoColumn { table, column })
}
