//! Where reading of a partition begins.

use taghouse_ingest::TopicPosition;
use taghouse_rules::StartAt;

/// What is known of a partition before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// The last record that this source took.
    pub(crate) own: Option<TopicPosition>,
    /// What the group's members have read.
    pub(crate) committed: Option<Committed>,
    /// The oldest offset that the topic holds.
    pub(crate) low: i64,
    /// The offset of the next record that is written.
    pub(crate) high: i64,
    pub(crate) start: StartAt,
    /// The topic is known to be another one than before.
    pub(crate) is_other: bool,
}

/// An offset that was committed: the next one to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// By this data folder, and not by another member of the group.
    pub(crate) ours: bool,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) offset: i64,
    pub(crate) incarnation: u32,
    /// The record at `offset` was taken, and is read again: if it is another one, so is the topic.
    pub(crate) check: Option<TopicPosition>,
    /// What somebody should know.
    pub(crate) remark: Option<Remark>,
}

/// What was noticed of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remark {
    /// The topic was deleted and made again: its offsets begin again.
    Other { taken: i64 },
    /// Records went before they were read.
    Gone { from: i64, to: i64 },
}

impl Remark {
    /// For people.
    pub(crate) fn told(&self, topic: &str, partition: i32) -> String {
        match self {
            Self::Other { taken } => format!(
                "topic {topic}, partition {partition}: the topic was made again, for it is not the one whose record {taken} was taken; it is read from its beginning"
            ),
            Self::Gone { from, to } => format!(
                "topic {topic}, partition {partition}: records {from} to {} were deleted from the topic before they were read",
                to - 1
            ),
        }
    }
}

/// Where to begin.
///
/// What was taken decides, not what was committed: that may be behind it (committed once it has
/// landed), or ahead of it (the data folder is a restored copy). Ahead of it is also what others of
/// the group have read meanwhile, and that is theirs.
pub(crate) fn begin(facts: &Facts) -> Begin {
    let Facts { own, committed, low, high, start, is_other } = *facts;
    let plain = |offset, incarnation| Begin { offset, incarnation, check: None, remark: None };
    let within = |offset: i64| (low..=high).contains(&offset);
    let Some(own) = own else {
        return match (committed, start) {
            (Some(read), _) if within(read.offset) => plain(read.offset, 0),
            (Some(read), _) if read.offset < low => {
                Begin { remark: Some(Remark::Gone { from: read.offset, to: low }), ..plain(low, 0) }
            }
            (Some(read), _) => {
                Begin { remark: Some(Remark::Other { taken: read.offset - 1 }), ..plain(low, 0) }
            }
            (None, StartAt::Earliest) => plain(low, 0),
            (None, StartAt::Latest) => plain(high, 0),
        };
    };
    let next = own.offset + 1;
    let of_others = committed.filter(|read| !read.ours).map(|read| read.offset);
    if is_other || high < next {
        // The group's offsets went with the topic: what is there is of the new one.
        let offset = of_others.filter(|offset| within(*offset)).unwrap_or(low);
        let remark = Some(Remark::Other { taken: own.offset });
        return Begin { remark, ..plain(offset, own.incarnation + 1) };
    }
    let from = of_others.filter(|offset| *offset > next && within(*offset)).unwrap_or(next);
    if from < low {
        let remark = Some(Remark::Gone { from, to: low });
        return Begin { remark, ..plain(low, own.incarnation) };
    }
    if from == next && own.offset >= low {
        return Begin { check: Some(own), ..plain(own.offset, own.incarnation) };
    }
    plain(from, own.incarnation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: TopicPosition = TopicPosition { offset: 9, incarnation: 2, time_ms: Some(5) };

    fn facts(
        own: Option<TopicPosition>,
        committed: Option<(i64, bool)>,
        low: i64,
        high: i64,
    ) -> Facts {
        let committed = committed.map(|(offset, ours)| Committed { offset, ours });
        Facts { own, committed, low, high, start: StartAt::Earliest, is_other: false }
    }

    #[test]
    fn nothing_was_taken_yet() {
        let at = |offset| Begin { offset, incarnation: 0, check: None, remark: None };
        assert_eq!(begin(&facts(None, None, 3, 20)), at(3));
        let latest = Facts { start: StartAt::Latest, ..facts(None, None, 3, 20) };
        assert_eq!(begin(&latest), at(20));
        assert_eq!(begin(&facts(None, Some((7, false)), 3, 20)), at(7));
        assert_eq!(
            begin(&Facts { start: StartAt::Latest, ..facts(None, Some((7, false)), 3, 20) }),
            at(7)
        );
        let gone = Some(Remark::Gone { from: 1, to: 3 });
        assert_eq!(begin(&facts(None, Some((1, false)), 3, 20)), Begin { remark: gone, ..at(3) });
        let other = Some(Remark::Other { taken: 29 });
        assert_eq!(begin(&facts(None, Some((30, false)), 3, 20)), Begin { remark: other, ..at(3) });
    }

    #[test]
    fn what_was_taken_decides() {
        let at = |offset, check: bool| Begin {
            offset,
            incarnation: 2,
            check: check.then_some(OWN),
            remark: None,
        };
        for (committed, low, begins) in [
            (None, 0, at(9, true)),
            (Some((4, true)), 0, at(9, true)),
            (Some((4, false)), 0, at(9, true)),
            // The folder was set back.
            (Some((15, true)), 0, at(9, true)),
            // Others have read on.
            (Some((15, false)), 0, at(15, false)),
            // The record that was taken last is gone, and nothing else.
            (None, 10, at(10, false)),
            (Some((99, false)), 0, at(9, true)),
        ] {
            assert_eq!(begin(&facts(Some(OWN), committed, low, 20)), begins, "{committed:?} {low}");
        }
        let gone = Some(Remark::Gone { from: 10, to: 12 });
        let begins = Begin { remark: gone, ..at(12, false) };
        assert_eq!(begin(&facts(Some(OWN), None, 12, 20)), begins);
    }

    #[test]
    fn a_topic_that_ends_before_what_was_taken_is_another() {
        let other = |offset| Begin {
            offset,
            incarnation: 3,
            check: None,
            remark: Some(Remark::Other { taken: 9 }),
        };
        assert_eq!(begin(&facts(Some(OWN), None, 0, 9)), other(0));
        assert_eq!(begin(&facts(Some(OWN), Some((10, true)), 0, 4)), other(0));
        assert_eq!(begin(&facts(Some(OWN), Some((2, false)), 0, 4)), other(2));
        assert_eq!(begin(&Facts { is_other: true, ..facts(Some(OWN), None, 0, 50) }), other(0));
        // An empty one is not told from one that was never written to.
        assert_eq!(begin(&facts(Some(OWN), None, 10, 10)).remark, None);
    }
}
