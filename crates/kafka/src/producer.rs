//! The task of a writer: records of the feed become events, and are remembered once the cluster
//! has acknowledged them.

use crate::settings::sink_settings;
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
use taghouse_feed::FeedReader;
use taghouse_rules::SettingOf;
use taghouse_sink::{Begun, Lost, Outgoing, Progress, Secrets, event, gap, includes, release};
use tokio_util::sync::CancellationToken;

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
    if let Err(error) = release(&parts.feeds, &parts.app, &parts.sink.name).await {
        board.remark(&error.to_string());
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
    progress: Progress,
    remembered_at: Instant,
}

impl<'w> Writer<'w> {
    async fn open(
        parts: &'w WriterParts,
        board: &'w Arc<Board>,
        sent: &'w AtomicU64,
    ) -> Result<Self> {
        let WriterParts { app, sink, topic, feeds, catalog, .. } = parts;
        // First, so that the feed keeps what is to be sent, also while a setting is wrong.
        let Begun { progress, reader, lost } = Progress::begin(app, sink, feeds, catalog).await?;
        let mut config = ClientConfig::new();
        for (name, value) in sink_settings(&Secrets::of_process(SettingOf::Kafka), topic)? {
            config.set(name, value);
        }
        let client: Client =
            config.create_with_context(Told(board.clone())).map_err(|error| match error {
                KafkaError::ClientConfig(_, _, setting, _) => Error::Setting { setting },
                error => Error::Client(error.to_string()),
            })?;
        let begins = reader.after();
        let remembered_at = Instant::now();
        let mut writer = Self { parts, board, sent, client, reader, progress, remembered_at };
        if let Some(lost) = lost {
            writer.tell_gap(lost).await?;
        }
        writer.sent.store(begins, Ordering::Relaxed);
        if writer.progress.remembered() != begins {
            writer.remember().await?;
        }
        board.solved(About::Settings);
        board.set_state(ReaderState::Reading);
        Ok(writer)
    }

    /// Tells subscribers, and people, that changes were lost.
    async fn tell_gap(&mut self, lost: Lost) -> Result<()> {
        self.board.remark(&lost.detail());
        let event = gap(&self.parts.app, lost, self.parts.clock.now_ms());
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
        let topic = self.parts.topic.topic.as_str();
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
        self.remembered_at = Instant::now();
        Ok(self.progress.remember(self.sent.load(Ordering::Relaxed)).await?)
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
