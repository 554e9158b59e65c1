use crate::FoldPlan;
use crate::column::Rows;
use crate::partial::Stamp;
use crate::{Error, Result};
use arrow::array::{Array, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use taghouse_model::TimestampMs;

/// A batch of events with the columns that a plan asks for.
pub struct EventBatch<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) events: &'a StringArray,
    pub(crate) stamps: Stamps<'a>,
    pub(crate) len: usize,
}

/// Times and message ids.
pub(crate) struct Stamps<'a> {
    times: &'a TimestampMicrosecondArray,
    message_ids: Option<&'a StringArray>,
}

impl Stamps<'_> {
    pub(crate) fn time_ms(&self, row: u32) -> TimestampMs {
        self.times.value(row as usize).div_euclid(1000)
    }

    pub(crate) fn stamp(&self, row: u32) -> Stamp<'_> {
        Stamp {
            time_ms: self.time_ms(row),
            message_id: self.message_ids.map_or("", |ids| ids.value(row as usize)),
        }
    }
}

impl<'a> EventBatch<'a> {
    /// Binds a batch. A property's column that it lacks has no values.
    ///
    /// # Errors
    /// [`Error::Missing`] without `event`, `time` or (where order matters) `message_id`;
    /// [`Error::Column`] for another type than defined.
    pub fn new(plan: &'a FoldPlan, batch: &'a RecordBatch) -> Result<Self> {
        let events = text(batch, "event")?;
        let message_ids = if plan.is_ordered() { Some(text(batch, "message_id")?) } else { None };
        let stamps = Stamps { times: time(batch)?, message_ids };
        let rows = Rows::bind(&plan.columns, &|name| {
            batch.column_by_name(name).map(|array| array as &dyn Array)
        })?;
        Ok(Self { rows, events, stamps, len: batch.num_rows() })
    }
}

pub(crate) fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    batch
        .column_by_name(name)
        .and_then(|c| c.as_string_opt())
        .ok_or_else(|| Error::Missing(name.to_owned()))
}

pub(crate) fn time(batch: &RecordBatch) -> Result<&TimestampMicrosecondArray> {
    let column =
        batch.column_by_name("time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    column.ok_or_else(|| Error::Missing("time".to_owned()))
}

pub(crate) fn stamps<'a>(
    times: &'a TimestampMicrosecondArray,
    message_ids: &'a StringArray,
) -> Stamps<'a> {
    Stamps { times, message_ids: Some(message_ids) }
}
