//! The reports of the tasks of runs, as they are kept and shown.

use crate::clock_text::local;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::time::Instant;
use taghouse_crowd::{CrowdVersion, IdCounts};
use taghouse_ingest::Landed;
use taghouse_model::ErrorKind;
use taghouse_produce::{Produced, ProducedTag};
use taghouse_rules::Definitions;
use taghouse_schedule::TaskError;
use taghouse_stream::Status;
use taghouse_users::Compacted;
use taghouse_wire::{
    CompactReport, CrowdReport, IdCountsBody, IngestReport, LandReport, LiveReport, ProduceReport,
    ProducedTagBody, RefusedFile, TaskResult,
};

/// A report as the scheduler keeps it.
pub(crate) fn result(report: &TaskResult) -> Result<Value, TaskError> {
    serde_json::to_value(report).map_err(|error| TaskError::new(ErrorKind::Internal, error))
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn ingested(report: &taghouse_ingest::IngestReport) -> TaskResult {
    let failed = report
        .failed
        .iter()
        .map(|failed| RefusedFile { file: failed.file.clone(), message: failed.message.clone() });
    TaskResult::Ingest(IngestReport {
        files_new: report.files_new,
        files_replaced: report.files_replaced,
        files_unchanged: report.files_unchanged,
        empty: report.empty.clone(),
        failed: failed.collect(),
        rows: report.rows,
        accepted: report.accepted.clone(),
        accepted_total: report.events(),
        attributes: report.attributes,
        rejected: report.rejected.clone(),
        rejected_total: report.rejected_rows(),
        replaced: report.replaced,
        filtered: report.filtered,
        suppressed: report.suppressed,
        duplicates: report.duplicates,
        batches: report.batches,
        elapsed_ms: report.elapsed_ms,
    })
}

pub(crate) fn live_tags(status: &Status, zone: &TimeZone) -> LiveReport {
    LiveReport {
        live_tags: status.tags as u64,
        current_as_of: status.now_ms.map(|now_ms| local(now_ms, zone)),
        position: status.position,
        saved_position: status.saved_position,
        computing: status.computing,
        problem: status.problem.clone(),
        live_users: status.users,
        state_bytes: status.state_bytes,
        memory_bytes: status.memory_bytes,
        timers: status.timers,
        timers_due: status.timers_due,
        ahead: status.ahead,
        values: status.values,
        computed: status.computed,
        file_rows: status.file_rows,
    }
}

pub(crate) fn landed(landed: &Landed) -> TaskResult {
    TaskResult::Land(LandReport {
        events: landed.events,
        attributes: landed.attributes,
        rejected: landed.rejected,
        replaced: landed.replaced,
        duplicates: landed.duplicates,
    })
}

pub(crate) fn produced(
    produced: &Produced,
    as_of_ms: i64,
    definitions: &Definitions,
) -> TaskResult {
    let is_named =
        |tag: &ProducedTag| definitions.tags.get(&tag.name).is_none_or(|tag| !tag.is_anonymous());
    let tag = |tag: &ProducedTag| ProducedTagBody {
        name: tag.name.to_string(),
        users: tag.users,
        elapsed_ms: tag.elapsed_ms,
        skipped: tag.skipped.iter().map(|(reason, count)| (reason.to_string(), *count)).collect(),
    };
    TaskResult::Produce(ProduceReport {
        as_of: local(as_of_ms, &definitions.app.time_zone),
        tags: produced.tags.iter().filter(|tag| is_named(tag)).map(tag).collect(),
        users: produced.users,
        events_read: produced.events_read,
        revision: produced.revision,
        elapsed_ms: produced.elapsed_ms,
        steps_ms: produced.steps_ms.iter().map(|(step, ms)| ((*step).to_owned(), *ms)).collect(),
    })
}

pub(crate) fn computed(name: &str, version: &CrowdVersion, began: Instant) -> TaskResult {
    TaskResult::Crowd(CrowdReport {
        name: name.to_owned(),
        size: version.size,
        version: version.version,
        waits: version.waits.as_ref().map(ToString::to_string),
        ids: version.ids.map(id_counts),
        elapsed_ms: elapsed_ms(began),
    })
}

/// What became of the ids of a version, as it is shown.
pub fn id_counts(counts: IdCounts) -> IdCountsBody {
    let IdCounts { given, unknown, duplicates, invalid } = counts;
    IdCountsBody { given, unknown, duplicates, invalid }
}

pub(crate) fn compacted(compacted: &Compacted, began: Instant) -> TaskResult {
    TaskResult::Compact(CompactReport {
        generation: compacted.generation,
        users_before: compacted.before,
        expired: compacted.expired,
        users: compacted.users,
        dictionary_bytes_before: compacted.dictionary_bytes_before,
        dictionary_bytes: compacted.dictionary_bytes,
        elapsed_ms: elapsed_ms(began),
    })
}
