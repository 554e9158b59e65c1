//! Delivers one batch: sends it until the receiver has it, or it is among the dead letters.

use crate::backoff::backoff;
use crate::batch::{Batch, Pending};
use crate::board::About;
use crate::client::{Attempt, Client};
use crate::dead_letters::DeadLetter;
use crate::destination::KnownDestination;
use crate::record::SinkRecord;
use crate::verdict::Verdict;
use crate::{Delivery, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::{Clock, Entropy};

/// How long it is waited before dead letters that could not be written are written again.
const WRITE_AGAIN: Duration = Duration::from_secs(3);

/// What a sink's batches are delivered with.
pub(crate) struct Courier {
    pub(crate) record: Arc<SinkRecord>,
    pub(crate) destination: KnownDestination,
    pub(crate) client: Arc<Client>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// How long it is tried to deliver an event.
    pub(crate) retry_for_ms: i64,
}

/// How a batch has ended.
pub(crate) enum Ended {
    /// The receiver has it.
    Delivered,
    /// It is among the dead letters.
    Buried,
    /// The receiver does not take it whole: smaller ones are to be tried.
    Split(Vec<Pending>),
}

/// Since when a lane has delivered nothing; `None`: its last batch was answered.
pub(crate) type FailingSince = Option<Instant>;

impl Courier {
    /// Sends a batch once, and notes what came of it.
    pub(crate) async fn attempt(&self, batch: &Batch) -> Attempt {
        match self.destination.current().await {
            Ok(destination) => self.client.post(&destination, &batch.letter()).await,
            Err(error) => Attempt::failed(error.to_string()),
        }
    }

    /// Sends a batch until it has ended. Dropped, it may have been delivered or not.
    pub(crate) async fn deliver(
        &self,
        lane: usize,
        batch: Batch,
        mut failing: FailingSince,
    ) -> (Ended, FailingSince) {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = self.attempt(&batch).await;
            let error = attempt.error.clone().unwrap_or_default();
            match attempt.status.map_or(Verdict::Again, Verdict::of) {
                Verdict::Delivered => {
                    self.note(&batch, attempts, &attempt, Outcome::Delivered);
                    self.record.board.count(|c| c.delivered += batch.events.len() as u64);
                    self.record.board.solved(About::Lane(lane));
                    return (Ended::Delivered, None);
                }
                Verdict::Refused if batch.events.len() > 1 => {
                    self.note(&batch, attempts, &attempt, Outcome::Split);
                    return (Ended::Split(batch.events), None);
                }
                Verdict::Refused | Verdict::Gone => {
                    self.record.board.remark(&error);
                    self.bury(&batch, attempts, &attempt).await;
                    self.record.board.solved(About::Lane(lane));
                    return (Ended::Buried, None);
                }
                Verdict::Again => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    self.record.board.problem(About::Lane(lane), &error);
                    let left = self.time_left(&batch, since);
                    if left.is_zero() {
                        self.bury(&batch, attempts, &attempt).await;
                        return (Ended::Buried, failing);
                    }
                    self.note(&batch, attempts, &attempt, Outcome::Retried);
                    self.record.board.count(|counts| counts.retried += 1);
                    let wait = backoff(attempts, self.entropy.as_ref());
                    tokio::time::sleep(wait.max(attempt.retry_after.unwrap_or_default()).min(left))
                        .await;
                }
            }
        }
    }

    /// How long the batch is to be tried yet: until the receiver has been tried for so long, and the
    /// batch is so old. So what a receiver that is down for long did not take goes to the dead letters
    /// as it grows old, and what waited while this server was down is not given up at once.
    fn time_left(&self, batch: &Batch, since: Instant) -> Duration {
        let whole = Duration::from_millis(self.retry_for_ms.unsigned_abs());
        let age_ms = self.clock.now_ms().saturating_sub(batch.newest_ms()).max(0);
        let age = Duration::from_millis(age_ms.unsigned_abs());
        whole.saturating_sub(since.elapsed()).max(whole.saturating_sub(age))
    }

    /// Puts a batch among the dead letters: it is on disk when this returns, however long that takes.
    async fn bury(&self, batch: &Batch, attempts: u32, attempt: &Attempt) {
        let now_ms = self.clock.now_ms();
        let letter = |event: &Pending| DeadLetter {
            at_ms: now_ms,
            reason: attempt.error.clone().unwrap_or_default(),
            status: attempt.status,
            attempts,
            // Our own text is read again, so that a line is one object.
            event: serde_json::from_str(&event.json).unwrap_or_default(),
        };
        let letters: Vec<DeadLetter> = batch.events.iter().map(letter).collect();
        loop {
            match self.record.dead.append(&letters, now_ms).await {
                Ok(removed) => {
                    self.record.board.solved(About::Files);
                    self.removed(removed);
                    break;
                }
                Err(error) => {
                    self.record.board.problem(About::Files, &error.to_string());
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
            }
        }
        self.note(batch, attempts, attempt, Outcome::DeadLettered);
        self.record.board.count(|counts| counts.dead_lettered += letters.len() as u64);
    }

    /// Says that old dead letters are there no more.
    pub(crate) fn removed(&self, letters: u64) {
        if letters > 0 {
            self.record.board.count(|counts| counts.removed += letters);
            self.record.board.remark(&format!(
                "{letters} dead letters were removed because they were too old or too many"
            ));
        }
    }

    /// Adds a line to the delivery log.
    pub(crate) fn note(&self, batch: &Batch, attempts: u32, attempt: &Attempt, outcome: Outcome) {
        let id = |event: Option<&Pending>| event.map_or(String::new(), |event| event.id.clone());
        self.record.log.note(Delivery {
            at_ms: self.clock.now_ms(),
            webhook_id: batch.id.clone(),
            events: batch.events.len() as u64,
            first_id: id(batch.events.first()),
            last_id: id(batch.events.last()),
            attempt: attempts,
            status: attempt.status,
            latency_ms: u64::try_from(attempt.latency.as_millis()).unwrap_or(u64::MAX),
            outcome,
            error: attempt.error.clone(),
        });
    }
}
