//! One logged change of one tag, and sorted runs of them.

use taghouse_model::Ordinal;

const OP_BITS: u32 = 3;

/// What an entry does. Tags of one value know the first two, sets the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Unset = 0,
    Set = 1,
    Clear = 2,
    Add = 3,
    Remove = 4,
}

/// A change: whose, what, and at which position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Units of a number, 0 or 1 of a bool, else the code of a text.
    pub(crate) value: i64,
    /// The position above `OP_BITS` bits of op.
    stamp: u64,
    pub(crate) ordinal: Ordinal,
}

impl Entry {
    /// The value of an op that has none; so a `Clear` sorts before the members.
    pub(crate) const NONE: i64 = -1;

    pub(crate) fn new(ordinal: Ordinal, op: Op, value: i64) -> Self {
        Self { value, stamp: op as u64, ordinal }
    }

    /// `None` for an op that there is not.
    pub(crate) fn from_stamp(ordinal: Ordinal, stamp: u64, value: i64) -> Option<Self> {
        (stamp & ((1 << OP_BITS) - 1) <= Op::Remove as u64).then_some(Self {
            value,
            stamp,
            ordinal,
        })
    }

    /// Gives a new entry its position.
    pub(crate) fn at(mut self, position: u64) -> Self {
        self.stamp |= position << OP_BITS;
        self
    }

    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    pub(crate) fn position(&self) -> u64 {
        self.stamp >> OP_BITS
    }

    pub(crate) fn op(&self) -> Op {
        match self.stamp & ((1 << OP_BITS) - 1) {
            0 => Op::Unset,
            1 => Op::Set,
            2 => Op::Clear,
            3 => Op::Add,
            _ => Op::Remove,
        }
    }

    /// Gives the user a value, and so implies that the user exists.
    pub(crate) fn gives(&self) -> bool {
        matches!(self.op(), Op::Set | Op::Add)
    }

    /// Of two entries with one key the later counts: a user's value, or one member of a user's set.
    fn key(&self) -> (Ordinal, i64) {
        (self.ordinal, if matches!(self.op(), Op::Set | Op::Unset) { 0 } else { self.value })
    }
}

/// Sorts entries that stand in the order of their positions, and leaves of each key the last;
/// nothing of a set from before its clearing.
pub(crate) fn normalise(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(Entry::key);
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut cleared: Option<(Ordinal, u64)> = None;
    for entry in entries {
        if entry.op() == Op::Clear {
            cleared = Some((entry.ordinal, entry.stamp));
        } else if cleared
            .is_some_and(|(ordinal, stamp)| ordinal == entry.ordinal && entry.stamp < stamp)
        {
            continue;
        }
        match kept.last_mut() {
            Some(last) if last.key() == entry.key() => *last = entry,
            _ => kept.push(entry),
        }
    }
    kept
}

/// Two normal runs as one.
pub(crate) fn merge(older: &[Entry], newer: &[Entry]) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let (mut old, mut cleared) = (0, None);
    for entry in newer {
        if entry.op() == Op::Clear {
            cleared = Some(entry.ordinal);
        }
        while let Some(before) = older.get(old).filter(|before| before.key() <= entry.key()) {
            if before.key() < entry.key() && cleared != Some(before.ordinal) {
                merged.push(*before);
            }
            old += 1;
        }
        merged.push(*entry);
        // What the older run says of a user whose set the newer one clears, whatever the member.
        while cleared.is_some()
            && older.get(old).is_some_and(|before| cleared == Some(before.ordinal))
        {
            old += 1;
        }
    }
    merged.extend_from_slice(&older[old..]);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn history(set: bool) -> impl Strategy<Value = Vec<Entry>> {
        let single = prop_oneof![Just(Op::Set), Just(Op::Unset)].boxed();
        let several =
            prop_oneof![3 => Just(Op::Add), 2 => Just(Op::Remove), 1 => Just(Op::Clear)].boxed();
        prop::collection::vec((0..6_u32, if set { several } else { single }, 0..4_i64), 0..60)
            .prop_map(|all| {
                let place = |(at, (ordinal, op, value)): (usize, (u32, Op, i64))| {
                    Entry::new(ordinal, op, if op == Op::Clear { Entry::NONE } else { value })
                        .at(at as u64 + 1)
                };
                all.into_iter().enumerate().map(place).collect()
            })
    }

    proptest! {
        #[test]
        fn merging_parts_is_normalising_the_whole((entries, cuts) in any::<bool>().prop_flat_map(history).prop_flat_map(|e| {
            let len = e.len();
            (Just(e), prop::collection::vec(0..=len, 0..4))
        })) {
            let mut cuts = cuts;
            cuts.extend([0, entries.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|cut| normalise(entries[cut[0]..cut[1]].to_vec()));
            let merged = parts.reduce(|older, newer| merge(&older, &newer)).unwrap_or_default();
            prop_assert_eq!(merged, normalise(entries));
        }
    }
}
