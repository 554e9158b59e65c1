//! What a reader knows of its topic's partitions.

use crate::PartitionStatus;
use crate::begin::Begin;
use std::collections::BTreeMap;
use taghouse_ingest::TopicPosition;
use taghouse_model::TimestampMs;

/// The partitions of a topic.
pub(crate) struct Partitions {
    /// The last record of each that is in the log.
    taken: BTreeMap<i32, TopicPosition>,
    /// Those that this reader was given.
    assigned: BTreeMap<i32, Assigned>,
    /// How often a partition was given.
    sessions: u64,
}

/// A partition that the reader was given.
struct Assigned {
    session: u64,
    incarnation: u32,
    /// The next offset that is taken.
    next: i64,
    /// The record that comes first was taken; it is another one where the topic is.
    check: Option<TopicPosition>,
    /// It is to be found out where to read on; until then nothing is taken.
    assess: Option<Assess>,
    /// What was committed last.
    committed: i64,
    /// The offset behind the topic's last record.
    high: Option<i64>,
}

/// What is to be found out of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assess {
    /// The topic is another one than before.
    pub(crate) is_other: bool,
}

/// A record that is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) partition: i32,
    session: u64,
    pub(crate) incarnation: u32,
}

impl Partitions {
    pub(crate) fn new(taken: BTreeMap<i32, TopicPosition>) -> Self {
        Self { taken, assigned: BTreeMap::new(), sessions: 0 }
    }

    /// The last record of the partition that is in the log.
    pub(crate) fn own(&self, partition: i32) -> Option<TopicPosition> {
        self.taken.get(&partition).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.assigned.is_empty()
    }

    /// The partition is the reader's, from there on. `None`: it is to be found out from where.
    pub(crate) fn assign(&mut self, partition: i32, begin: Option<&Begin>) {
        self.sessions += 1;
        let own = self.own(partition);
        let assigned = Assigned {
            session: self.sessions,
            incarnation: begin.map_or(own.map_or(0, |own| own.incarnation), |b| b.incarnation),
            next: begin.map_or(0, |begin| begin.offset),
            check: begin.and_then(|begin| begin.check),
            assess: begin.is_none().then_some(Assess { is_other: false }),
            committed: i64::MIN,
            high: None,
        };
        self.assigned.insert(partition, assigned);
    }

    /// The partition is another's.
    pub(crate) fn revoke(&mut self, partition: i32) {
        self.assigned.remove(&partition);
    }

    /// Whether the record is to be taken.
    pub(crate) fn see(
        &mut self,
        partition: i32,
        offset: i64,
        time_ms: Option<TimestampMs>,
    ) -> Option<Sighting> {
        let assigned = self.assigned.get_mut(&partition)?;
        if assigned.assess.is_some() || offset < assigned.next {
            return None;
        }
        if let Some(own) = assigned.check.take()
            && own.offset == offset
        {
            assigned.next = offset + 1;
            if own.time_ms != time_ms {
                assigned.assess = Some(Assess { is_other: true });
            }
            return None;
        }
        assigned.next = offset + 1;
        let Assigned { session, incarnation, .. } = *assigned;
        Some(Sighting { partition, session, incarnation })
    }

    /// Whether the partition was not taken away since.
    pub(crate) fn holds(&self, sighting: &Sighting) -> bool {
        self.assigned
            .get(&sighting.partition)
            .is_some_and(|assigned| assigned.session == sighting.session)
    }

    /// The record is in the log.
    pub(crate) fn appended(&mut self, partition: i32, position: TopicPosition) {
        self.taken.insert(partition, position);
    }

    /// Where to read on is to be found out of all.
    pub(crate) fn assess_all(&mut self) {
        for assigned in self.assigned.values_mut() {
            assigned.assess.get_or_insert(Assess { is_other: false });
        }
    }

    /// The partitions of which it is to be found out.
    pub(crate) fn to_assess(&self) -> Vec<(i32, Assess)> {
        self.assigned
            .iter()
            .filter_map(|(partition, assigned)| Some((*partition, assigned.assess?)))
            .collect()
    }

    /// Of each partition the next offset that is taken.
    pub(crate) fn next(&self) -> Vec<(i32, i64)> {
        self.assigned.iter().map(|(partition, assigned)| (*partition, assigned.next)).collect()
    }

    /// It was found out.
    pub(crate) fn assessed(&mut self, partition: i32, begin: &Begin) {
        if let Some(assigned) = self.assigned.get_mut(&partition) {
            assigned.incarnation = begin.incarnation;
            assigned.next = begin.offset;
            assigned.check = begin.check;
            assigned.assess = None;
        }
    }

    /// What is in the log of these partitions, or of all, as offsets to commit.
    pub(crate) fn taken(&self, of: Option<&[i32]>) -> Vec<(i32, i64)> {
        self.assigned
            .iter()
            .filter(|(partition, _)| of.is_none_or(|of| of.contains(partition)))
            .filter_map(|(partition, assigned)| {
                let own = self.taken.get(partition)?;
                let is_new =
                    own.incarnation == assigned.incarnation && own.offset + 1 > assigned.committed;
                is_new.then_some((*partition, own.offset + 1))
            })
            .collect()
    }

    /// What has landed and was not committed yet, as offsets to commit; it counts as committed.
    pub(crate) fn landed(&mut self, landed: &BTreeMap<i32, TopicPosition>) -> Vec<(i32, i64)> {
        let mut commit = Vec::new();
        for (partition, assigned) in &mut self.assigned {
            let Some(position) = landed.get(partition) else { continue };
            let next = position.offset + 1;
            if position.incarnation == assigned.incarnation && next > assigned.committed {
                assigned.committed = next;
                commit.push((*partition, next));
            }
        }
        commit
    }

    /// The topic's partition ends there.
    pub(crate) fn ends(&mut self, partition: i32, high: i64) {
        if let Some(assigned) = self.assigned.get_mut(&partition) {
            assigned.high = Some(high);
        }
    }

    pub(crate) fn status(&self) -> Vec<PartitionStatus> {
        self.assigned
            .iter()
            .map(|(partition, assigned)| {
                // One that is read again to be checked is in the log.
                let next = assigned.next + i64::from(assigned.check.is_some());
                let lag = assigned.high.and_then(|high| u64::try_from((high - next).max(0)).ok());
                PartitionStatus { partition: *partition, next, lag }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, time_ms: i64) -> TopicPosition {
        TopicPosition { offset, incarnation: 0, time_ms: Some(time_ms) }
    }

    fn begin(offset: i64, check: Option<TopicPosition>) -> Begin {
        Begin { offset, incarnation: 0, check, remark: None }
    }

    fn checked() -> Partitions {
        let mut partitions = Partitions::new(BTreeMap::from([(0, at(9, 50))]));
        partitions.assign(0, Some(&begin(9, Some(at(9, 50)))));
        partitions
    }

    #[test]
    fn the_record_taken_last_is_read_again_and_tells_whether_the_topic_is_the_same() {
        let mut same = checked();
        assert_eq!(same.see(0, 9, Some(50)), None);
        assert!(same.see(0, 10, Some(60)).is_some());
        assert_eq!(same.see(0, 10, Some(60)), None, "delivered twice");
        assert_eq!(same.see(1, 10, Some(60)), None, "of another reader");

        let mut compacted = checked();
        assert!(compacted.see(0, 12, Some(60)).is_some());

        let mut other = checked();
        assert_eq!(other.see(0, 9, Some(51)), None);
        assert_eq!(other.see(0, 10, Some(60)), None, "until it is known where to read on");
        assert_eq!(other.to_assess(), [(0, Assess { is_other: true })]);
        other.assessed(0, &Begin { incarnation: 1, ..begin(0, None) });
        let sighting = other.see(0, 0, Some(70)).unwrap();
        assert_eq!(sighting.incarnation, 1);
    }

    #[test]
    fn what_was_gathered_before_a_partition_was_taken_away_is_dropped() {
        let mut partitions = checked();
        let before = partitions.see(0, 10, None).unwrap();
        assert!(partitions.holds(&before));
        partitions.revoke(0);
        assert!(!partitions.holds(&before));
        partitions.assign(0, Some(&begin(10, None)));
        assert!(!partitions.holds(&before), "it comes again");
        let again = partitions.see(0, 10, None).unwrap();
        assert!(partitions.holds(&again));
    }

    #[test]
    fn commits_are_of_what_landed_once_and_of_what_is_in_the_log_at_the_end() {
        let mut partitions = checked();
        assert_eq!(partitions.taken(None), [(0, 10)]);
        partitions.appended(0, at(12, 60));
        let landed = |offset| BTreeMap::from([(0, at(offset, 0)), (1, at(5, 0))]);
        assert_eq!(partitions.landed(&landed(11)), [(0, 12)]);
        assert_eq!(partitions.landed(&landed(11)), []);
        assert_eq!(partitions.taken(Some(&[0])), [(0, 13)]);
        assert_eq!(partitions.taken(Some(&[1])), []);
        assert_eq!(partitions.landed(&landed(12)), [(0, 13)]);
        assert_eq!(partitions.taken(None), []);
        partitions.assessed(0, &Begin { incarnation: 1, ..begin(0, None) });
        assert_eq!(partitions.taken(None), [], "of the topic before");
    }
}
