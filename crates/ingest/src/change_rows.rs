//! Rows of the table of changes by hand.

use crate::Result;
use crate::log_record::{LogRecord, RecordBody};
use arrow::array::{
    ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use std::sync::Arc;
use taghouse_lake::{layout, layout_schema};

/// Fills a batch of `user_changes`.
#[derive(Default)]
pub(crate) struct ChangeRows {
    user_id: StringBuilder,
    tag: StringBuilder,
    op: StringBuilder,
    value: StringBuilder,
    time: TimestampMicrosecondBuilder,
    position: Int64Builder,
}

impl ChangeRows {
    /// Adds the record at `position` of the log; false: it is not a change by hand.
    pub(crate) fn push(&mut self, position: u64, record: &LogRecord) -> bool {
        match &record.body {
            RecordBody::Changed { user_id, tag, op, value } => {
                self.user_id.append_value(user_id);
                self.tag.append_value(tag);
                self.op.append_value(op.as_str());
                self.value.append_option(value.as_deref());
            }
            RecordBody::Gone { user_id, expired } => {
                self.user_id.append_value(user_id);
                self.tag.append_null();
                self.op.append_value(if *expired { layout::EXPIRED } else { layout::DELETED });
                self.value.append_null();
            }
            _ => return false,
        }
        self.time.append_value(record.received_at_ms.saturating_mul(1000));
        self.position.append_value(i64::try_from(position).unwrap_or(i64::MAX));
        true
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user_id.finish()),
            Arc::new(self.tag.finish()),
            Arc::new(self.op.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.time.finish().with_timezone("+00:00")),
            Arc::new(self.position.finish()),
        ];
        let schema = layout_schema(&layout::user_changes())?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
