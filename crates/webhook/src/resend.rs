//! Sends dead letters again.

use crate::batch::{Batch, Pending};
use crate::verdict::Verdict;
use crate::{DeadLetter, Error, Outcome, Result, Webhooks};
use std::collections::{HashSet, VecDeque};
use taghouse_model::{AppId, Name};
use taghouse_rules::Webhook;

/// What came of sending dead letters again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resent {
    /// Events that the receiver has taken: they are no dead letters any more.
    pub sent: u64,
    /// Events that the receiver does not take: they stay.
    pub refused: u64,
    /// Dead letters that there are now.
    pub remaining: u64,
    /// Why it was not tried with the rest; `None`: it was.
    pub error: Option<String>,
}

impl Webhooks {
    /// Sends the oldest dead letters of a sink again, once. It ends where the receiver does not work.
    ///
    /// # Errors
    /// `Busy`, `Disk`; what was delivered before that may be sent once more.
    pub async fn resend(
        &self,
        app: &AppId,
        sink: &Name,
        webhook: &Webhook,
        limit: usize,
    ) -> Result<Resent> {
        let courier = self.courier(app, sink, webhook);
        let dead = courier.record.dead.clone();
        let Ok(_sending) = dead.sending.try_lock() else {
            return Err(Error::Busy { app: app.clone(), sink: sink.clone() });
        };
        let letters = dead.first(limit).await?.letters;
        let mut resent = Resent::default();
        let mut waiting: VecDeque<Vec<Pending>> = batches(&letters, webhook).into();
        while let Some(events) = waiting.pop_front() {
            let batch = Batch::of(app, sink, events);
            let attempt = courier.attempt(&batch).await;
            let count = batch.events.len();
            let verdict = attempt.status.map_or(Verdict::Again, Verdict::of);
            let outcome = match verdict {
                Verdict::Delivered => Outcome::Delivered,
                Verdict::Refused if count > 1 => Outcome::Split,
                _ => Outcome::DeadLettered,
            };
            courier.note(&batch, 1, &attempt, outcome);
            match verdict {
                Verdict::Delivered => {
                    let ids = batch.events.into_iter().map(|event| event.id);
                    dead.remove(ids.collect::<HashSet<_>>()).await?;
                    courier.record.board.count(|counts| counts.delivered += count as u64);
                    resent.sent += count as u64;
                }
                Verdict::Refused if count > 1 => {
                    let mut first = batch.events;
                    let second = first.split_off(count / 2);
                    waiting.push_front(second);
                    waiting.push_front(first);
                }
                Verdict::Refused => resent.refused += 1,
                Verdict::Again | Verdict::Gone => {
                    resent.error = attempt.error;
                    break;
                }
            }
        }
        let log = courier.record.log.clone();
        taghouse_disk::blocking(move || log.write()).await?;
        resent.remaining = dead.count().await?;
        Ok(resent)
    }
}

/// The events of letters, in batches as the definition bounds them.
fn batches(letters: &[DeadLetter], webhook: &Webhook) -> Vec<Vec<Pending>> {
    let mut batches: Vec<Vec<Pending>> = Vec::new();
    let mut bytes = 0;
    for letter in letters {
        let json = letter.event.to_string();
        let is_full = batches.last().is_none_or(|batch| batch.len() >= webhook.batch_events);
        if is_full || bytes + json.len() > webhook.batch_bytes {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += json.len() + 1;
        let (id, at_ms) = (letter.id().to_owned(), letter.at_ms);
        if let Some(last) = batches.last_mut() {
            last.push(Pending { low: 0, at_ms, id, json });
        }
    }
    batches
}
