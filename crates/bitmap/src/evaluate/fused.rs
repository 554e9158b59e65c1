//! Dense operations, container by container: operands are read once, where they lie, and all that
//! is in between stays in the first-level cache.

use super::Shard;
use crate::blob::{BlobWriter, CONTAINERS, Container, WORDS, Words};
use crate::kernel::{Bytes, DROP, KEEP, bytes_of, hits, hits_of_runs};
use crate::part::Part;
use crate::plan::{Kind, OpId};
use crate::view::Held;
use buffers::Buffer;
use pass::{PASS, Pass};
use std::rc::Rc;

pub(super) use buffers::Buffers;

mod buffers;
mod pass;

/// Up to this many values of a container are asked for one by one in the other operands.
const FEW: usize = 64;
/// Values of a container that is full.
const SPAN: usize = WORDS * 64;

/// What to compute: an operation of the plan, or some operands of one. None of it compares numbers.
pub(super) enum Job {
    And { all: Vec<OpId>, none: Vec<OpId> },
    Or { any: Vec<OpId> },
}

/// One container of an operand.
#[derive(Clone)]
enum Value<'s> {
    Empty,
    Full,
    Stored(Container<'s>),
    Computed(Rc<Buffer>),
}

pub(super) struct Fused<'s, 'a> {
    shard: &'s Shard<'a>,
    job: Job,
    /// Of each leaf that is read, its containers. 16 an operation, but only those of leaves are
    /// set.
    leaves: Vec<Value<'s>>,
    /// Of the container at hand, results that are asked for again.
    memo: Vec<Option<Value<'s>>>,
    lists: Vec<Vec<Value<'s>>>,
}

impl<'s, 'a> Fused<'s, 'a> {
    pub(super) fn new(shard: &'s Shard<'a>, job: Job) -> Self {
        let mut fused =
            Self { shard, job, leaves: Vec::new(), memo: Vec::new(), lists: Vec::new() };
        fused.leaves.resize(shard.plan.ops.len() * CONTAINERS, Value::Empty);
        let mut waiting: Vec<OpId> = match &fused.job {
            Job::And { all, none } => all.iter().chain(none).copied().collect(),
            Job::Or { any } => any.clone(),
        };
        let mut seen = vec![false; shard.plan.ops.len()];
        while let Some(id) = waiting.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            match &shard.plan.ops[id].kind {
                Kind::And { all, none } => waiting.extend(all.iter().chain(none)),
                Kind::Or { any, .. } => waiting.extend(any),
                _ => fused.read(id),
            }
        }
        fused
    }

    fn read(&mut self, id: OpId) {
        let Some(blob) = self.shard.blob(id) else { return };
        for (key, count, container) in blob.containers() {
            let at = id * CONTAINERS + usize::from(key) % CONTAINERS;
            self.leaves[at] = if count == SPAN { Value::Full } else { Value::Stored(container) };
        }
    }

    /// How many. The last operation only counts.
    pub(super) fn count(mut self) -> u64 {
        let job = std::mem::replace(&mut self.job, Job::Or { any: Vec::new() });
        let mut sum = 0;
        for at in 0..CONTAINERS {
            self.forget();
            sum += u64::from(match &job {
                Job::And { all, none } => self.and_count(all, none, at),
                Job::Or { any } => self.or_count(any, at),
            });
        }
        sum
    }

    pub(super) fn part(mut self) -> Part<'a> {
        let job = std::mem::replace(&mut self.job, Job::Or { any: Vec::new() });
        let scope = &self.shard.scope;
        let mut buffer = scope.pool.take();
        let mut writer = BlobWriter::new(&mut buffer);
        for at in 0..CONTAINERS {
            self.forget();
            let value = match &job {
                Job::And { all, none } => self.and(all, none, at),
                Job::Or { any } => self.or(any, at),
            };
            let key = (scope.number as usize * CONTAINERS + at) as u16;
            if matches!(value, Value::Empty) {
                continue;
            }
            let words = self.words(value);
            writer.push_counted(key, &words, self.shard.worker.level.or_count(&[bytes_of(&words)]));
            self.shard.worker.buffers.give(words);
        }
        match writer.finish() {
            len @ 0 | len if len == 0 || len == scope.users_len => {
                scope.pool.give(buffer);
                if len == 0 { Part::Empty } else { Part::Full }
            }
            _ => Part::Held(Held::new(buffer, scope.pool)),
        }
    }

    /// Another container is at hand.
    fn forget(&mut self) {
        for value in self.memo.drain(..).flatten() {
            give(self.shard, value);
        }
    }

    fn value(&mut self, id: OpId, at: usize) -> Value<'s> {
        let op = &self.shard.plan.ops[id];
        if op.is_leaf() {
            return self.leaves[id * CONTAINERS + at].clone();
        }
        if let Some(Some(known)) = self.memo.get(id) {
            return known.clone();
        }
        let value = match &op.kind {
            Kind::And { all, none } => self.and(all, none, at),
            Kind::Or { any, .. } => self.or(any, at),
            _ => Value::Empty,
        };
        if op.is_shared() {
            self.memo.resize(self.shard.plan.ops.len(), None);
            self.memo[id] = Some(value.clone());
        }
        value
    }

    fn is_leaf(&self, id: OpId) -> bool {
        self.shard.plan.ops[id].is_leaf()
    }

    /// Gathers the operands of an "and" that say something, leaves first. What there is to keep is
    /// not a full container, unless nothing else is. `false` when nobody can be left.
    fn gather(
        &mut self,
        all: &[OpId],
        none: &[OpId],
        at: usize,
        keep: &mut Vec<Value<'s>>,
        drop: &mut Vec<Value<'s>>,
    ) -> bool {
        let plan = self.shard.plan;
        for leaves in [true, false] {
            for id in all.iter().filter(|id| plan.ops[**id].is_leaf() == leaves) {
                match self.value(*id, at) {
                    Value::Empty => return false,
                    Value::Full => {}
                    value => keep.push(value),
                }
            }
            for id in none.iter().filter(|id| plan.ops[**id].is_leaf() == leaves) {
                match self.value(*id, at) {
                    Value::Full => return false,
                    Value::Empty => {}
                    value => drop.push(value),
                }
            }
        }
        true
    }

    /// The values of the smallest operand of an "and", if they are few enough to ask for each.
    fn few(&self, all: &[OpId], at: usize) -> Option<(&'s [[u8; 2]], OpId)> {
        let mut least = None;
        for id in all.iter().filter(|id| self.is_leaf(**id)) {
            match &self.leaves[id * CONTAINERS + at] {
                Value::Empty => return Some((&[], *id)),
                Value::Stored(Container::Array(bytes)) if bytes.len() <= 2 * FEW => {
                    let values = bytes.as_chunks::<2>().0;
                    if least.is_none_or(|(least, _): (&[[u8; 2]], OpId)| values.len() < least.len())
                    {
                        least = Some((values, *id));
                    }
                }
                _ => {}
            }
        }
        least
    }

    fn holds(&self, id: OpId, at: usize, low: u16) -> bool {
        match &self.shard.plan.ops[id].kind {
            Kind::And { all, none } => self.holds_all(all, none, at, low),
            Kind::Or { any, .. } => any.iter().any(|id| self.holds(*id, at, low)),
            _ => match &self.leaves[id * CONTAINERS + at] {
                Value::Stored(container) => container.contains(low),
                value => matches!(value, Value::Full),
            },
        }
    }

    fn holds_all(&self, all: &[OpId], none: &[OpId], at: usize, low: u16) -> bool {
        all.iter().all(|id| self.holds(*id, at, low))
            && !none.iter().any(|id| self.holds(*id, at, low))
    }

    fn and(&mut self, all: &[OpId], none: &[OpId], at: usize) -> Value<'s> {
        if let Some((values, _)) = self.few(all, at) {
            let mut words = None;
            for low in values
                .iter()
                .map(|value| u16::from_le_bytes(*value))
                .filter(|low| self.holds_all(all, none, at, *low))
            {
                let words: &mut Rc<Buffer> = words.get_or_insert_with(|| self.zeros());
                Rc::make_mut(words)[usize::from(low / 64)] |= 1 << (low % 64);
            }
            return words.map_or(Value::Empty, Value::Computed);
        }
        let (mut keep, mut drop) = (self.list(), self.list());
        let value = if !self.gather(all, none, at, &mut keep, &mut drop) {
            Value::Empty
        } else if let ([_], []) = (&keep[..], &drop[..]) {
            keep.pop().unwrap_or(Value::Empty)
        } else if keep.is_empty() && drop.is_empty() {
            Value::Full
        } else {
            self.and_value(&mut keep, &mut drop)
        };
        self.put_away(keep);
        self.put_away(drop);
        value
    }

    fn and_value(&self, keep: &mut Vec<Value<'s>>, drop: &mut Vec<Value<'s>>) -> Value<'s> {
        // A few users taken away from what nobody else asks for: where it lies. Whether anything is
        // left need not be known.
        if drop.iter().all(|value| matches!(value, Value::Stored(Container::Array(_))))
            && let [Value::Computed(only)] = &mut keep[..]
            && let Some(words) = Rc::get_mut(only)
        {
            self.split_arrays(drop).into_iter().for_each(|array| clear(words, array));
            return keep.pop().unwrap_or(Value::Empty);
        }
        let (words, count, _) = self.and_words(keep, drop, true);
        if count > 0 {
            return Value::Computed(words);
        }
        self.shard.worker.buffers.give(words);
        Value::Empty
    }

    fn and_count(&mut self, all: &[OpId], none: &[OpId], at: usize) -> u32 {
        if let Some((values, _)) = self.few(all, at) {
            return values
                .iter()
                .filter(|value| self.holds_all(all, none, at, u16::from_le_bytes(**value)))
                .count() as u32;
        }
        let (mut keep, mut drop) = (self.list(), self.list());
        let mut count = 0;
        if self.gather(all, none, at, &mut keep, &mut drop) {
            count = self.count_gathered(&mut keep, &mut drop);
        }
        self.put_away(keep);
        self.put_away(drop);
        count
    }

    fn count_gathered(&self, keep: &mut Vec<Value<'s>>, drop: &mut Vec<Value<'s>>) -> u32 {
        // The values of the smallest array are looked up in the rest.
        let looked_up = smallest_array(keep).map(|(at, values)| {
            let _ = keep.swap_remove(at);
            values
        });
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
        self.unpack(keep);
        let only_words = drop.iter().all(|value| value.bytes().is_some());
        if looked_up.is_none() && only_words && keep.len() <= KEEP && drop.len() <= DROP {
            return self
                .shard
                .worker
                .level
                .and_count(Pass::of(keep).operands(), Pass::of(drop).operands());
        }
        let (words, count, gone) = self.and_words(keep, drop, looked_up.is_some());
        let count = looked_up.map_or(count - gone, |values| hits(bytes_of(&words), values));
        self.shard.worker.buffers.give(words);
        count
    }

    /// All of `keep` without `drop`. Arrays are dropped last: without `write`, those of the last
    /// are only counted, and the words and their number still hold them. Gives the words, how
    /// many they are, and how many of them are to be taken away yet.
    fn and_words(
        &self,
        keep: &mut Vec<Value<'s>>,
        drop: &mut Vec<Value<'s>>,
        write: bool,
    ) -> (Rc<Buffer>, u32, u32) {
        self.unpack(keep);
        let arrays = self.split_arrays(drop);
        let level = self.shard.worker.level;
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
        let mut gone = 0;
        for (number, array) in arrays.iter().enumerate() {
            gone = hits(bytes_of(words), array);
            if write || number + 1 < arrays.len() {
                clear(words, array);
                count -= gone;
                gone = 0;
            }
        }
        (acc, count, gone)
    }

    fn or(&mut self, any: &[OpId], at: usize) -> Value<'s> {
        let mut list = self.list();
        let value = if !self.gather_any(any, at, &mut list) {
            Value::Full
        } else if list.len() < 2 {
            list.pop().unwrap_or(Value::Empty)
        } else {
            Value::Computed(self.or_words(&mut list))
        };
        self.put_away(list);
        value
    }

    fn or_count(&mut self, any: &[OpId], at: usize) -> u32 {
        let mut list = self.list();
        let level = self.shard.worker.level;
        let count = if !self.gather_any(any, at, &mut list) {
            SPAN as u32
        } else if list.len() <= KEEP && list.iter().all(|value| value.bytes().is_some()) {
            level.or_count(Pass::of(&list).operands())
        } else {
            let words = self.or_words(&mut list);
            let count = level.or_count(&[bytes_of(&words)]);
            self.shard.worker.buffers.give(words);
            count
        };
        self.put_away(list);
        count
    }

    /// `false` when it is full.
    fn gather_any(&mut self, any: &[OpId], at: usize, list: &mut Vec<Value<'s>>) -> bool {
        let plan = self.shard.plan;
        for leaves in [true, false] {
            for id in any.iter().filter(|id| plan.ops[**id].is_leaf() == leaves) {
                match self.value(*id, at) {
                    Value::Full => return false,
                    Value::Empty => {}
                    value => list.push(value),
                }
            }
        }
        true
    }

    fn or_words(&self, list: &mut Vec<Value<'s>>) -> Rc<Buffer> {
        // What nobody else asks for is added to where it lies.
        let own = list.iter_mut().position(
            |value| matches!(value, Value::Computed(words) if Rc::strong_count(words) == 1),
        );
        let own = own.and_then(|at| {
            if let Value::Computed(words) = list.swap_remove(at) { Some(words) } else { None }
        });
        let mut fresh = own.is_none();
        let mut acc = own.unwrap_or_else(|| self.shard.worker.buffers.take());
        let words = &mut Rc::make_mut(&mut acc).0;
        let mut pass = Pass::default();
        for operand in list.iter().filter_map(Value::bytes) {
            if pass.len == PASS {
                let _ = self.shard.worker.level.or(words, fresh, pass.operands());
                (pass, fresh) = (Pass::default(), false);
            }
            pass.push(operand);
        }
        if fresh || pass.len > 0 {
            let _ = self.shard.worker.level.or(words, fresh, pass.operands());
        }
        for value in list {
            if let Value::Stored(container @ (Container::Array(_) | Container::Runs(_))) = value {
                container.or_into(words);
            }
        }
        acc
    }

    /// Makes words of arrays and runs.
    fn unpack(&self, values: &mut [Value<'s>]) {
        for value in values {
            if value.bytes().is_none() {
                let words = self.words(std::mem::replace(value, Value::Empty));
                *value = Value::Computed(words);
            }
        }
    }

    /// Takes the arrays out, and makes words of the rest.
    fn split_arrays(&self, values: &mut Vec<Value<'s>>) -> Vec<&'s [[u8; 2]]> {
        let mut arrays = Vec::new();
        values.retain(|value| match value {
            Value::Stored(Container::Array(bytes)) => {
                arrays.push(bytes.as_chunks::<2>().0);
                false
            }
            _ => true,
        });
        self.unpack(values);
        arrays
    }

    fn words(&self, value: Value<'s>) -> Rc<Buffer> {
        match value {
            Value::Computed(words) => words,
            Value::Empty => self.zeros(),
            Value::Full => {
                let mut words = self.shard.worker.buffers.take();
                Rc::make_mut(&mut words).fill(!0);
                words
            }
            Value::Stored(container) => {
                let mut words = self.zeros();
                container.or_into(&mut Rc::make_mut(&mut words).0);
                words
            }
        }
    }

    fn zeros(&self) -> Rc<Buffer> {
        let mut words = self.shard.worker.buffers.take();
        Rc::make_mut(&mut words).fill(0);
        words
    }

    fn list(&mut self) -> Vec<Value<'s>> {
        self.lists.pop().unwrap_or_default()
    }

    fn put_away(&mut self, mut list: Vec<Value<'s>>) {
        list.drain(..).for_each(|value| give(self.shard, value));
        self.lists.push(list);
    }
}

impl Drop for Fused<'_, '_> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Value<'_> {
    /// Its words, if it has them.
    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Stored(Container::Bits(bytes)) => bytes.as_chunks::<8>().0.as_array(),
            Self::Computed(words) => Some(bytes_of(words)),
            _ => None,
        }
    }
}

/// Where it is and its values.
fn smallest_array<'s>(values: &[Value<'s>]) -> Option<(usize, &'s [[u8; 2]])> {
    let arrays = values.iter().enumerate().filter_map(|(at, value)| match value {
        Value::Stored(Container::Array(bytes)) => Some((at, bytes.as_chunks::<2>().0)),
        _ => None,
    });
    arrays.min_by_key(|(_, values)| values.len())
}

fn give(shard: &Shard<'_>, value: Value<'_>) {
    if let Value::Computed(words) = value {
        shard.worker.buffers.give(words);
    }
}

fn clear(words: &mut Words, values: &[[u8; 2]]) {
    for value in values {
        let low = u16::from_le_bytes(*value);
        words[usize::from(low / 64)] &= !(1 << (low % 64));
    }
}
