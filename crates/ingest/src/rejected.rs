//! Rejected rows, found again page by page: the newest first.

use crate::{Error, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use taghouse_lake::{Comparison, Lake, layout};
use taghouse_model::{AppId, TimestampMs, Value};

const COLUMNS: [&str; 7] = ["received_at", "source", "file", "row", "reason", "detail", "raw"];

/// Which rejected rows.
#[derive(Debug, Clone, Default)]
pub struct RejectedQuery {
    /// Only of this source.
    pub source: Option<String>,
    /// Only with this reason, such as `bad_type`.
    pub reason: Option<String>,
    /// Only of this file.
    pub file: Option<String>,
    /// The [`RejectedPage::next`] of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A rejected row, by what pages are ordered: the newest first, then by source, file and row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectedRow {
    /// When it came in.
    pub received_ms: Reverse<TimestampMs>,
    /// Name of the source.
    pub source: String,
    /// The file; `None`: a live call.
    pub file: Option<String>,
    /// The row of the file from 1, or the position in the log.
    pub row: Option<i64>,
    /// The class of the refusal.
    pub reason: String,
    /// This row's words.
    pub detail: String,
    /// The row as it stood, its first 4 KiB.
    pub raw: Option<String>,
}

/// A page of rejected rows.
#[derive(Debug, Clone, Default)]
pub struct RejectedPage {
    /// All of them, in their order.
    pub rows: Vec<RejectedRow>,
    /// How many there are on all pages, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// What to ask for the next page with; `None`: there is none.
    pub next: Option<String>,
}

/// Where a row stands among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Standing {
    received_ms: Reverse<TimestampMs>,
    source: String,
    file: Option<String>,
    row: Option<i64>,
    reason: String,
}

impl RejectedRow {
    fn standing(&self) -> Standing {
        let Self { received_ms, source, file, row, reason, .. } = self.clone();
        Standing { received_ms, source, file, row, reason }
    }
}

/// The end of a page: where its last row stands, and how many that stand there were given.
#[derive(Serialize, Deserialize)]
struct Mark {
    last: Standing,
    given: usize,
}

/// Reads a page of the app's rejected rows. Memory: a page; time: all rejected rows that the
/// conditions leave.
///
/// # Errors
/// [`Error::Invalid`] for a cursor that is none; the lake's.
pub async fn rejected(lake: &Lake, app: &AppId, query: &RejectedQuery) -> Result<RejectedPage> {
    let mark = query.after.as_deref().map(read_mark).transpose()?;
    let mut page = RejectedPage::default();
    let Some(table) = lake.table(app, layout::REJECTED_EVENTS).await? else { return Ok(page) };
    let mut scan = table.scan(&COLUMNS);
    for (column, value) in [("source", &query.source), ("reason", &query.reason)] {
        if let Some(value) = value {
            scan = scan.compare(column, Comparison::Equal, Value::text(value))?;
        }
    }
    let skipped = mark.as_ref().map_or(0, |mark| mark.given);
    // One more than the page has tells whether there is another.
    let wanted = skipped + query.limit + 1;
    let mut first: BinaryHeap<RejectedRow> = BinaryHeap::with_capacity(wanted.min(4096));
    for mut batches in scan.plan(1).await?.partitions() {
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            for at in 0..batch.num_rows() {
                let row = Texts { batch: &batch, at };
                if !row.matches(query) {
                    continue;
                }
                *page.reasons.entry(row.text(4).unwrap_or_default().to_owned()).or_default() += 1;
                let row = row.read();
                if mark.as_ref().is_some_and(|mark| row.standing() < mark.last) {
                    continue;
                }
                if first.len() < wanted {
                    first.push(row);
                } else if first.peek().is_some_and(|last| row < *last) {
                    first.pop();
                    first.push(row);
                }
            }
        }
    }
    let mut rows = first.into_sorted_vec();
    rows.drain(..skipped.min(rows.len()));
    if rows.len() > query.limit {
        rows.truncate(query.limit);
        page.next = write_mark(&rows, mark.as_ref())?;
    }
    page.rows = rows;
    Ok(page)
}

fn read_mark(text: &str) -> Result<Mark> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let wrong = |_| {
        Error::Invalid(
            "`after` is not the `next` of a page of rejected rows: give it as it came".to_owned(),
        )
    };
    serde_json::from_slice(&bytes).map_err(wrong)
}

fn write_mark(rows: &[RejectedRow], before: Option<&Mark>) -> Result<Option<String>> {
    let Some(last) = rows.last().map(RejectedRow::standing) else { return Ok(None) };
    let on_page = rows.iter().rev().take_while(|row| row.standing() == last).count();
    let earlier = before
        .filter(|mark| mark.last == last && on_page == rows.len())
        .map_or(0, |mark| mark.given);
    let json = serde_json::to_vec(&Mark { last, given: on_page + earlier })
        .map_err(|e| Error::Internal(e.to_string()))?;
    Ok(Some(URL_SAFE_NO_PAD.encode(json)))
}

/// A row of a batch of [`COLUMNS`].
struct Texts<'b> {
    batch: &'b RecordBatch,
    at: usize,
}

impl Texts<'_> {
    fn text(&self, column: usize) -> Option<&str> {
        let texts = self.batch.column(column).as_string::<i32>();
        texts.is_valid(self.at).then(|| texts.value(self.at))
    }

    fn matches(&self, query: &RejectedQuery) -> bool {
        let wanted = [(1, &query.source), (2, &query.file), (4, &query.reason)];
        wanted
            .into_iter()
            .all(|(column, wanted)| wanted.is_none() || self.text(column) == wanted.as_deref())
    }

    fn read(&self) -> RejectedRow {
        let received = self.batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let rows = self.batch.column(3).as_primitive::<Int64Type>();
        let owned = |column: usize| self.text(column).map(str::to_owned);
        RejectedRow {
            received_ms: Reverse(received.value(self.at).div_euclid(1000)),
            source: owned(1).unwrap_or_default(),
            file: owned(2),
            row: rows.is_valid(self.at).then(|| rows.value(self.at)),
            reason: owned(4).unwrap_or_default(),
            detail: owned(5).unwrap_or_default(),
            raw: owned(6),
        }
    }
}
