//! A delivery on its way: piece by piece, and what it has come to after each.

use super::plan::prefix;
use super::record::{Cursor, Delivery, DeliveryState, Held, Phase, Stored};
use super::task::ActivationTask;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_activate::{Change, Failed, Member, Piece, Target, Totals};
use taghouse_crowd::{CrowdMembers, MemberPage, MemberValues};
use taghouse_disk::blocking;
use taghouse_schedule::Progress;

/// A delivery, with all that it is sent with.
pub(crate) struct Sending {
    pub(crate) stored: Stored,
    pub(crate) target: Box<dyn Target>,
    /// Whom the destination has afterwards.
    pub(crate) sent: CrowdMembers,
    pub(crate) entered: CrowdMembers,
    pub(crate) left: CrowdMembers,
    pub(crate) values: MemberValues,
}

/// Some users who are sent next, and what comes after them.
struct Next {
    members: Vec<Member>,
    from: Option<u32>,
}

/// What a piece is made of, shared with the thread that reads it.
pub(crate) struct Source {
    left: CrowdMembers,
    entered: CrowdMembers,
    values: MemberValues,
}

impl Source {
    fn next(&self, phase: Phase, from: u32, size: usize) -> Result<Option<Next>> {
        let of = match phase {
            Phase::Left => &self.left,
            Phase::Entered => &self.entered,
            Phase::End => return Ok(None),
        };
        let Some(MemberPage { ordinals, ids, next }) = of.page_from(from, size)? else {
            return Ok(None);
        };
        let mut members = Vec::with_capacity(ids.len());
        for (ordinal, user_id) in ordinals.into_iter().zip(ids) {
            let values = match phase {
                Phase::Entered => self.values.of(ordinal)?,
                Phase::Left | Phase::End => Vec::new(),
            };
            members.push(Member { ordinal, user_id, values });
        }
        Ok(Some(Next { members, from: next }))
    }
}

impl Sending {
    /// The delivery, as it stands.
    pub(crate) fn delivery(&mut self) -> Result<&mut Delivery> {
        let missing = || Error::ActivationRecord {
            activation: String::new(),
            detail: "it has no delivery".to_owned(),
        };
        self.stored.record.current.as_mut().ok_or_else(missing)
    }

    /// Users who are to be sent, and were.
    pub(crate) fn total(&self) -> u64 {
        self.entered.len() + self.left.len()
    }

    /// Sends what is left to be sent, and ends the delivery.
    pub(crate) async fn send(&mut self, task: &ActivationTask, progress: &Progress) -> Result<()> {
        let source = Arc::new(Source {
            left: self.left.clone(),
            entered: self.entered.clone(),
            values: self.values.clone(),
        });
        let total = self.total();
        loop {
            let Delivery { cursor, entered, left, failed, .. } = self.delivery()?;
            let (cursor, done) = (*cursor, *entered + *left + *failed);
            progress.set(done, total);
            if cursor.phase == Phase::End {
                break;
            }
            let (reads, size) = (source.clone(), self.target.piece_size());
            let next = blocking(move || reads.next(cursor.phase, cursor.from, size)).await?;
            match next {
                None => self.delivery()?.cursor = after_phase(cursor),
                Some(Next { members, from }) => {
                    self.send_piece(task, cursor, &members).await?;
                    self.delivery()?.cursor = match from {
                        Some(from) => Cursor { from, pieces: cursor.pieces + 1, ..cursor },
                        None => after_phase(Cursor { pieces: cursor.pieces + 1, ..cursor }),
                    };
                    self.stored.save(&task.engine, Vec::new()).await?;
                }
            }
        }
        let members = self.sent.len();
        let Delivery { entered, left, failed, .. } = self.delivery()?;
        let totals = Totals { entered: *entered, left: *left, failed: *failed, members };
        self.target.finish(totals).await?;
        self.end(task).await
    }

    async fn send_piece(
        &mut self,
        task: &ActivationTask,
        cursor: Cursor,
        members: &[Member],
    ) -> Result<()> {
        let change = match cursor.phase {
            Phase::Left => Change::Left,
            Phase::Entered | Phase::End => Change::Entered,
        };
        // Nobody is left of a page of users who were deleted since.
        let failed: Vec<Failed> = match members.is_empty() {
            true => Vec::new(),
            false => {
                let piece = Piece { number: cursor.pieces + 1, change, members };
                self.target.send(piece).await?
            }
        };
        let refused = failed.len() as u64;
        let taken = members.len() as u64 - refused;
        let (app, name) = (&task.definitions.app.id, &task.activation.name);
        let delivery = self.delivery()?;
        if refused > 0 {
            let (number, after) = (delivery.number, delivery.failed_bytes);
            let at_ms = task.engine.clock.now_ms();
            let rows = &task.engine.activations.failed_rows;
            delivery.failed_bytes = rows.add(app, name, number, after, failed, at_ms).await?;
        }
        delivery.failed += refused;
        match change {
            Change::Entered => delivery.entered += taken,
            Change::Left => delivery.left += taken,
        }
        Ok(())
    }

    /// The destination has it: that is noted, and what was noted for it goes. Where it cannot be noted,
    /// the record is what it was, so that it is tried again.
    async fn end(&mut self, task: &ActivationTask) -> Result<()> {
        let before = self.stored.record.clone();
        let noted = self.note_end(task).await;
        if noted.is_err() {
            self.stored.record = before;
        }
        noted?;
        let ActivationTask { engine, definitions, activation, .. } = task;
        let app = &definitions.app.id;
        let numbers: BTreeSet<u64> =
            self.stored.record.ended.iter().map(|delivery| delivery.number).collect();
        engine.activations.failed_rows.keep(app, &activation.name, numbers).await?;
        engine.crowds.sweep_sets(app, &prefix(&activation.name)).await?;
        Ok(())
    }

    async fn note_end(&mut self, task: &ActivationTask) -> Result<()> {
        let ActivationTask { engine, definitions, activation, .. } = task;
        let (app, crowds) = (&definitions.app.id, &engine.crowds);
        let mut delivery = self.delivery()?.clone();
        let former = self.stored.record.held.clone();
        let gone = former.iter().map(|held| held.set.clone());
        let gone: Vec<String> = gone.chain(self.stored.record.unsure.clone()).collect();
        let numbering = crowds.numbering(app).await;
        let mut changes = crowds.let_go_of_sets(app, gone.iter().map(String::as_str)).await?;
        self.stored.record.unsure = None;
        if delivery.failed > 0 {
            let ids =
                engine.activations.failed_rows.ids(app, &activation.name, delivery.number).await?;
            let (entered, left) = (self.entered.clone(), self.left.clone());
            let doubtful = blocking::<_, Error>(move || {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let all = entered.and_also(&left).unwrap_or(entered);
                Ok(all.with_ids(&ids)?)
            })
            .await?;
            let name = format!("{}{}.unsure", prefix(&activation.name), delivery.number);
            changes.push(crowds.keep_set(app, &name, &doubtful).await?);
            self.stored.record.unsure = Some(name);
        }
        delivery.state = DeliveryState::Succeeded;
        delivery.ended_ms = Some(engine.clock.now_ms());
        self.stored.record.held = Some(Held {
            number: delivery.number,
            version: delivery.version,
            destination: delivery.destination.clone(),
            set: delivery.set.clone(),
        });
        self.stored.record.failures = 0;
        self.stored.record.problem = None;
        self.stored.record.current = None;
        self.stored.record.end(delivery);
        self.stored.save(engine, changes).await?;
        drop(numbering);
        Ok(())
    }
}

fn after_phase(cursor: Cursor) -> Cursor {
    let phase = match cursor.phase {
        Phase::Left => Phase::Entered,
        Phase::Entered | Phase::End => Phase::End,
    };
    Cursor { phase, from: 0, ..cursor }
}
