//! Dense operations, container by container: operands are read once and in place, and intermediate
//! results stay in the first-level cache (8 KiB each).
//!
//! This is loop fusion over Roaring containers. Evaluating one operation at a time would write and
//! read 128 KiB for each operation of a shard. See Lemire et al., "Roaring Bitmaps: Implementation
//! of an Optimized Software Library" (<https://arxiv.org/abs/1709.07821>), for word-wise passes over
//! bitset containers that count as they combine.

use super::Shard;
use crate::blob::{BlobWriter, CONTAINERS, Container, WORDS};
use crate::kernel::bytes_of;
use crate::plan::{OpId, OpKind};
use crate::shard_set::ShardSet;
use crate::view::PooledView;
use buffers::Buffer;
use pass::{PASS, Pass};
use std::rc::Rc;
use value::{Value, give};

pub(super) use buffers::Buffers;

mod buffers;
mod intersection;
mod pass;
mod union;
mod value;

/// Values of a container that is full.
const SPAN: usize = WORDS * 64;

/// What to compute: an operation of the plan, or some operands of one. None of it compares numbers.
pub(super) enum Job {
    And { all: Vec<OpId>, none: Vec<OpId> },
    Or { any: Vec<OpId> },
}

pub(super) struct Fused<'s, 'a> {
    shard: &'s Shard<'a>,
    job: Job,
    /// The containers of the leaves: container `at` of operation `id` is at
    /// `id * CONTAINERS + at`. Entries of other operations stay empty.
    leaves: Vec<Value<'s>>,
    /// Results for the current container that are needed again, by operation.
    memo: Vec<Option<Value<'s>>>,
    /// Emptied lists of operands, to be used again.
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
                OpKind::And { all, none } => waiting.extend(all.iter().chain(none)),
                OpKind::Or { any, .. } => waiting.extend(any),
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

    /// The number of users. The last operation only counts.
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

    pub(super) fn shard_set(mut self) -> ShardSet<'a> {
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
                if len == 0 { ShardSet::Empty } else { ShardSet::Full }
            }
            _ => ShardSet::Pooled(PooledView::new(buffer, scope.pool)),
        }
    }

    /// Forgets the results of the current container, before the next one.
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
            OpKind::And { all, none } => self.and(all, none, at),
            OpKind::Or { any, .. } => self.or(any, at),
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

    /// Turns arrays and runs into words.
    fn unpack(&self, values: &mut [Value<'s>]) {
        for value in values {
            if value.bytes().is_none() {
                let words = self.words(std::mem::replace(value, Value::Empty));
                *value = Value::Computed(words);
            }
        }
    }

    /// Takes the arrays out, and turns the rest into words.
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
