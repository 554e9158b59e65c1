//! Reads records from the segments.

use crate::contents::{Contents, Found};
use crate::error::unavailable;
use crate::frame::{Kind, LogFrames, RecordsHead};
use crate::runs::Run;
use crate::{Error, MAX_READ_BYTES, Result};
use parking_lot::RwLock;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use taghouse_journal::{FrameFormat, HEAD_BYTES};
use taghouse_model::AppId;

/// What the runs weigh, about, that are looked up at once.
const LOOKED_UP: u64 = 4 << 20;

/// Records behind `from`. Nothing is locked while they are read.
pub(crate) fn read_records(
    contents: &RwLock<Contents>,
    app: &AppId,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>> {
    let (mut found, mut bytes, mut next) = (Vec::new(), 0, from);
    let mut reader = RunReader::default();
    while found.len() < limit && bytes < MAX_READ_BYTES {
        let Found { after, runs } = contents.read().find(app, next, limit - found.len(), LOOKED_UP);
        // What was trimmed meanwhile is not a hole, but an end.
        if runs.is_empty() || (after > next && !found.is_empty()) {
            break;
        }
        next = after;
        for run in &runs {
            reader.read(run, app, next + 1, |position, record| {
                if position != next + 1 {
                    return ControlFlow::Break(());
                }
                next = position;
                bytes += record.len();
                found.push((position, record.to_vec()));
                if found.len() < limit && bytes < MAX_READ_BYTES {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            if found.len() == limit || bytes >= MAX_READ_BYTES {
                break;
            }
            if next != run.last {
                return Err(missing(app, next + 1, run));
            }
        }
    }
    Ok(found)
}

pub(crate) fn missing(app: &AppId, position: u64, run: &Run) -> Error {
    Error::Corrupt(format!(
        "{}: app {app} has no record at position {position} behind byte {}",
        run.segment.path.display(),
        run.offset
    ))
}

/// Reads runs, one after the other.
#[derive(Default)]
pub(crate) struct RunReader {
    content: Vec<u8>,
}

impl RunReader {
    /// Hands over the records of a run from position `from` on, in order, until `each` breaks.
    ///
    /// # Errors
    /// `Corrupt` names the file and the frame; `Unavailable`.
    pub(crate) fn read(
        &mut self,
        run: &Run,
        app: &AppId,
        from: u64,
        mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        self.load(run)?;
        let wanted = from.max(run.first)..=run.last;
        let mut at = 0;
        while at < self.content.len() {
            let offset = run.offset + at as u64;
            let damaged = || run.segment.damaged(offset);
            let rest = &self.content[at..];
            let head = rest.first_chunk().and_then(LogFrames::read_head).ok_or_else(damaged)?;
            let payload = rest[HEAD_BYTES..].get(..head.payload_bytes).ok_or_else(damaged)?;
            at += HEAD_BYTES + payload.len();
            if !matches!(head.fields.kind, Kind::Records | Kind::Carried) {
                continue;
            }
            let records = RecordsHead::read(payload).ok_or_else(damaged)?;
            let is_wanted = records.app == app.as_str()
                && records.first <= *wanted.end()
                && records.last() >= *wanted.start();
            if !is_wanted {
                continue;
            }
            if !head.is_of(payload) {
                return Err(damaged());
            }
            for record in records.records() {
                let (position, record) = record.ok_or_else(damaged)?;
                if wanted.contains(&position) && each(position, record).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn load(&mut self, run: &Run) -> Result<()> {
        let length = (run.end - run.offset) as usize;
        self.content.resize(length, 0);
        let read = run.segment.file.read_exact_at(&mut self.content, run.offset);
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => run.segment.damaged(run.offset),
            _ => unavailable(&run.segment.path)(error),
        })
    }
}
