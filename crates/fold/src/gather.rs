//! The values of chosen rows as keys: numbers in units, texts by number.

use crate::EventBatch;
use crate::cell::Cell;
use crate::column::{ColumnReader, Expression};
use crate::partial::Text;
use crate::quotient::Quotient;
use crate::spec::Spec;
use crate::texts::Texts;
use crate::units::within_limits;
use taghouse_rules::Computed;

/// The part of a batch that is taken in: the states of the event `rows[i]` are in `slots[i]`.
pub(crate) struct Selection<'a> {
    pub(crate) batch: &'a EventBatch<'a>,
    pub(crate) rows: &'a [u32],
    pub(crate) slots: &'a [u32],
}

/// Keys and of which of the selection's rows they are.
pub(crate) struct Cells<K> {
    pub(crate) picks: Vec<u32>,
    pub(crate) keys: Vec<K>,
}

impl<K> Default for Cells<K> {
    fn default() -> Self {
        Self { picks: Vec::new(), keys: Vec::new() }
    }
}

impl<K> Cells<K> {
    fn clear(&mut self) {
        self.picks.clear();
        self.keys.clear();
    }

    fn push(&mut self, pick: u32, key: K) {
        self.picks.push(pick);
        self.keys.push(key);
    }
}

pub(crate) struct Gather<'a> {
    pub(crate) selection: &'a Selection<'a>,
    pub(crate) spec: &'a Spec,
    pub(crate) texts: &'a mut Texts,
    /// For each column the numbers of the batch's texts, as far as they have been asked for.
    pub(crate) known: &'a mut [Vec<u32>],
}

const UNKNOWN: u32 = u32::MAX;

impl Gather<'_> {
    /// Gives how many rows have no number only because theirs is out of range.
    pub(crate) fn numbers(
        &mut self,
        expression: &Expression,
        picks: &[u32],
        cells: &mut Cells<i128>,
    ) -> u64 {
        cells.clear();
        let mut out_of_range = 0;
        let rows = &self.selection.batch.rows;
        // The outer `None`: no value. The inner one: a value out of range.
        let slow = |row: usize| match expression.compute(rows, row) {
            Computed::Nothing => None,
            value => Some(self.spec.units(&value)),
        };
        for pick in picks {
            let row = self.selection.rows[*pick as usize] as usize;
            let number = match expression {
                Expression::Column(column) => rows.reader(*column).number(row).map(within_limits),
                Expression::Product { left, right, .. } => {
                    match Expression::product(rows, row, *left, *right) {
                        Ok(product) => product.map(within_limits),
                        Err(()) => slow(row),
                    }
                }
                Expression::Slow(_) => slow(row),
            };
            match number {
                Some(Some(number)) => cells.push(*pick, number),
                Some(None) => out_of_range += 1,
                None => {}
            }
        }
        out_of_range
    }

    /// The same where numbers are fractions.
    pub(crate) fn quotients(
        &mut self,
        expression: &Expression,
        picks: &[u32],
        cells: &mut Cells<Quotient>,
    ) -> u64 {
        cells.clear();
        let mut out_of_range = 0;
        for pick in picks {
            let row = self.selection.rows[*pick as usize] as usize;
            let number = match expression.compute(&self.selection.batch.rows, row) {
                Computed::Nothing => continue,
                Computed::Number(number) => Quotient::of(&number),
                Computed::Beyond(_) | Computed::Value(_) => None,
            };
            match number {
                Some(quotient) => cells.push(*pick, quotient),
                None => out_of_range += 1,
            }
        }
        out_of_range
    }

    pub(crate) fn texts(
        &mut self,
        expression: &Expression,
        picks: &[u32],
        cells: &mut Cells<Text>,
    ) {
        cells.clear();
        let batch = self.selection.batch;
        if let Expression::Column(column) = expression
            && batch.rows.reader(*column).is_text()
        {
            return self.column(*column, picks, cells);
        }
        for pick in picks {
            let row = self.selection.rows[*pick as usize] as usize;
            self.spec.each_cell(&expression.compute(&batch.rows, row), |cell| {
                if let Cell::Text(text) = cell {
                    cells.push(*pick, self.texts.intern(&text));
                }
            });
        }
    }

    fn column(&mut self, column: usize, picks: &[u32], cells: &mut Cells<Text>) {
        let reader: &ColumnReader<'_> = self.selection.batch.rows.reader(column);
        let known = &mut self.known[column];
        known.resize(self.selection.batch.len, UNKNOWN);
        for pick in picks {
            let row = self.selection.rows[*pick as usize] as usize;
            if known[row] != UNKNOWN {
                cells.push(*pick, Text(known[row]));
            } else if let Some(text) = reader.text(row) {
                let text = self.texts.intern(text);
                known[row] = text.0;
                cells.push(*pick, text);
            }
        }
    }
}
