//! The change feed as server-sent events.

use crate::{Problem, values};
use axum::response::sse::Event;
use futures::Stream;
use jiff::tz::TimeZone;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;
use taghouse_engine::clock_text::local;
use taghouse_feed::{Change, FeedReader, Record};
use taghouse_wire::{CrowdEvent, FeedKind, FeedRecord};

/// How often a reader who gets no record is told that the connection is alive, and up to where
/// nothing was for it.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Which records somebody wants.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Of these tags, …
    pub(crate) tags: BTreeSet<String>,
    /// … and of these crowds; where neither is named, all.
    pub(crate) crowds: BTreeSet<String>,
    /// Tags that the reader may not see, …
    pub(crate) hidden_tags: BTreeSet<String>,
    /// … and crowds.
    pub(crate) hidden_crowds: BTreeSet<String>,
}

impl Wanted {
    /// Deletions of users concern everybody.
    fn includes(&self, change: &Change) -> bool {
        let all = self.tags.is_empty() && self.crowds.is_empty();
        match change {
            Change::Tag { tag, .. } | Change::TagPublished { tag } => match all {
                true => !self.hidden_tags.contains(tag.as_str()),
                false => self.tags.contains(tag.as_str()),
            },
            Change::Entered { crowd, .. }
            | Change::Exited { crowd, .. }
            | Change::CrowdPublished { crowd, .. } => match all {
                true => !self.hidden_crowds.contains(crowd.as_str()),
                false => self.crowds.contains(crowd.as_str()),
            },
            Change::UserDeleted { .. } => true,
        }
    }
}

/// A reader of the feed and what it wants.
pub(crate) struct Subscription {
    pub(crate) reader: FeedReader,
    pub(crate) wanted: Wanted,
    pub(crate) zone: TimeZone,
    /// So many records, and it is over; `None`: no end.
    pub(crate) left: Option<u64>,
    /// Whether to wait for what comes.
    pub(crate) follow: bool,
    read: VecDeque<Record>,
    /// The id told last.
    told: u64,
    is_over: bool,
}

impl Subscription {
    pub(crate) fn new(
        reader: FeedReader,
        wanted: Wanted,
        zone: TimeZone,
        left: Option<u64>,
        follow: bool,
    ) -> Self {
        let told = reader.after();
        let read = VecDeque::new();
        Self { reader, wanted, zone, left, follow, read, told, is_over: false }
    }

    /// The events, as they come. A reader who takes none costs a frame of records.
    pub(crate) fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut subscription| async move {
            let event = subscription.next().await?;
            Some((Ok(event), subscription))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.is_over || self.left == Some(0) {
                return None;
            }
            if let Some(record) = self.read.pop_front() {
                self.left = self.left.map(|left| left - 1);
                self.told = record.id;
                return Some(event(&record, &self.zone));
            }
            if self.reader.is_ending() {
                return None;
            }
            match self.reader.read().await {
                Ok(records) if records.is_empty() => {
                    if let Some(alive) = self.wait().await {
                        return Some(alive);
                    }
                }
                Ok(records) => {
                    let wanted = |record: &Record| self.wanted.includes(&record.change);
                    self.read = records.into_iter().filter(wanted).collect();
                }
                Err(error) => {
                    self.is_over = true;
                    let problem = Problem::from(error);
                    return Some(json(Event::default().event("error"), &problem));
                }
            }
        }
    }

    /// Waits for records. What is said meanwhile, so that the connection is known to be alive, and
    /// the reader to go on behind what was not for it.
    async fn wait(&mut self) -> Option<Event> {
        if !self.follow {
            self.is_over = true;
            return self.seen();
        }
        match tokio::time::timeout(ALIVE_EVERY, self.reader.wait()).await {
            Ok(more) => {
                self.is_over = !more;
                None
            }
            Err(_) => Some(self.seen().unwrap_or_else(|| Event::default().comment("alive"))),
        }
    }

    /// An id without a record: nobody is told of it, and a reader who comes back begins there.
    fn seen(&mut self) -> Option<Event> {
        let after = self.reader.after();
        (after != self.told).then(|| {
            self.told = after;
            Event::default().id(after.to_string()).comment("nothing more up to here")
        })
    }
}

fn event(record: &Record, zone: &TimeZone) -> Event {
    let body = body(record, zone);
    let kind = match body.kind {
        FeedKind::Tag => "tag",
        FeedKind::TagPublished => "tag_published",
        FeedKind::Crowd => "crowd",
        FeedKind::CrowdPublished => "crowd_published",
        FeedKind::UserDeleted => "user_deleted",
    };
    json(Event::default().event(kind).id(record.id.to_string()), &body)
}

fn json(event: Event, body: &impl serde::Serialize) -> Event {
    // Only a map with keys that are not texts could fail.
    let text = serde_json::to_string(body).unwrap_or_default();
    event.data(text)
}

fn body(record: &Record, zone: &TimeZone) -> FeedRecord {
    let mut body = FeedRecord {
        id: record.id,
        kind: FeedKind::Tag,
        user: None,
        tag: None,
        value: None,
        crowd: None,
        event: None,
        version: None,
        as_of: local(record.at_ms, zone),
        position: record.position,
    };
    match &record.change {
        Change::Tag { user, tag, value } => {
            body.user = Some(user.to_string());
            body.tag = Some(tag.to_string());
            body.value = Some(value.as_ref().map_or(serde_json::Value::Null, values::value));
        }
        Change::TagPublished { tag } => {
            body.kind = FeedKind::TagPublished;
            body.tag = Some(tag.to_string());
        }
        Change::Entered { user, crowd, version } | Change::Exited { user, crowd, version } => {
            let entered = matches!(record.change, Change::Entered { .. });
            body.kind = FeedKind::Crowd;
            body.user = Some(user.to_string());
            body.crowd = Some(crowd.to_string());
            body.event = Some(if entered { CrowdEvent::Enter } else { CrowdEvent::Exit });
            body.version = Some(*version);
        }
        Change::CrowdPublished { crowd, version } => {
            body.kind = FeedKind::CrowdPublished;
            body.crowd = Some(crowd.to_string());
            body.version = Some(*version);
        }
        Change::UserDeleted { user } => {
            body.kind = FeedKind::UserDeleted;
            body.user = Some(user.to_string());
        }
    }
    body
}
