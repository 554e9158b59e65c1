//! What waits to be sent, by user.
//!
//! A user's changes are always in the same lane, and a lane has one batch under way: so they stay in
//! order, while the lanes together do not wait for the time that one answer takes. A change that is
//! about nobody alone, such as "read all values again", is a barrier: it is sent once all before it
//! is done, and what comes behind it waits for it.

use crate::batch::Pending;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    pub(crate) lanes: usize,
    pub(crate) batch_events: usize,
    pub(crate) batch_bytes: usize,
}

/// Events that wait in memory, at most; the feed has the rest.
const WAITING_EVENTS: usize = 20_000;
/// Their bytes, about.
const WAITING_BYTES: usize = 16 << 20;

/// An event that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waiting {
    /// The first record that is not done before it is.
    pub(crate) low: u64,
    /// When what it says came about.
    pub(crate) at_ms: i64,
}

impl Waiting {
    fn of(event: &Pending) -> Self {
        Self { low: event.low, at_ms: event.at_ms }
    }
}

struct Lane {
    queue: VecDeque<Pending>,
    /// The first event of the batch under way; `None`: there is none.
    under_way: Option<Waiting>,
    /// Events of a batch, after the receiver has refused larger ones.
    at_most: usize,
}

pub(crate) struct Lanes {
    limits: LaneLimits,
    lanes: Vec<Lane>,
    /// What waits until all lanes are empty; it goes through the first of them, …
    barrier: Vec<Pending>,
    /// … and meanwhile nothing else is taken.
    in_barrier: bool,
    waiting_events: usize,
    waiting_bytes: usize,
}

/// A batch to be sent.
pub(crate) struct Cut {
    pub(crate) lane: usize,
    pub(crate) events: Vec<Pending>,
}

impl Lanes {
    pub(crate) fn new(limits: LaneLimits) -> Self {
        let lane =
            || Lane { queue: VecDeque::new(), under_way: None, at_most: limits.batch_events };
        Self {
            limits,
            lanes: (0..limits.lanes).map(|_| lane()).collect(),
            barrier: Vec::new(),
            in_barrier: false,
            waiting_events: 0,
            waiting_bytes: 0,
        }
    }

    /// Whether an event of this key may be put in now.
    pub(crate) fn takes(&self, key: Option<&str>) -> bool {
        let is_room = self.waiting_events < WAITING_EVENTS && self.waiting_bytes < WAITING_BYTES;
        // Behind a barrier only what is part of it.
        is_room && !self.in_barrier && (self.barrier.is_empty() || key.is_none())
    }

    fn is_under_way(&self) -> bool {
        self.lanes.iter().any(|lane| lane.under_way.is_some())
    }

    /// Puts in an event that [`Lanes::takes`].
    pub(crate) fn put(&mut self, key: Option<&str>, event: Pending) {
        self.waiting_events += 1;
        self.waiting_bytes += event.json.len();
        match key {
            Some(user) => {
                let lane = xxh3_64(user.as_bytes()) % self.lanes.len() as u64;
                self.lanes[lane as usize].queue.push_back(event);
            }
            None => self.barrier.push(event),
        }
    }

    /// Takes a batch out that may be sent now, of any lane.
    pub(crate) fn cut(&mut self) -> Option<Cut> {
        let is_empty = self.lanes.iter().all(|lane| lane.queue.is_empty());
        if is_empty && !self.is_under_way() && !self.barrier.is_empty() {
            self.lanes[0].queue.extend(self.barrier.drain(..));
            self.in_barrier = true;
        }
        let free = |lane: &Lane| lane.under_way.is_none() && !lane.queue.is_empty();
        let lane = self.lanes.iter().position(free)?;
        let LaneLimits { batch_events, batch_bytes, .. } = self.limits;
        let Lane { queue, under_way, at_most } = &mut self.lanes[lane];
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(next) = queue.front() {
            let is_full = events.len() >= batch_events.min(*at_most)
                || bytes + next.json.len() > batch_bytes && !events.is_empty();
            if is_full {
                break;
            }
            bytes += next.json.len() + 1;
            self.waiting_events -= 1;
            self.waiting_bytes -= next.json.len();
            events.extend(queue.pop_front());
        }
        *under_way = events.first().map(Waiting::of);
        Some(Cut { lane, events })
    }

    /// The batch of a lane is done.
    pub(crate) fn done(&mut self, lane: usize) {
        let batch_events = self.limits.batch_events;
        let lane = &mut self.lanes[lane];
        lane.under_way = None;
        lane.at_most = lane.at_most.saturating_mul(2).min(batch_events);
        self.in_barrier &= self.lanes.iter().any(|l| l.under_way.is_some() || !l.queue.is_empty());
    }

    /// The batch of a lane is to be sent in halves.
    pub(crate) fn split(&mut self, lane: usize, events: Vec<Pending>) {
        self.waiting_events += events.len();
        self.waiting_bytes += events.iter().map(|event| event.json.len()).sum::<usize>();
        let lane = &mut self.lanes[lane];
        lane.under_way = None;
        lane.at_most = (events.len() / 2).max(1);
        events.into_iter().rev().for_each(|event| lane.queue.push_front(event));
    }

    /// The first event that is not done: before it, all are.
    pub(crate) fn first(&self) -> Option<Waiting> {
        let of_lane = |lane: &Lane| lane.under_way.or(lane.queue.front().map(Waiting::of));
        let lanes = self.lanes.iter().filter_map(of_lane);
        lanes.chain(self.barrier.first().map(Waiting::of)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(low: u64) -> Pending {
        Pending { low, at_ms: low as i64, id: low.to_string(), json: "{}".to_owned() }
    }

    fn lanes(lanes: usize, batch_events: usize) -> Lanes {
        Lanes::new(LaneLimits { lanes, batch_events, batch_bytes: 1 << 10 })
    }

    fn lows(cut: Option<&Cut>) -> Vec<u64> {
        cut.map(|cut| cut.events.iter().map(|event| event.low).collect()).unwrap_or_default()
    }

    #[test]
    fn users_stay_in_order_and_the_first_that_is_not_done_is_known() {
        let mut lanes = lanes(4, 10);
        let mut expected: Vec<Vec<u64>> = vec![Vec::new(); 20];
        for low in 1..=100 {
            let user = low as usize % 20;
            expected[user].push(low);
            lanes.put(Some(&format!("u{user}")), event(low));
        }
        let mut sent: Vec<Vec<u64>> = vec![Vec::new(); 20];
        let mut under_way: Vec<Cut> = Vec::new();
        let mut not_done: std::collections::BTreeSet<u64> = (1..=100).collect();
        loop {
            while let Some(cut) = lanes.cut() {
                assert!(!under_way.iter().any(|other| other.lane == cut.lane));
                under_way.push(cut);
            }
            // The last one ends first, so the first one that is not done stays.
            let Some(cut) = under_way.pop() else { break };
            for event in &cut.events {
                sent[event.low as usize % 20].push(event.low);
                not_done.remove(&event.low);
            }
            lanes.done(cut.lane);
            assert_eq!(lanes.first().map(|first| first.low), not_done.first().copied());
        }
        assert_eq!(sent, expected);
        assert_eq!(lanes.first(), None);
    }

    #[test]
    fn a_barrier_waits_for_all_and_all_wait_for_it() {
        let mut lanes = lanes(2, 10);
        lanes.put(Some("a"), event(1));
        let before = lanes.cut().unwrap();
        assert!(lanes.takes(None));
        lanes.put(None, event(2));
        assert!(lanes.takes(None) && !lanes.takes(Some("b")), "only its like joins it");
        lanes.put(None, event(3));
        assert!(lanes.cut().is_none(), "what is before it is under way");
        lanes.done(before.lane);
        let barrier = lanes.cut();
        assert_eq!(lows(barrier.as_ref()), [2, 3]);
        assert!(!lanes.takes(Some("b")) && !lanes.takes(None), "it is under way");
        assert_eq!(lanes.first().map(|first| first.low), Some(2));
        lanes.split(0, barrier.unwrap().events);
        assert!(!lanes.takes(Some("b")));
        assert_eq!(lows(lanes.cut().as_ref()), [2]);
        lanes.done(0);
        assert!(!lanes.takes(Some("b")), "a part of it is not done");
        assert_eq!(lows(lanes.cut().as_ref()), [3]);
        lanes.done(0);
        assert!(lanes.takes(Some("b")) && lanes.first().is_none());
    }

    #[test]
    fn batches_are_bounded_and_grow_again_after_a_refusal() {
        let mut lanes = lanes(1, 8);
        (1..=40).for_each(|low| lanes.put(Some("a"), event(low)));
        let cut = lanes.cut().unwrap();
        assert_eq!(cut.events.len(), 8);
        lanes.split(0, cut.events);
        let mut sizes = Vec::new();
        while let Some(cut) = lanes.cut() {
            sizes.push(cut.events.len());
            lanes.done(0);
        }
        assert_eq!(sizes, [4, 8, 8, 8, 8, 4]);
        let large = Pending { json: "x".repeat(1 << 11), ..event(1) };
        lanes.put(Some("a"), large);
        lanes.put(Some("a"), event(2));
        assert_eq!(lows(lanes.cut().as_ref()), [1], "one that is too large goes alone");
    }
}
