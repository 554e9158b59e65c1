//! Crowds that are sent to HTTP servers: users in signed batches, and a last request once all of them
//! are there.

use crate::client::{Attempt, Client};
use crate::destination::KnownDestination;
use crate::letter::Letter;
use crate::verdict::Verdict;
use crate::{Error, Webhooks};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value as Json, json};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use taghouse_activate::{Change, Failed, Member, Order, Piece, Result, Target, Totals};
use taghouse_rules::Webhook;

const PLACE: &str = "the receiver";
const CONTENT_TYPE: &str = "application/json";

/// An HTTP server during one delivery.
pub struct WebhookTarget {
    order: Order,
    destination: KnownDestination,
    client: Arc<Client>,
    batch_events: usize,
    batch_bytes: usize,
    parallel: usize,
    /// Of a piece that is sent again, the requests whose users are done with.
    done: HashSet<String>,
    /// And whom the receiver has not taken of it.
    failed: Vec<Failed>,
}

impl Webhooks {
    /// A delivery of a crowd to an HTTP server.
    pub fn target(&self, webhook: &Webhook, order: Order) -> WebhookTarget {
        WebhookTarget {
            order,
            destination: KnownDestination::new(webhook.clone()),
            client: self.client(),
            batch_events: webhook.batch_events,
            batch_bytes: webhook.batch_bytes,
            parallel: webhook.parallel,
            done: HashSet::new(),
            failed: Vec::new(),
        }
    }
}

/// Users of one request.
struct Batch<'p> {
    change: Change,
    members: &'p [Member],
    /// As JSON, in the same order.
    users: Vec<String>,
}

/// What came of one request.
enum Sent<'p> {
    /// Its users are done with.
    Done,
    /// The receiver does not take it: it is tried in halves.
    Halves([Batch<'p>; 2]),
    /// The receiver does not take the one user.
    Refused(Failed),
}

#[async_trait]
impl Target for WebhookTarget {
    fn piece_size(&self) -> usize {
        self.batch_events * self.parallel
    }

    fn resumes(&self) -> bool {
        true
    }

    fn is_whole(&self) -> bool {
        false
    }

    /// It cannot be asked, so what it has taken is taken to be there.
    async fn holds(&mut self, _: u64) -> Result<bool> {
        Ok(true)
    }

    async fn begin(&mut self) -> Result<bool> {
        self.done.clear();
        self.failed.clear();
        Ok(true)
    }

    async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>> {
        let mut waiting: VecDeque<Batch<'_>> = self.batches(piece).into();
        while !waiting.is_empty() {
            let some = waiting.len().min(self.parallel);
            let batches: Vec<_> = waiting.drain(..some).collect();
            let sent = join_all(batches.into_iter().map(|batch| self.attempt(batch))).await;
            let mut broken = None;
            for (id, sent) in sent {
                match sent {
                    Ok(Sent::Done) => _ = self.done.insert(id),
                    Ok(Sent::Halves(halves)) => waiting.extend(halves),
                    Ok(Sent::Refused(failed)) => {
                        self.done.insert(id);
                        self.failed.push(failed);
                    }
                    Err(error) => broken = Some(error),
                }
            }
            if let Some(error) = broken {
                return Err(error);
            }
        }
        self.done.clear();
        Ok(std::mem::take(&mut self.failed))
    }

    async fn finish(&mut self, totals: Totals) -> Result<()> {
        let mut body = self.heading();
        body["complete"] = json!({
            "entered": totals.entered,
            "left": totals.left,
            "failed": totals.failed,
            "members": totals.members,
        });
        let id = format!("{}-complete", self.id());
        let letter = Letter { id, content_type: CONTENT_TYPE, body: body.to_string().into() };
        let attempt = self.post(&letter).await?;
        match verdict(&attempt) {
            Verdict::Delivered => Ok(()),
            Verdict::Again => Err(unavailable(attempt)),
            Verdict::Refused | Verdict::Gone => Err(refused(attempt)),
        }
    }
}

impl WebhookTarget {
    fn id(&self) -> String {
        let Order { app, activation, number, .. } = &self.order;
        format!("{app}-{activation}-{number}")
    }

    /// What each request says of the delivery.
    fn heading(&self) -> Json {
        let Order { app, activation, crowd, version, number, since, .. } = &self.order;
        json!({
            "app": app.as_str(),
            "activation": activation.as_str(),
            "crowd": crowd.as_str(),
            "version": version,
            "delivery": number,
            "since": since,
        })
    }

    fn batches<'p>(&self, piece: Piece<'p>) -> Vec<Batch<'p>> {
        let (change, all) = (piece.change, piece.members);
        let mut batches = Vec::new();
        let (mut from, mut bytes, mut users) = (0, 0, Vec::new());
        for (i, member) in all.iter().enumerate() {
            let user = Json::Object(self.order.json(member)).to_string();
            let is_full = users.len() >= self.batch_events
                || (bytes + user.len() > self.batch_bytes && !users.is_empty());
            if is_full {
                let users = std::mem::take(&mut users);
                batches.push(Batch { change, members: &all[from..i], users });
                (from, bytes) = (i, 0);
            }
            bytes += user.len() + 1;
            users.push(user);
        }
        if !users.is_empty() {
            batches.push(Batch { change, members: &all[from..], users });
        }
        batches
    }

    /// Sends users once; with the id of the request.
    async fn attempt<'p>(&self, batch: Batch<'p>) -> (String, Result<Sent<'p>>) {
        // By who is in it: after a renumbering, or a deletion, the same place holds others.
        let mut who = xxhash_rust::xxh3::Xxh3::new();
        for member in batch.members {
            who.update(member.user_id.as_bytes());
            who.update(&[0]);
        }
        let (change, count) = (batch.change.as_str(), batch.members.len());
        let id = format!("{}-{change}-{count}-{:016x}", self.id(), who.digest());
        if self.done.contains(&id) {
            return (id, Ok(Sent::Done));
        }
        let letter = Letter { id: id.clone(), content_type: CONTENT_TYPE, body: self.body(&batch) };
        let sent = match self.post(&letter).await {
            Err(error) => Err(error),
            Ok(attempt) => match (verdict(&attempt), batch.members) {
                (Verdict::Delivered, _) => Ok(Sent::Done),
                (Verdict::Again, _) => Err(unavailable(attempt)),
                (Verdict::Gone, _) => Err(refused(attempt)),
                (Verdict::Refused, [member]) => Ok(Sent::Refused(Failed {
                    user_id: member.user_id.clone(),
                    change: batch.change,
                    reason: attempt.error.unwrap_or_default(),
                })),
                (Verdict::Refused, _) => Ok(Sent::Halves(batch.halves())),
            },
        };
        (id, sent)
    }

    fn body(&self, batch: &Batch<'_>) -> Bytes {
        let mut body = self.heading().to_string();
        // The heading's closing brace makes room for what follows.
        body.pop();
        body.push_str(&format!(",\"change\":\"{}\",\"users\":[", batch.change.as_str()));
        body.push_str(&batch.users.join(","));
        body.push_str("]}");
        body.into()
    }

    async fn post(&self, letter: &Letter) -> Result<Attempt> {
        match self.destination.current().await {
            Ok(destination) => Ok(self.client.post(&destination, letter).await),
            Err(Error::Sink(error)) => Err(error.into()),
            Err(error) => Err(taghouse_activate::Error::Unavailable {
                place: PLACE,
                detail: error.to_string(),
                wait: None,
            }),
        }
    }
}

impl<'p> Batch<'p> {
    fn halves(mut self) -> [Self; 2] {
        let (one, other) = self.members.split_at(self.members.len() / 2);
        let rest = self.users.split_off(one.len());
        let change = self.change;
        [
            Batch { change, members: one, users: self.users },
            Batch { change, members: other, users: rest },
        ]
    }
}

fn verdict(attempt: &Attempt) -> Verdict {
    attempt.status.map_or(Verdict::Again, Verdict::of)
}

fn unavailable(attempt: Attempt) -> taghouse_activate::Error {
    let detail = attempt.error.unwrap_or_default();
    taghouse_activate::Error::Unavailable { place: PLACE, detail, wait: attempt.retry_after }
}

fn refused(attempt: Attempt) -> taghouse_activate::Error {
    let detail = attempt.error.unwrap_or_default();
    taghouse_activate::Error::Refused { place: PLACE, detail }
}
