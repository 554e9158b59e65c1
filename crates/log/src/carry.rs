//! An app that does not land for days must not keep the segments of all others: what lives in
//! segments that are mostly dead is written again behind all others, at the same positions, and the
//! old segments go.

use crate::committer::Committer;
use crate::contents::Contents;
use crate::frame::Kind;
use crate::read::{RunReader, missing};
use crate::runs::Run;
use crate::segment::Segment;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::AppId;

/// What is carried at least between two groups.
const SLICE_BYTES: u64 = 1 << 20;
/// And at most.
const MAX_SLICE_BYTES: u64 = 16 << 20;
/// It is worth it where less than this part lives.
const LIVE_PART: u64 = 4;

/// Where the carrying is.
pub(crate) struct Carrying {
    /// What of a segment is to be looked at.
    queue: VecDeque<Queued>,
    of: Option<Arc<Segment>>,
    /// Something of it cannot be read; the log's other work goes on.
    is_stuck: bool,
    slices: Arc<AtomicU64>,
}

struct Queued {
    app: AppId,
    first: u64,
    last: u64,
}

/// Records to be carried, and where they are.
struct Slice {
    parts: Vec<Part>,
}

struct Part {
    app: AppId,
    records: Vec<(u64, Vec<u8>)>,
}

impl Carrying {
    pub(crate) fn new(slices: Arc<AtomicU64>) -> Self {
        Self { queue: VecDeque::new(), of: None, is_stuck: false, slices }
    }
}

impl Committer {
    /// Whether the segments before the last one are mostly dead, and too large for that.
    pub(crate) fn is_worth_carrying(&self) -> bool {
        if self.carrying.is_stuck {
            return false;
        }
        let (mut bytes, mut live) = (0, 0);
        for segment in self.segments.iter().take(self.segments.len() - 1) {
            bytes += segment.bytes();
            live += segment.live();
        }
        live < bytes / LIVE_PART && bytes.saturating_sub(live) > self.options.dead_bytes
    }

    /// Carries a slice of the oldest segment behind: twice of what came in, so that what is dead
    /// cannot grow for ever.
    pub(crate) fn carry(&mut self, came_in: u64) -> Result<()> {
        let most = (2 * came_in).clamp(SLICE_BYTES, MAX_SLICE_BYTES);
        let carried = self.slice(most).and_then(|slice| self.write_slice(&slice));
        if let Err(error) = &carried {
            // What is damaged is so at the next attempt too.
            self.carrying.is_stuck = matches!(error, Error::Corrupt(_));
            tracing::warn!(%error, "what lives in old segments of the event log could not be carried behind");
        }
        carried
    }

    fn write_slice(&mut self, slice: &Slice) -> Result<()> {
        let fill = |group: &mut crate::group::Group| {
            for Part { app, records } in &slice.parts {
                for (position, record) in records {
                    group.record(Kind::Carried, app, *position, record);
                }
            }
        };
        if !slice.parts.is_empty() {
            self.write(fill, Contents::carry, [])?;
            self.carrying.slices.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads what lives in the oldest segment, or some of it.
    fn slice(&mut self, most: u64) -> Result<Slice> {
        let mut slice = Slice { parts: Vec::new() };
        let Some(oldest) = self.segments.front().cloned() else { return Ok(slice) };
        if self.carrying.queue.is_empty() || !is_same(&self.carrying.of, &oldest) {
            self.carrying.queue = queue_of(&self.contents.read(), &oldest);
            self.carrying.of = Some(oldest.clone());
        }
        let (mut reader, mut bytes) = (RunReader::default(), 0);
        while bytes < most
            && let Some(Queued { app, first, last }) = self.carrying.queue.pop_front()
        {
            let (runs, trimmed) = {
                let contents = self.contents.read();
                (contents.runs_in(&app, &oldest, first, last), contents.mark(&app).trimmed)
            };
            for run in runs {
                bytes += run.weight();
                let records = live_records(&mut reader, &run, &app, trimmed)?;
                slice.parts.push(Part { app: app.clone(), records });
            }
        }
        Ok(slice)
    }
}

fn is_same(of: &Option<Arc<Segment>>, segment: &Arc<Segment>) -> bool {
    of.as_ref().is_some_and(|of| Arc::ptr_eq(of, segment))
}

/// Every run of a segment; what is trimmed until its turn comes is not found then.
fn queue_of(contents: &Contents, segment: &Arc<Segment>) -> VecDeque<Queued> {
    let mut queue = VecDeque::new();
    for (app, _, runs) in contents.live() {
        for run in runs.filter(|run| Arc::ptr_eq(&run.segment, segment)) {
            queue.push_back(Queued { app: app.clone(), first: run.first, last: run.last });
        }
    }
    queue
}

/// The records of a run that are not trimmed, all of them.
pub(crate) fn live_records(
    reader: &mut RunReader,
    run: &Run,
    app: &AppId,
    trimmed: u64,
) -> Result<Vec<(u64, Vec<u8>)>> {
    let (mut next, mut records) = (run.first.max(trimmed + 1), Vec::new());
    reader.read(run, app, next, |position, record| {
        if position != next {
            return ControlFlow::Break(());
        }
        next += 1;
        records.push((position, record.to_vec()));
        ControlFlow::Continue(())
    })?;
    if next == run.last + 1 { Ok(records) } else { Err(missing(app, next, run)) }
}
