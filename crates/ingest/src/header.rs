//! The columns of a file, by name, as the mapping wants them.

use crate::halt::Halt;
use crate::reject::{Fault, Reason, quoted};
use crate::row_reader::RowReader;
use taghouse_rules::UnknownColumns;

/// So many columns of a header are named where one is missing.
const QUOTED_COLUMNS: usize = 20;

/// How a file's header meets the mapping.
#[derive(Debug, Default)]
pub(crate) struct HeaderMatch {
    /// For each slot the column's place.
    pub(crate) columns: Vec<Option<usize>>,
    /// Columns to be kept as JSON.
    pub(crate) kept: Vec<(usize, String)>,
}

impl HeaderMatch {
    /// # Errors
    /// [`Halt::Refused`]: no row of a file with this header can be read as the mapping says.
    pub(crate) fn new(header: &[String], rows: &RowReader) -> Result<Self, Halt> {
        let mapping = rows.mapping();
        let columns: Vec<_> = mapping
            .slots
            .iter()
            .map(|slot| header.iter().position(|name| *name == slot.column))
            .collect();
        let named = named(header);
        let unknown: Vec<_> = header[..named]
            .iter()
            .enumerate()
            .filter(|(_, name)| !mapping.knows(name))
            .map(|(at, name)| (at, name.clone()))
            .collect();
        let lacks = |slot: &usize| {
            mapping.slots[*slot].needed && columns[*slot].is_none() && !rows.folder_gives(*slot)
        };
        if let Some(slot) = (0..columns.len()).find(lacks) {
            return Err(Halt::Refused(missing(&mapping.slots[slot].column, header)));
        }
        if let (UnknownColumns::Reject, Some((_, name))) = (mapping.unknown, unknown.first()) {
            return Err(Halt::Refused(unknown_column(name).detail));
        }
        let kept = if mapping.unknown == UnknownColumns::Keep { unknown } else { Vec::new() };
        for (at, name) in columns
            .iter()
            .flatten()
            .map(|at| (*at, &header[*at]))
            .chain(kept.iter().map(|(at, name)| (*at, name)))
        {
            if let Some(second) = header.iter().skip(at + 1).position(|other| other == name) {
                let (first, second) = (at + 1, at + second + 2);
                let which =
                    format!("columns {first} and {second} are both called {}", quoted(name));
                return Err(Halt::Refused(format!(
                    "{which}, so nobody knows which is meant: rename one in the file"
                )));
            }
        }
        Ok(Self { columns, kept })
    }
}

/// How many columns stand before those at the end that have no name: a delimiter at the end of each
/// line makes one.
pub(crate) fn named(header: &[String]) -> usize {
    header.len() - header.iter().rev().take_while(|name| name.is_empty()).count()
}

/// The delimiter that the header seems to have, where it is not the one that it was read with.
pub(crate) fn seeming_delimiter(line: &str, delimiter: u8, column: &str) -> Option<char> {
    let stands =
        |other: &char| line.split(*other).any(|name| name.trim().trim_matches('"') == column);
    [';', ',', '\t', '|', ':']
        .into_iter()
        .filter(|other| *other != char::from(delimiter))
        .find(stands)
}

fn missing(column: &str, header: &[String]) -> String {
    let found =
        header.iter().take(QUOTED_COLUMNS).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let more = if header.len() > QUOTED_COLUMNS { ", …" } else { "" };
    format!(
        "unknown column {}: the file does not have it, but {found}{more}; correct the source or the file",
        quoted(column)
    )
}

/// The refusal of a file or row with a column that nothing names.
pub(crate) fn unknown_column(name: &str) -> Fault {
    let detail = format!(
        "nothing names the column {}: map it, list it under `ignore`, or set `unknown_columns`",
        quoted(name)
    );
    Fault::new(Reason::UnknownColumn, detail)
}
