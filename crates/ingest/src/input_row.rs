//! A row of the input, in any format.

use std::borrow::Cow;
use std::collections::HashSet;
use taghouse_rules::reader::Cell;
use taghouse_rules::reader::json_scan::{self, JsonKind};

/// A row of any format: cells by slot of the mapping.
pub(crate) trait Row {
    /// The cell of the mapping's slot.
    fn cell(&self, slot: usize) -> Cell<'_>;
    /// The cells that nothing names, as a JSON object, if they are to be kept and there are any.
    fn extra(&self) -> Option<String>;
    /// The row as it stands in the input.
    fn raw(&self) -> Cow<'_, [u8]>;
    /// How many halves of surrogate pairs were replaced in it.
    fn replaced(&self) -> u32 {
        0
    }
    /// About how many bytes it brings.
    fn size(&self) -> usize;
}

/// A row in which some texts are no value.
pub(crate) struct WithNulls<'r, R> {
    pub(crate) row: &'r R,
    pub(crate) nulls: &'r HashSet<String>,
}

/// The cell, or null if its text is one of these.
pub(crate) fn without_nulls<'a>(cell: Cell<'a>, nulls: &HashSet<String>) -> Cell<'a> {
    let is_null = |text: &str| nulls.contains(text) || nulls.contains(text.trim_ascii());
    match cell.text() {
        Some(text) if is_null(&text) => Cell::Null,
        _ => cell,
    }
}

impl<R: Row> Row for WithNulls<'_, R> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        without_nulls(self.row.cell(slot), self.nulls)
    }

    fn extra(&self) -> Option<String> {
        let text = self.row.extra()?;
        let mut kept = Vec::new();
        json_scan::members(&text, &mut 0, &mut |key, value| {
            let is_null =
                |text: &str| self.nulls.contains(text) || self.nulls.contains(text.trim_ascii());
            let drop = match value.kind {
                JsonKind::PlainString | JsonKind::EscapedString => is_null(&value.string(&text)?),
                JsonKind::Number => is_null(value.text(&text)),
                _ => false,
            };
            if !drop {
                kept.push(format!("{}:{}", key.text(&text), value.text(&text)));
            }
            Some(())
        })?;
        (!kept.is_empty()).then(|| format!("{{{}}}", kept.join(",")))
    }

    fn raw(&self) -> Cow<'_, [u8]> {
        self.row.raw()
    }

    fn replaced(&self) -> u32 {
        self.row.replaced()
    }

    fn size(&self) -> usize {
        self.row.size()
    }
}
