//! What the client tells of: partitions given and taken away, errors, figures.

use super::mode;
use super::partitions::{Assess, Partitions};
use crate::ReaderParts;
use crate::begin::{Begin, Committed, Facts, begin};
use crate::status::{About, Board};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use taghouse_ingest::TopicPosition;
use taghouse_rules::StartAt;

/// How long the cluster may take to say what a partition holds.
const ASK: Duration = Duration::from_secs(5);

/// What the client's events act on.
pub(crate) struct Context {
    board: Arc<Board>,
    topic: String,
    start: StartAt,
    /// Stands beside each commit of this data folder.
    identity: String,
    pub(crate) partitions: Mutex<Partitions>,
    /// A broker answers.
    reachable: AtomicBool,
    /// The group has given it its partitions, be it none.
    member: AtomicBool,
}

impl Context {
    pub(crate) fn new(parts: &ReaderParts, board: Arc<Board>, partitions: Partitions) -> Self {
        Self {
            board,
            topic: parts.topic.topic.clone(),
            start: parts.topic.start,
            identity: parts.identity.clone(),
            partitions: Mutex::new(partitions),
            reachable: AtomicBool::new(false),
            member: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_member(&self) -> bool {
        self.member.load(Ordering::Relaxed) && self.reachable.load(Ordering::Relaxed)
    }

    /// Finds out where to read on, of the partitions of which that is not known. What fails is
    /// tried again.
    pub(crate) fn assess(&self, consumer: &BaseConsumer<Self>) {
        let open = self.partitions.lock().to_assess();
        let mut begins = BTreeMap::new();
        for (partition, Assess { is_other }) in open {
            match self.facts(consumer, partition, is_other) {
                Ok(facts) => _ = begins.insert(partition, begin(&facts)),
                Err(error) => return self.unassessed(partition, &error),
            }
        }
        if begins.is_empty() {
            return;
        }
        if let Err(error) = self.read_from(consumer, &begins) {
            let first = begins.keys().next().copied().unwrap_or_default();
            return self.unassessed(first, &error);
        }
        for (partition, begin) in &begins {
            self.tell(begin, *partition);
            self.partitions.lock().assessed(*partition, begin);
        }
        self.board.solved(About::Topic);
    }

    fn unassessed(&self, partition: i32, error: &KafkaError) {
        let topic = &self.topic;
        let detail = format!(
            "topic {topic}, partition {partition}: it is not known from where to read on: {error}"
        );
        self.board.problem(About::Topic, &detail);
    }

    /// Gives the partitions to the client once more, to be read from elsewhere: one whose offset was
    /// refused cannot be sought.
    fn read_from(
        &self,
        consumer: &BaseConsumer<Self>,
        begins: &BTreeMap<i32, Begin>,
    ) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(begins.len());
        for (partition, begin) in begins {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(begin.offset))?;
        }
        if let RebalanceProtocol::Cooperative = consumer.rebalance_protocol() {
            consumer.incremental_unassign(&list)?;
            return consumer.incremental_assign(&list);
        }
        for (partition, next) in self.partitions.lock().next() {
            if !begins.contains_key(&partition) {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(next))?;
            }
        }
        consumer.assign(&list)
    }

    /// Commits what has landed.
    pub(crate) fn commit_landed(
        &self,
        consumer: &BaseConsumer<Self>,
        landed: &BTreeMap<i32, TopicPosition>,
    ) {
        let offsets = self.partitions.lock().landed(landed);
        self.commit(consumer, &offsets, CommitMode::Async);
    }

    /// Commits what is in the log: others, or the next reader, go on behind it.
    pub(crate) fn commit_taken(&self, consumer: &BaseConsumer<Self>) {
        let offsets = self.partitions.lock().taken(None);
        self.commit(consumer, &offsets, mode(self.reachable.load(Ordering::Relaxed)));
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, offsets: &[(i32, i64)], mode: CommitMode) {
        if offsets.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let mut element = list.add_partition(&self.topic, *partition);
            element.set_metadata(&self.identity);
            // An offset can always be written there.
            let _ = element.set_offset(Offset::Offset(*offset));
        }
        if let Err(error) = consumer.commit(&list, mode) {
            // What was taken is known here too: nothing is read twice for it.
            tracing::debug!(%error, topic = self.topic, "a commit failed");
        }
    }

    fn facts(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: i32,
        is_other: bool,
    ) -> KafkaResult<Facts> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, partition);
        let committed = consumer.committed_offsets(asked, ASK)?;
        let committed = committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => {
                Some(Committed { offset, ours: element.metadata() == self.identity })
            }
            _ => None,
        });
        let (low, high) = consumer.fetch_watermarks(&self.topic, partition, ASK)?;
        let own = self.partitions.lock().own(partition);
        Ok(Facts { own, committed, low, high, start: self.start, is_other })
    }

    fn tell(&self, begin: &Begin, partition: i32) {
        if let Some(remark) = &begin.remark {
            self.board.remark(&remark.told(&self.topic, partition));
        }
    }

    fn given(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut from = TopicPartitionList::new();
        let mut to_commit = Vec::new();
        for partition in partitions_of(list) {
            let facts = self.facts(consumer, partition, false);
            let offset = match &facts {
                Ok(facts) => {
                    let begin = begin(facts);
                    if facts.own.is_none() && facts.committed.is_none() {
                        // What comes before it is read counts, should this one end meanwhile.
                        to_commit.push((partition, begin.offset));
                    }
                    self.tell(&begin, partition);
                    self.partitions.lock().assign(partition, Some(&begin));
                    Offset::Offset(begin.offset)
                }
                Err(error) => {
                    tracing::debug!(%error, topic = self.topic, partition, "where to read is asked again");
                    self.partitions.lock().assign(partition, None);
                    Offset::Stored
                }
            };
            // An offset can always be written there.
            let _ = from.add_partition_offset(&self.topic, partition, offset);
        }
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&from),
            _ => consumer.assign(&from),
        };
        self.note(done);
        self.commit(consumer, &to_commit, CommitMode::Async);
        self.member.store(true, Ordering::Relaxed);
        if !self.partitions.lock().is_empty() {
            self.board.solved(About::Topic);
        }
    }

    fn taken_away(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions_of(list);
        if !consumer.assignment_lost() {
            let offsets = self.partitions.lock().taken(Some(&partitions));
            self.commit(consumer, &offsets, mode(self.reachable.load(Ordering::Relaxed)));
        }
        for partition in partitions {
            self.partitions.lock().revoke(partition);
        }
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        };
        self.note(done);
    }

    fn note(&self, done: KafkaResult<()>) {
        if let Err(error) = done {
            self.board.problem(About::Other, &format!("the group's partitions: {error}"));
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl ClientContext for Context {
    /// What matters comes as an error too.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        // The group's coordinator, bootstrap servers and brokers: any of them.
        let reachable = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.reachable.store(reachable, Ordering::Relaxed);
        if reachable {
            self.board.solved(About::Cluster);
        }
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let mut partitions = self.partitions.lock();
        for (partition, figures) in &topic.partitions {
            let end = figures.ls_offset.max(figures.hi_offset);
            if end >= 0 {
                partitions.ends(*partition, end);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let about = match code {
            // It is found out where to read on.
            Some(RDKafkaErrorCode::AutoOffsetReset) => return,
            // Why each of them is down was told before.
            Some(RDKafkaErrorCode::AllBrokersDown) if self.board.has(About::Cluster) => return,
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) => About::Topic,
            _ => About::Cluster,
        };
        let detail = match (about, code) {
            (About::Topic, Some(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                format!("topic {} may not be read: {reason}", self.topic)
            }
            (About::Topic, _) => {
                format!("there is no topic {} in the cluster: {reason}", self.topic)
            }
            _ => format!("the cluster: {reason}"),
        };
        self.board.problem(about, &detail);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.given(consumer, list),
            _ => self.taken_away(consumer, list),
        }
    }
}
