//! The task of a writer: records of the feed become events, and are remembered once the cluster
//! has acknowledged them.

use crate::cloud_event::{Outgoing, event, gap};
use crate::settings::{Secrets, sink_settings};
use crate::status::{About, Board};
use crate::{Error, ReaderState, Result, WriterParts};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::statistics::Statistics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use taghouse_catalog::{Change as Commit, Pointer};
use taghouse_feed::{Change, FeedReader, Start};
use taghouse_rules::{KafkaStart, SinkDefinition};
use tokio_util::sync::CancellationToken;

/// The catalog's pointer at what was sent, by name of the sink: value `{"sent": id}`.
const POINTER_KIND: &str = "sinks";
/// How long the writer waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(3);
/// How often at most it is written down what was sent, while more is sent.
const REMEMBER: Duration = Duration::from_millis(500);
/// How long a full queue of the client is waited for.
const QUEUE: Duration = Duration::from_millis(20);
/// The kind of a message's content, as CloudEvents says it of Kafka.
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

type Client = FutureProducer<Told>;

/// Writes until it is told to stop.
pub(crate) async fn write(
    parts: &WriterParts,
    board: &Arc<Board>,
    sent: &AtomicU64,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let written = async { Writer::open(parts, board, sent).await?.write(stop).await };
        if let Err(error) = written.await {
            board.problem(About::Settings, &error.to_string());
            board.set_state(ReaderState::Connecting);
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    board.set_state(ReaderState::Stopped);
}

struct Writer<'w> {
    parts: &'w WriterParts,
    board: &'w Board,
    /// The last record that needs not be sent any more.
    sent: &'w AtomicU64,
    client: Client,
    reader: FeedReader,
    /// The pointer's, as it is in the catalog.
    revision: Option<u64>,
    remembered: u64,
    remembered_at: Instant,
}

impl<'w> Writer<'w> {
    async fn open(
        parts: &'w WriterParts,
        board: &'w Arc<Board>,
        sent: &'w AtomicU64,
    ) -> Result<Self> {
        let WriterParts { app, sink, feeds, catalog, .. } = parts;
        let mut config = ClientConfig::new();
        for (name, value) in sink_settings(&Secrets::of_process(), &sink.topic)? {
            config.set(name, value);
        }
        let client: Client =
            config.create_with_context(Told(board.clone())).map_err(|error| match error {
                KafkaError::ClientConfig(_, _, setting, _) => Error::Setting { setting },
                error => Error::Client(error.to_string()),
            })?;
        let pointer = catalog.pointer(POINTER_KIND, app, sink.name.as_str()).await?;
        let of = |pointer: &Pointer| pointer.value.get("sent")?.as_u64();
        let known = pointer.as_ref().and_then(of);
        let start = match (known, sink.topic.start) {
            (Some(id), _) => Start::After(id),
            (None, KafkaStart::Earliest) => Start::Earliest,
            (None, KafkaStart::Latest) => Start::Latest,
        };
        let (reader, lost) = match feeds.reader(app, start).await {
            Ok(reader) => (reader, None),
            Err(taghouse_feed::Error::Gone { after, .. }) => {
                (feeds.reader(app, Start::Earliest).await?, Some(after))
            }
            Err(error) => return Err(error.into()),
        };
        let begins = reader.after();
        let mut writer = Self {
            parts,
            board,
            sent,
            client,
            reader,
            revision: pointer.map(|pointer| pointer.revision),
            remembered: known.unwrap_or(0),
            remembered_at: Instant::now(),
        };
        if let Some(after) = lost {
            writer.tell_gap(after, begins + 1).await?;
        }
        writer.sent.store(begins, Ordering::Relaxed);
        // A sink that begins with what comes does so after a restart, too.
        if known != Some(begins) {
            writer.remember().await?;
        }
        board.solved(About::Settings);
        board.set_state(ReaderState::Reading);
        Ok(writer)
    }

    /// Tells subscribers, and people, that changes were lost.
    async fn tell_gap(&mut self, after: u64, first: u64) -> Result<()> {
        let lost = format!(
            "the changes from {} to {} were not kept until they were sent: read the current values",
            after + 1,
            first - 1
        );
        self.board.remark(&lost);
        let event = gap(&self.parts.app, after, first, self.parts.clock.now_ms());
        self.send(&[event]).await
    }

    async fn write(&mut self, stop: &CancellationToken) -> Result<()> {
        let ended = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                written = self.write_some() => if let Err(error) = written { break Err(error) },
            }
        };
        self.remember().await?;
        ended
    }

    /// Sends what the feed has next, or waits for more. Dropped, it has sent some perhaps, which
    /// will be sent again.
    async fn write_some(&mut self) -> Result<()> {
        let WriterParts { app, sink, .. } = self.parts;
        let records = self.reader.read().await?;
        let Some(last) = records.last().map(|record| record.id) else {
            self.remember().await?;
            if !self.reader.wait().await {
                // The process ends, and so does this.
                std::future::pending::<()>().await;
            }
            return Ok(());
        };
        let wanted = records.iter().filter(|record| includes(sink, &record.change));
        let events: Vec<Outgoing> = wanted.map(|record| event(app, record)).collect();
        self.send(&events).await?;
        self.sent.store(last, Ordering::Relaxed);
        if self.remembered_at.elapsed() >= REMEMBER {
            self.remember().await?;
        }
        Ok(())
    }

    /// Sends events, and returns when all are acknowledged.
    async fn send(&self, events: &[Outgoing]) -> Result<()> {
        let topic = self.parts.sink.topic.topic.as_str();
        let failed = |error: &KafkaError| Error::Client(format!("topic {topic}: {error}"));
        let mut deliveries = Vec::with_capacity(events.len());
        for Outgoing { key, event } in events {
            let payload = event.to_string();
            let header = Header { key: "content-type", value: Some(CONTENT_TYPE) };
            let mut record = FutureRecord::<str, str>::to(topic)
                .payload(&payload)
                .headers(OwnedHeaders::new().insert(header));
            record.key = key.as_deref();
            loop {
                match self.client.send_result(record) {
                    Ok(delivery) => break deliveries.push(delivery),
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                        record = again;
                        tokio::time::sleep(QUEUE).await;
                    }
                    Err((error, _)) => return Err(failed(&error)),
                }
            }
        }
        for delivery in deliveries {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => return Err(failed(&error)),
                Err(_) => return Err(Error::Client("the client ended".to_owned())),
            }
        }
        self.board.appended(events.len());
        Ok(())
    }

    /// Writes down what was sent, and lets the feed go up to there.
    async fn remember(&mut self) -> Result<()> {
        let WriterParts { app, sink, feeds, catalog, .. } = self.parts;
        let sent = self.sent.load(Ordering::Relaxed);
        feeds.hold(app, sent).await?;
        self.remembered_at = Instant::now();
        if self.revision.is_some() && sent == self.remembered {
            return Ok(());
        }
        let commit = Commit::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name: sink.name.to_string(),
            expected: self.revision,
            value: serde_json::json!({ "sent": sent }),
        };
        catalog.commit(vec![commit]).await?;
        let pointer = catalog.pointer(POINTER_KIND, app, sink.name.as_str()).await?;
        self.revision = pointer.map(|pointer| pointer.revision);
        self.remembered = sent;
        Ok(())
    }
}

/// Whether the sink wants the change. Deletions of users concern everybody.
fn includes(sink: &SinkDefinition, change: &Change) -> bool {
    if sink.tags.is_empty() && sink.crowds.is_empty() {
        return true;
    }
    match change {
        Change::Tag { tag, .. } | Change::TagPublished { tag } => sink.tags.contains(tag.as_str()),
        Change::Entered { crowd, .. }
        | Change::Exited { crowd, .. }
        | Change::CrowdPublished { crowd, .. } => sink.crowds.contains(crowd.as_str()),
        Change::UserDeleted { .. } => true,
    }
}

/// What the client tells of.
struct Told(Arc<Board>);

impl ClientContext for Told {
    /// What matters comes as an error too.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.0.solved(About::Cluster);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !(down && self.0.has(About::Cluster)) {
            self.0.problem(About::Cluster, &format!("the cluster: {reason}"));
        }
    }
}
