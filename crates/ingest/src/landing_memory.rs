//! What landings of an app remember from one to the next.

use crate::admitted::Told;
use crate::live_rows::Landed;
use crate::pending::Pending;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use taghouse_rules::Definitions;

/// Of one app. Whoever lands or admits its calls holds it.
#[derive(Default)]
pub(crate) struct Memory {
    /// The ids remembered are those of the records that landed.
    pub(crate) settled: bool,
    pub(crate) trimmed: u64,
    /// The position through which calls landed; `None`: the catalog must be asked.
    pub(crate) landed: Option<u64>,
    /// What is admitted behind it.
    pub(crate) pending: Option<Pending>,
    /// The ids of rows that the follower was told of and that have not landed.
    pub(crate) told: HashSet<u128>,
    /// The positions of links that it was told of and that have not landed.
    pub(crate) told_links: BTreeSet<u64>,
    /// What landed and no landing has reported yet.
    pub(crate) unreported: Landed,
}

impl Memory {
    /// Whether what was built under these definitions reaches to `end`.
    pub(crate) fn holds(&self, definitions: &Arc<Definitions>, end: u64) -> bool {
        match &self.pending {
            Some(pending) => {
                pending.through == end && Arc::ptr_eq(&pending.definitions, definitions)
            }
            None => self.landed == Some(end),
        }
    }

    /// Notes the links that the follower is told of. Whether it was told of others before: a file has
    /// made an id known meanwhile, and a claim that was granted is refused.
    pub(crate) fn tell_links(&mut self, told: &Told) -> bool {
        let links: BTreeSet<u64> =
            told.links.iter().filter(|link| link.links).map(|link| link.position).collect();
        let before = self.told_links.range(told.after + 1..=told.through);
        let taken_back = before.into_iter().any(|position| !links.contains(position));
        self.told_links.retain(|position| *position <= told.after || *position > told.through);
        self.told_links.extend(links);
        taken_back
    }

    /// Something failed: whether a failed commit holds may be unknown.
    pub(crate) fn unsettle(&mut self) {
        self.settled = false;
        self.landed = None;
    }
}
