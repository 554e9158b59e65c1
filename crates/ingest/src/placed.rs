//! A row beside which stands what the names of its file's folders say.

use crate::folder::FolderColumn;
use crate::input_row::Row;
use crate::mapping::Mapping;
use std::borrow::Cow;
use taghouse_rules::UnknownColumns;
use taghouse_rules::reader::Cell;

/// The columns that the folders of a file give, as the mapping sees them.
#[derive(Debug, Default)]
pub(crate) struct FolderCells {
    /// By slot: whether a folder gives it, and its value.
    slots: Vec<Option<Option<String>>>,
    /// What nothing names and is to be kept.
    kept: Vec<(String, String)>,
}

impl FolderCells {
    pub(crate) fn new(columns: &[FolderColumn], mapping: &Mapping) -> Self {
        if columns.is_empty() {
            return Self::default();
        }
        // Of two folders of one name the inner one counts.
        let of = |name: &str| {
            columns
                .iter()
                .rev()
                .find(|column| column.name == name)
                .map(|column| column.value.clone())
        };
        let keeps = |column: &&FolderColumn| {
            mapping.unknown == UnknownColumns::Keep && !mapping.knows(&column.name)
        };
        Self {
            slots: mapping.slots.iter().map(|slot| of(&slot.column)).collect(),
            kept: columns
                .iter()
                .filter(keeps)
                .filter_map(|column| Some((column.name.clone(), column.value.clone()?)))
                .collect(),
        }
    }

    /// Whether a folder gives the slot's column.
    pub(crate) fn has(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(Option::is_some)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none) && self.kept.is_empty()
    }
}

/// A row with the cells of its folders. Where the file has a column of that name itself, that one
/// counts.
pub(crate) struct Placed<'p, R> {
    pub(crate) row: &'p R,
    pub(crate) folders: &'p FolderCells,
}

impl<R: Row> Row for Placed<'_, R> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        match (self.row.cell(slot), self.folders.slots.get(slot)) {
            (Cell::Absent | Cell::Null, Some(Some(Some(value)))) => Cell::Text(value),
            (Cell::Absent, Some(Some(None))) => Cell::Null,
            (cell, _) => cell,
        }
    }

    fn extra(&self) -> Option<String> {
        let own = self.row.extra();
        if self.folders.kept.is_empty() {
            return own;
        }
        let mut members: serde_json::Map<_, _> =
            own.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        for (name, value) in &self.folders.kept {
            members.entry(name.clone()).or_insert_with(|| value.as_str().into());
        }
        Some(serde_json::Value::Object(members).to_string())
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
