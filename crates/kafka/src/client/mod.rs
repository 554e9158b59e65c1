//! The thread of a reader: it polls, appends, and commits what has landed.

mod context;
mod partitions;

use crate::settings::settings;
use crate::status::{About, Board};
use crate::{Error, ReaderParts, ReaderState, Result};
use context::Context;
use partitions::{Partitions, Sighting};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use std::time::{Duration, Instant};
use taghouse_disk::caught;
use taghouse_ingest::{LogRecord, TopicPlace, TopicPosition, landed, topic_progress};
use taghouse_log::MAX_APPEND_BYTES;
use taghouse_rules::SettingOf;
use taghouse_sink::Secrets;
use tokio_util::sync::CancellationToken;

/// How long one look for records takes, so that a reader soon notices that it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// How long records are gathered for one append.
const GATHER: Duration = Duration::from_millis(20);
/// Records of one append.
const GATHERED: usize = 10_000;
/// Bytes of one append; one more record, of a mebibyte at most, fits besides.
const GATHERED_BYTES: usize = MAX_APPEND_BYTES / 4;
/// How often it is looked at what has landed.
const TICK: Duration = Duration::from_secs(1);
/// How long the reader waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it waits where its settings or the client are wrong.
const OPEN_AGAIN: Duration = Duration::from_secs(10);
/// As many records may wait to land: beyond it nothing is read until half of them have landed.
const AHEAD: u64 = 500_000;

type Client = BaseConsumer<Context>;

/// Reads until it is told to stop.
pub(crate) fn read(
    parts: &ReaderParts,
    group: &str,
    board: &std::sync::Arc<Board>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let read =
            caught(|| Reader::open(parts, group, board, stop).and_then(|mut reader| reader.read()));
        let error = match read {
            Ok(Ok(())) => break,
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => format!("the client broke off: {panicked}"),
        };
        board.problem(About::Settings, &error);
        board.set_state(ReaderState::Connecting);
        pause(stop, OPEN_AGAIN);
    }
    board.set_partitions(Vec::new());
    board.set_state(ReaderState::Stopped);
}

/// Waits, but not longer than until it is to stop.
fn pause(stop: &CancellationToken, time: Duration) {
    let until = Instant::now() + time;
    while !stop.is_cancelled() && Instant::now() < until {
        std::thread::sleep(POLL.min(time));
    }
}

/// A record on its way into the log.
struct Gathered {
    sighting: Sighting,
    position: TopicPosition,
    record: Vec<u8>,
}

struct Reader<'r> {
    parts: &'r ReaderParts,
    board: &'r Board,
    stop: &'r CancellationToken,
    client: Client,
    gathered: Vec<Gathered>,
    bytes: usize,
    ticked: Instant,
    /// Nothing is fetched: the log takes nothing, or too much waits to land.
    paused: bool,
}

impl<'r> Reader<'r> {
    fn open(
        parts: &'r ReaderParts,
        group: &str,
        board: &'r std::sync::Arc<Board>,
        stop: &'r CancellationToken,
    ) -> Result<Self> {
        let progress =
            parts.runtime.block_on(topic_progress(parts.catalog.as_ref(), &parts.app))?;
        let taken = progress
            .get(parts.source.as_str())
            .and_then(|progress| progress.positions.get(&parts.topic.topic));
        let partitions = Partitions::new(taken.cloned().unwrap_or_default());
        let context = Context::new(parts, board.clone(), partitions);
        let mut config = ClientConfig::new();
        let member = format!("taghouse-{}-{}", parts.source, parts.identity);
        let secrets = Secrets::of_process(SettingOf::Kafka);
        for (name, value) in settings(&secrets, group.to_owned(), member, &parts.topic)? {
            config.set(name, value);
        }
        let client: Client = config.create_with_context(context).map_err(|error| match error {
            KafkaError::ClientConfig(_, _, setting, _) => Error::Setting { setting },
            error => Error::Client(error.to_string()),
        })?;
        let topic = parts.topic.topic.as_str();
        client.subscribe(&[topic]).map_err(|error| Error::Client(error.to_string()))?;
        board.solved(About::Settings);
        let (gathered, ticked) = (Vec::new(), Instant::now());
        Ok(Self { parts, board, stop, client, gathered, bytes: 0, ticked, paused: false })
    }

    fn read(&mut self) -> Result<()> {
        while !self.stop.is_cancelled() {
            self.gather(POLL)?;
            self.append()?;
            self.client.context().assess(&self.client);
            self.tick();
        }
        self.client.context().commit_taken(&self.client);
        Ok(())
    }

    /// Gathers what comes, for a moment after the first.
    fn gather(&mut self, wait: Duration) -> Result<()> {
        let mut until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.poll(left) {
                Some(Ok(message)) => {
                    if self.gathered.is_empty() {
                        until = Instant::now() + GATHER;
                    }
                    if let Some(gathered) = self.taken(&message)? {
                        self.bytes += gathered.record.len();
                        self.gathered.push(gathered);
                    }
                }
                Some(Err(error)) => self.failed(&error)?,
                None => {}
            }
            let is_full = self.gathered.len() >= GATHERED || self.bytes >= GATHERED_BYTES;
            if is_full || left.is_zero() {
                return Ok(());
            }
        }
    }

    /// The record for the log, unless the message was taken before or is not for this reader.
    fn taken(&self, message: &BorrowedMessage<'_>) -> Result<Option<Gathered>> {
        let time_ms = message.timestamp().to_millis();
        let (partition, offset) = (message.partition(), message.offset());
        let sighting = self.client.context().partitions.lock().see(partition, offset, time_ms);
        let Some(sighting) = sighting else { return Ok(None) };
        let place = TopicPlace {
            source: self.parts.source.to_string(),
            topic: message.topic().to_owned(),
            partition,
            offset,
            incarnation: sighting.incarnation,
            time_ms,
        };
        let now_ms = self.parts.clock.now_ms();
        let record = LogRecord::of_topic(now_ms, place, message.key(), message.payload())
            .map_err(|error| Error::Client(error.to_string()))?;
        let incarnation = sighting.incarnation;
        let position = TopicPosition { offset, incarnation, time_ms };
        Ok(Some(Gathered { sighting, position, record }))
    }

    fn failed(&self, error: &KafkaError) -> Result<()> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(Error::Client(error.to_string())),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => {
                self.client.context().partitions.lock().assess_all();
                Ok(())
            }
            // The context was told of it, in more words.
            _ => Ok(()),
        }
    }

    /// Appends what was gathered, however long that takes; on the disk when it returns. Meanwhile
    /// the group is served, for a member that is silent is shut out.
    fn append(&mut self) -> Result<()> {
        while !self.gathered.is_empty() {
            let context = self.client.context();
            // Others read on what was taken away meanwhile.
            let partitions = context.partitions.lock();
            self.gathered.retain(|gathered| partitions.holds(&gathered.sighting));
            drop(partitions);
            let records = self.gathered.iter().map(|gathered| gathered.record.clone()).collect();
            let ReaderParts { app, log, runtime, .. } = self.parts;
            match runtime.block_on(log.append(app, records)) {
                Ok(_) => {
                    let mut partitions = context.partitions.lock();
                    for Gathered { sighting, position, .. } in &self.gathered {
                        partitions.appended(sighting.partition, *position);
                    }
                    drop(partitions);
                    self.board.appended(self.gathered.len());
                    self.board.solved(About::Log);
                    self.gathered.clear();
                    self.bytes = 0;
                }
                Err(error) => {
                    let told = format!("the log takes no records, so none are read: {error}");
                    self.board.problem(About::Log, &told);
                    self.pause(true);
                    if self.stop.is_cancelled() {
                        // What is not in the log is not committed, and is read again.
                        self.gathered.clear();
                    }
                    self.gather(AGAIN)?;
                }
            }
        }
        Ok(())
    }

    /// Commits what has landed, and reads on or waits by how much has not.
    fn tick(&mut self) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        let ReaderParts { app, source, topic, catalog, log, runtime, .. } = self.parts;
        let progress = runtime.block_on(topic_progress(catalog.as_ref(), app));
        let ahead = runtime.block_on(async {
            let (end, landed) = (log.end(app).await, landed(catalog.as_ref(), app).await);
            Some(end.ok()?.saturating_sub(landed.ok()?))
        });
        if let Ok(progress) = progress
            && let Some(positions) = progress
                .get(source.as_str())
                .and_then(|progress| progress.positions.get(&topic.topic))
        {
            self.client.context().commit_landed(&self.client, positions);
        }
        match ahead {
            Some(ahead) if ahead >= AHEAD => {
                self.board.problem(
                    About::Landing,
                    &format!("{ahead} records of the log wait to land, so no more are read"),
                );
                self.pause(true);
            }
            Some(ahead) if ahead < AHEAD / 2 => {
                self.board.solved(About::Landing);
                self.pause(false);
            }
            _ => {}
        }
        let context = self.client.context();
        self.board.set_partitions(context.partitions.lock().status());
        let state = match (self.paused, context.is_member()) {
            (true, _) => ReaderState::Waiting,
            (false, true) => ReaderState::Reading,
            (false, false) => ReaderState::Connecting,
        };
        self.board.set_state(state);
    }

    fn pause(&mut self, pause: bool) {
        // Partitions that came while it was paused are fetched from: each time it is said again.
        if !pause && !self.paused {
            return;
        }
        self.paused = pause;
        let done = self.client.assignment().and_then(|assignment| match pause {
            true => self.client.pause(&assignment),
            false => self.client.resume(&assignment),
        });
        if let Err(error) = done {
            tracing::debug!(%error, "a pause of a topic");
        }
    }
}

/// How a commit is made: one that is waited for takes long where no broker answers.
fn mode(reachable: bool) -> CommitMode {
    if reachable { CommitMode::Sync } else { CommitMode::Async }
}
