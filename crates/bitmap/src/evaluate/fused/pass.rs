use super::Value;
use crate::blob::WORDS;
use crate::kernel::Bytes;

/// Operands that are gathered at a time.
pub(super) const PASS: usize = 8;

/// The operands of one pass.
pub(super) struct Pass<'v> {
    operands: [&'v Bytes; PASS],
    pub(super) len: usize,
}

static NONE: Bytes = [[0; 8]; WORDS];

impl Default for Pass<'_> {
    fn default() -> Self {
        Self { operands: [&NONE; PASS], len: 0 }
    }
}

impl<'v> Pass<'v> {
    /// The first `PASS` of those that have words.
    pub(super) fn of(values: &'v [Value<'_>]) -> Self {
        let mut pass = Self::default();
        values.iter().filter_map(Value::bytes).take(PASS).for_each(|bytes| pass.push(bytes));
        pass
    }

    pub(super) fn push(&mut self, operand: &'v Bytes) {
        self.operands[self.len] = operand;
        self.len += 1;
    }

    pub(super) fn operands(&self) -> &[&'v Bytes] {
        &self.operands[..self.len]
    }
}
