//! Rows of the membership history, as batches of its table.

use crate::{Error, Result};
use arrow::array::{
    ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use std::sync::Arc;
use taghouse_lake::{layout, layout_schema};
use taghouse_model::{Name, TimestampMs};

/// A row.
pub(crate) struct Happened<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) crowd: Option<&'a Name>,
    pub(crate) version: Option<u64>,
    pub(crate) event: &'static str,
    pub(crate) time_ms: TimestampMs,
    pub(crate) feed_id: Option<u64>,
}

/// Rows in memory, column by column.
#[derive(Default)]
pub(crate) struct MembershipRows {
    users: StringBuilder,
    crowds: StringBuilder,
    versions: Int64Builder,
    events: StringBuilder,
    times: TimestampMicrosecondBuilder,
    feed_ids: Int64Builder,
    rows: usize,
}

impl MembershipRows {
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn push(&mut self, happened: &Happened<'_>) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.users.append_option(happened.user);
        self.crowds.append_option(happened.crowd.map(Name::as_str));
        self.versions.append_option(happened.version.map(number));
        self.events.append_value(happened.event);
        self.times.append_value(happened.time_ms.saturating_mul(1000));
        self.feed_ids.append_option(happened.feed_id.map(number));
        self.rows += 1;
    }

    /// One batch, or none.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.users.finish()),
            Arc::new(self.crowds.finish()),
            Arc::new(self.versions.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.times.finish().with_timezone("+00:00")),
            Arc::new(self.feed_ids.finish()),
        ];
        let schema = layout_schema(&layout::crowd_changes())?;
        let batch = RecordBatch::try_new(schema, columns);
        Ok(vec![batch.map_err(|error| Error::LandingBrokeOff(error.to_string()))?])
    }
}
