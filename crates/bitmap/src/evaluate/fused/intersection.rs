//! "And" of one container of each operand.
//!
//! The cases follow Lemire, Ssi-Yan-Kai and Kaser, "Consistently faster and smaller compressed
//! bitmaps with Roaring" (<https://arxiv.org/abs/1603.06549>): an array is looked up in the other
//! operands, bitsets are combined word by word. With k operands a container costs O(k · 1024)
//! words, or O(k · n) lookups when its smallest operand is an array of n values.

use super::buffers::Buffer;
use super::value::{Value, clear, smallest_array};
use super::{Fused, PASS, Pass};
use crate::blob::{CONTAINERS, Container};
use crate::kernel::{DROP, KEEP, bytes_of, hits, hits_of_runs};
use crate::plan::{OpId, OpKind};
use std::rc::Rc;

/// Up to this many values of a container are looked up one by one in the other operands.
const FEW: usize = 64;

/// Operands of an "and" that make a difference in one container.
struct Operands<'s> {
    keep: Vec<Value<'s>>,
    drop: Vec<Value<'s>>,
}

/// What [`Fused::and_words`] computes.
struct Intersection {
    words: Rc<Buffer>,
    /// Bits set in `words`.
    count: u32,
    /// Of those, bits that the last array removes. They were only counted, not cleared.
    uncleared: u32,
}

impl<'s> Fused<'s, '_> {
    /// Gathers the operands of an "and" that make a difference, leaves first, for they cost
    /// nothing. A full container is left out of `keep`, an empty one out of `drop`. `false` when
    /// the result is empty.
    fn gather_all(
        &mut self,
        all: &[OpId],
        none: &[OpId],
        at: usize,
        operands: &mut Operands<'s>,
    ) -> bool {
        let plan = self.shard.plan;
        for leaves in [true, false] {
            for id in all.iter().filter(|id| plan.ops[**id].is_leaf() == leaves) {
                match self.value(*id, at) {
                    Value::Empty => return false,
                    Value::Full => {}
                    value => operands.keep.push(value),
                }
            }
            for id in none.iter().filter(|id| plan.ops[**id].is_leaf() == leaves) {
                match self.value(*id, at) {
                    Value::Full => return false,
                    Value::Empty => {}
                    value => operands.drop.push(value),
                }
            }
        }
        true
    }

    fn operands(&mut self) -> Operands<'s> {
        Operands { keep: self.list(), drop: self.list() }
    }

    fn give_back(&mut self, operands: Operands<'s>) {
        self.put_away(operands.keep);
        self.put_away(operands.drop);
    }

    /// The values of the smallest operand of an "and", if they are few enough to look up each.
    fn few(&self, all: &[OpId], at: usize) -> Option<&'s [[u8; 2]]> {
        let mut smallest: Option<&'s [[u8; 2]]> = None;
        for id in all.iter().filter(|id| self.is_leaf(**id)) {
            match &self.leaves[id * CONTAINERS + at] {
                Value::Empty => return Some(&[]),
                Value::Stored(Container::Array(bytes)) if bytes.len() <= 2 * FEW => {
                    let values = bytes.as_chunks::<2>().0;
                    if smallest.is_none_or(|smallest| values.len() < smallest.len()) {
                        smallest = Some(values);
                    }
                }
                _ => {}
            }
        }
        smallest
    }

    fn contains(&self, id: OpId, at: usize, low: u16) -> bool {
        match &self.shard.plan.ops[id].kind {
            OpKind::And { all, none } => self.matches_and(all, none, at, low),
            OpKind::Or { any, .. } => any.iter().any(|id| self.contains(*id, at, low)),
            _ => match &self.leaves[id * CONTAINERS + at] {
                Value::Stored(container) => container.contains(low),
                value => matches!(value, Value::Full),
            },
        }
    }

    fn matches_and(&self, all: &[OpId], none: &[OpId], at: usize, low: u16) -> bool {
        all.iter().all(|id| self.contains(*id, at, low))
            && !none.iter().any(|id| self.contains(*id, at, low))
    }

    pub(super) fn and(&mut self, all: &[OpId], none: &[OpId], at: usize) -> Value<'s> {
        // 1. Few candidates: look up each.
        if let Some(values) = self.few(all, at) {
            let mut words = None;
            for low in values
                .iter()
                .map(|value| u16::from_le_bytes(*value))
                .filter(|low| self.matches_and(all, none, at, *low))
            {
                let words: &mut Rc<Buffer> = words.get_or_insert_with(|| self.zeros());
                Rc::make_mut(words)[usize::from(low / 64)] |= 1 << (low % 64);
            }
            return words.map_or(Value::Empty, Value::Computed);
        }

        // 2. Otherwise combine the operands that make a difference, if more than one is left.
        let mut operands = self.operands();
        let value = if !self.gather_all(all, none, at, &mut operands) {
            Value::Empty
        } else {
            match (operands.keep.len(), operands.drop.len()) {
                (0, 0) => Value::Full,
                (1, 0) => operands.keep.pop().unwrap_or(Value::Empty),
                _ => self.and_value(&mut operands),
            }
        };
        self.give_back(operands);
        value
    }

    fn and_value(&self, operands: &mut Operands<'s>) -> Value<'s> {
        let Operands { keep, drop } = operands;

        // Arrays are removed in place from words that nothing else refers to. Whether any bit is
        // left need not be known.
        if drop.iter().all(|value| matches!(value, Value::Stored(Container::Array(_))))
            && let [Value::Computed(only)] = &mut keep[..]
            && let Some(words) = Rc::get_mut(only)
        {
            self.split_arrays(drop).into_iter().for_each(|array| clear(words, array));
            return keep.pop().unwrap_or(Value::Empty);
        }

        let Intersection { words, count, .. } = self.and_words(operands, true);
        if count > 0 {
            return Value::Computed(words);
        }
        self.shard.worker.buffers.give(words);
        Value::Empty
    }

    pub(super) fn and_count(&mut self, all: &[OpId], none: &[OpId], at: usize) -> u32 {
        if let Some(values) = self.few(all, at) {
            return values
                .iter()
                .filter(|value| self.matches_and(all, none, at, u16::from_le_bytes(**value)))
                .count() as u32;
        }
        let mut operands = self.operands();
        let mut count = 0;
        if self.gather_all(all, none, at, &mut operands) {
            count = self.count_gathered(&mut operands);
        }
        self.give_back(operands);
        count
    }

    fn count_gathered(&self, operands: &mut Operands<'s>) -> u32 {
        let Operands { keep, drop } = operands;

        // 1. The values of the smallest array are looked up in the other operands.
        let looked_up = smallest_array(keep).map(|smallest| {
            let _ = keep.swap_remove(smallest.at);
            smallest.values
        });

        // 2. Two operands, one of them words: count without writing.
        if let (Some(values), [one], []) = (looked_up, &keep[..], &drop[..])
            && let Some(words) = one.bytes()
        {
            return hits(words, values);
        }
        if let (
            [Value::Stored(Container::Runs(runs)), one]
            | [one, Value::Stored(Container::Runs(runs))],
            [],
            None,
        ) = (&keep[..], &drop[..], looked_up)
            && let Some(words) = one.bytes()
        {
            return hits_of_runs(words, runs.as_chunks::<4>().0);
        }

        // 3. Only words, and as many as one pass takes: count without writing.
        self.unpack(keep);
        let only_words = drop.iter().all(|value| value.bytes().is_some());
        if looked_up.is_none() && only_words && keep.len() <= KEEP && drop.len() <= DROP {
            return self
                .shard
                .worker
                .level
                .and_count(Pass::of(keep).operands(), Pass::of(drop).operands());
        }

        // 4. Otherwise combine them in a buffer.
        let found = self.and_words(operands, looked_up.is_some());
        let count = looked_up
            .map_or(found.count - found.uncleared, |values| hits(bytes_of(&found.words), values));
        self.shard.worker.buffers.give(found.words);
        count
    }

    /// All of `keep` without `drop`. Arrays are removed last. Without `write`, the last array is
    /// only counted, and its bits stay in the words.
    fn and_words(&self, operands: &mut Operands<'s>, write: bool) -> Intersection {
        let Operands { keep, drop } = operands;
        let level = self.shard.worker.level;

        // 1. Everything to words, except the arrays to remove.
        self.unpack(keep);
        let arrays = self.split_arrays(drop);

        // 2. One pass over the first operands of both lists, then over the rest.
        let mut acc = self.shard.worker.buffers.take();
        let words = &mut Rc::make_mut(&mut acc).0;
        let mut count =
            level.and(words, true, Pass::of(keep).operands(), Pass::of(drop).operands());
        for more in keep.get(PASS..).unwrap_or_default().chunks(PASS) {
            count = level.and(words, false, Pass::of(more).operands(), &[]);
        }
        for more in drop.get(PASS..).unwrap_or_default().chunks(PASS) {
            count = level.and(words, false, &[], Pass::of(more).operands());
        }

        // 3. The arrays, value by value.
        let mut uncleared = 0;
        for (number, array) in arrays.iter().enumerate() {
            uncleared = hits(bytes_of(words), array);
            if write || number + 1 < arrays.len() {
                clear(words, array);
                count -= uncleared;
                uncleared = 0;
            }
        }
        Intersection { words: acc, count, uncleared }
    }
}
