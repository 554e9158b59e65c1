//! The task of a writer: records of the feed become events in lanes, lanes become batches, and what
//! is done is remembered.

use crate::batch::{Batch, Pending};
use crate::board::About;
use crate::courier::{Courier, Ended, FailingSince};
use crate::intake::Intake;
use crate::lanes::{Cut, LaneLimits, Lanes};
use crate::{Delivery, Outcome, Result, WriterParts, WriterState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use taghouse_feed::Record;
use taghouse_sink::{Begun, Lost, Progress, event, gap, includes, release};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the writer waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(3);
/// How often at most it is written down what is done, while more is sent.
const REMEMBER: Duration = Duration::from_millis(500);
/// How often old dead letters are removed.
const TRIM: Duration = Duration::from_secs(600);

/// Writes until it is told to stop.
pub(crate) async fn write(parts: &WriterParts, courier: &Arc<Courier>, stop: &CancellationToken) {
    let board = &courier.record.board;
    board.begin();
    while !stop.is_cancelled() {
        let written = async { Writer::begin(parts, courier).await?.write(stop).await };
        if let Err(error) = written.await {
            board.problem(About::Feed, &error.to_string());
            board.set_state(WriterState::Connecting);
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    if let Err(error) = release(&parts.feeds, &parts.app, &parts.sink.name).await {
        board.remark(&error.to_string());
    }
    board.set_state(WriterState::Stopped);
}

/// A batch that has ended.
struct Done {
    lane: usize,
    ended: Ended,
    failing: FailingSince,
}

struct Writer<'w> {
    parts: &'w WriterParts,
    courier: &'w Arc<Courier>,
    progress: Progress,
    intake: Intake,
    /// Records that were read and are in no lane yet.
    records: VecDeque<Record>,
    /// The last record that was put in a lane, or that the sink does not want.
    taken: u64,
    lanes: Lanes,
    failing: Vec<FailingSince>,
    /// Given up when it is dropped: what was under way is sent again.
    under_way: JoinSet<Done>,
    trim_at: Instant,
}

impl<'w> Writer<'w> {
    async fn begin(parts: &'w WriterParts, courier: &'w Arc<Courier>) -> Result<Self> {
        let WriterParts { app, sink, webhook, feeds, catalog, .. } = parts;
        let Begun { progress, reader, lost } = Progress::begin(app, sink, feeds, catalog).await?;
        let limits = LaneLimits {
            lanes: webhook.parallel,
            batch_events: webhook.batch_events,
            batch_bytes: webhook.batch_bytes,
        };
        let taken = reader.after();
        let mut writer = Self {
            parts,
            courier,
            progress,
            intake: Intake::begin(reader),
            records: VecDeque::new(),
            taken,
            lanes: Lanes::new(limits),
            failing: vec![None; webhook.parallel],
            under_way: JoinSet::new(),
            trim_at: Instant::now(),
        };
        if let Some(lost) = lost {
            writer.tell_gap(lost);
        }
        courier.record.board.solved(About::Feed);
        courier.record.board.set_state(WriterState::Reading);
        Ok(writer)
    }

    async fn write(&mut self, stop: &CancellationToken) -> Result<()> {
        let mut tick = tokio::time::interval(REMEMBER);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.take_records();
            self.send_batches();
            self.show();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tick.tick() => self.remember().await,
                Some(done) = self.under_way.join_next() => {
                    // Nothing of ours panics; what was under way is sent again.
                    self.end(done.map_err(taghouse_disk::TaskFailed::from)?);
                }
                read = self.intake.next(), if self.records.is_empty() => match read {
                    Ok(records) => self.records.extend(records),
                    Err(error) => self.read_on(error).await?,
                },
            }
        }
        self.remember().await;
        Ok(())
    }

    /// Puts records in lanes, as far as those take them.
    fn take_records(&mut self) {
        let WriterParts { app, sink, .. } = self.parts;
        while let Some(record) = self.records.front() {
            if includes(sink, &record.change) {
                let outgoing = event(app, record);
                let key = outgoing.key.as_deref();
                if !self.lanes.takes(key) {
                    return;
                }
                self.lanes.put(key, Pending::new(record.id, record.at_ms, &outgoing));
            }
            self.taken = record.id;
            self.records.pop_front();
        }
    }

    fn send_batches(&mut self) {
        while let Some(Cut { lane, events }) = self.lanes.cut() {
            let batch = Batch::of(&self.parts.app, &self.parts.sink.name, events);
            let (courier, failing) = (self.courier.clone(), self.failing[lane]);
            self.under_way.spawn(async move {
                let (ended, failing) = courier.deliver(lane, batch, failing).await;
                Done { lane, ended, failing }
            });
        }
    }

    fn end(&mut self, done: Done) {
        let Done { lane, ended, failing } = done;
        self.failing[lane] = failing;
        match ended {
            Ended::Delivered | Ended::Buried => self.lanes.done(lane),
            Ended::Split(events) => self.lanes.split(lane, events),
        }
    }

    /// The last record that needs not be sent any more: all before the first that waits.
    fn position(&self) -> u64 {
        self.lanes.first().map_or(self.taken, |first| first.low - 1)
    }

    fn show(&self) {
        let first = self.lanes.first().map(|first| first.at_ms);
        let oldest_ms = first.or(self.records.front().map(|record| record.at_ms));
        self.courier.record.board.set_position(self.position(), oldest_ms);
    }

    /// Writes down what is done, and lets the feed go up to there. What cannot be written is tried
    /// again a moment later, and keeps nothing from being sent.
    async fn remember(&mut self) {
        let board = &self.courier.record.board;
        let position = self.position();
        if position != self.progress.remembered() {
            match self.progress.remember(position).await {
                Ok(()) => board.solved(About::Feed),
                Err(error) => board.problem(About::Feed, &error.to_string()),
            }
        }
        let log = self.courier.record.log.clone();
        let mut written = taghouse_disk::blocking(move || log.write()).await;
        if Instant::now() >= self.trim_at {
            self.trim_at = Instant::now() + TRIM;
            let trimmed = self.courier.record.dead.trim(self.parts.clock.now_ms()).await;
            written = written.and(trimmed.map(|removed| self.courier.removed(removed)));
        }
        if let Err(error) = written {
            board.remark(&error.to_string());
        }
    }

    /// Goes on where the feed has something again.
    async fn read_on(&mut self, error: taghouse_feed::Error) -> Result<()> {
        let (reader, lost) = match error {
            taghouse_feed::Error::Gone { .. } => self.progress.read_on(self.taken).await?,
            taghouse_feed::Error::Damaged { .. } => {
                self.courier.record.board.remark(&error.to_string());
                self.progress.skip_damage(self.taken).await?
            }
            error => return Err(error.into()),
        };
        self.intake = Intake::begin(reader);
        if let Some(lost) = lost {
            self.tell_gap(lost);
        }
        Ok(())
    }

    /// Tells the receiver, and people, that changes were lost.
    fn tell_gap(&mut self, lost: Lost) {
        let Lost { after, first } = lost;
        let (now_ms, detail) = (self.parts.clock.now_ms(), lost.detail());
        let outgoing = gap(&self.parts.app, lost, now_ms);
        // It is done before what comes behind it, and all that was read is before it.
        self.lanes.put(None, Pending::new((after + 1).min(first), now_ms, &outgoing));
        self.taken = first - 1;
        let record = &self.courier.record;
        let count = first.saturating_sub(after + 1);
        record.board.remark(&detail);
        record.board.count(|counts| counts.lost += count);
        record.log.note(Delivery {
            at_ms: now_ms,
            webhook_id: String::new(),
            events: count,
            first_id: format!("{}-{}", self.parts.app, after + 1),
            last_id: format!("{}-{}", self.parts.app, first.saturating_sub(1)),
            attempt: 0,
            status: None,
            latency_ms: 0,
            outcome: Outcome::Lost,
            error: Some(detail),
        });
    }
}
