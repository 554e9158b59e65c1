//! "Or" of one container of each operand.

use super::buffers::Buffer;
use super::value::Value;
use super::{Fused, PASS, Pass, SPAN};
use crate::blob::Container;
use crate::kernel::{KEEP, bytes_of};
use crate::plan::OpId;
use std::rc::Rc;

impl<'s> Fused<'s, '_> {
    pub(super) fn or(&mut self, any: &[OpId], at: usize) -> Value<'s> {
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

    pub(super) fn or_count(&mut self, any: &[OpId], at: usize) -> u32 {
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

    /// Gathers the operands that are not empty, leaves first. `false` when one of them is full.
    pub(super) fn gather_any(
        &mut self,
        any: &[OpId],
        at: usize,
        list: &mut Vec<Value<'s>>,
    ) -> bool {
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

    pub(super) fn or_words(&self, list: &mut Vec<Value<'s>>) -> Rc<Buffer> {
        // 1. Reuse the words of a computed operand that nothing else refers to.
        let own = list.iter_mut().position(
            |value| matches!(value, Value::Computed(words) if Rc::strong_count(words) == 1),
        );
        let own = own.and_then(|at| {
            if let Value::Computed(words) = list.swap_remove(at) { Some(words) } else { None }
        });
        let mut fresh = own.is_none();
        let mut acc = own.unwrap_or_else(|| self.shard.worker.buffers.take());
        let words = &mut Rc::make_mut(&mut acc).0;

        // 2. Operands that are words, as many as fit in one pass.
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

        // 3. Arrays and runs, value by value.
        for value in list {
            if let Value::Stored(container @ (Container::Array(_) | Container::Runs(_))) = value {
                container.or_into(words);
            }
        }
        acc
    }
}
