//! CSV after RFC 4180, read record by record without a copy of the fields. LF, CRLF and a bare CR
//! end a line.
//!
//! Stricter than most readers where leniency would lose rows: a quote that is not closed, or closed
//! in the middle of a field, breaks only the line it stands on, and reading goes on at the next
//! line.

mod field;
mod record;

pub(crate) use field::Dialect;
pub(crate) use record::{CsvReader, Next};

use crate::halt::{AfterRow, Halt};
use crate::header::{HeaderMatch, named, seeming_delimiter};
use crate::input_row::Row;
use crate::overlay::Overlay;
use crate::reject::{Fault, Reason};
use crate::row_reader::RowReader;
use std::borrow::Cow;
use std::io::{self, Read};
use taghouse_rules::UnknownColumns;
use taghouse_rules::reader::Cell;

/// A record seen through a mapping.
struct CsvRow<'r, R> {
    reader: &'r CsvReader<R>,
    /// For each slot the field's place; `None`: the file lacks it.
    columns: &'r [Option<usize>],
    /// Fields to be kept although nothing names them.
    kept: &'r [(usize, String)],
    overlay: &'r Overlay,
}

impl<R: Read> CsvRow<'_, R> {
    /// The whole record was found to be UTF-8 before.
    fn text(&self, field: usize) -> &str {
        std::str::from_utf8(self.reader.field(field)).unwrap_or_default()
    }
}

impl<R: Read> Row for CsvRow<'_, R> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        if let Some(text) = self.overlay.text(slot) {
            return Cell::Text(text);
        }
        self.columns[slot].map_or(Cell::Absent, |field| Cell::Text(self.text(field)))
    }

    fn extra(&self) -> Option<String> {
        let mut object = serde_json::Map::new();
        for (field, name) in self.kept {
            let text = self.text(*field);
            if !text.is_empty() {
                object.insert(name.clone(), text.into());
            }
        }
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }

    fn raw(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.reader.raw())
    }

    fn size(&self) -> usize {
        self.reader.raw().len()
    }
}

/// Reads a whole file into `rows`; `after_row` is called after each row and may stop the reading.
///
/// # Errors
/// The text cannot be read, or has no header that can be.
pub(crate) fn read(
    text: impl Read,
    dialect: Dialect,
    rows: &mut RowReader,
    after_row: &mut AfterRow<'_>,
) -> Result<(), Halt> {
    let mut reader = CsvReader::new(text, dialect)?;
    let Some(header) = read_header(&mut reader)? else { return Ok(()) };
    let matched =
        HeaderMatch::new(&header, rows).map_err(|halt| with_delimiter(halt, &reader, rows))?;
    let mut overlay = Overlay::new(rows.mapping());
    let nameless = if rows.mapping().unknown == UnknownColumns::Ignore {
        header.len()
    } else {
        named(&header)
    };
    for number in 1.. {
        let fault = match reader.next()? {
            Next::End => break,
            Next::Broken(problem) => Some(Fault::new(Reason::BrokenLine, problem.to_owned())),
            Next::Record => record_fault(&reader, &header, nameless).or_else(|| {
                let text = |slot: usize| {
                    matched.columns[slot].map_or("", |field| {
                        std::str::from_utf8(reader.field(field)).unwrap_or_default()
                    })
                };
                overlay.see(rows.mapping(), text).err()
            }),
        };
        match fault {
            Some(fault) => rows.push_broken(number, &fault, reader.raw()),
            None => rows.push(
                number,
                &CsvRow {
                    reader: &reader,
                    columns: &matched.columns,
                    kept: &matched.kept,
                    overlay: &overlay,
                },
            ),
        }
        after_row(rows)?;
    }
    Ok(())
}

/// The refusal of a header, with what its delimiter seems to be.
fn with_delimiter<R: Read>(halt: Halt, reader: &CsvReader<R>, rows: &RowReader) -> Halt {
    let Halt::Refused(problem) = halt else { return halt };
    let line = String::from_utf8_lossy(reader.raw());
    let seeming = rows
        .mapping()
        .slots
        .iter()
        .find_map(|slot| seeming_delimiter(&line, reader.delimiter(), &slot.column));
    // One that is read rightly has the columns with the delimiter that it was read with, too.
    match seeming.filter(|_| reader.field_count() == 1) {
        Some('\t') => Halt::Refused(format!(
            "{problem}; the delimiter seems to be a tab: say `delimiter: \"\\t\"`"
        )),
        Some(other) => Halt::Refused(format!(
            "{problem}; the delimiter seems to be {other}: say `delimiter: \"{other}\"`"
        )),
        None => Halt::Refused(problem),
    }
}

/// The names in the header line; `None`: the file is empty.
fn read_header<R: Read>(reader: &mut CsvReader<R>) -> io::Result<Option<Vec<String>>> {
    let broken = |problem: &str| {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the header line is broken: {problem}"),
        ))
    };
    match reader.next()? {
        Next::End => Ok(None),
        Next::Broken(problem) => broken(problem),
        Next::Record => match (0..reader.field_count())
            .map(|at| String::from_utf8(reader.field(at).to_vec()))
            .collect()
        {
            Ok(names) => Ok(Some(names)),
            Err(_) => broken(
                "it is not UTF-8; if it is windows-1252 or the like, say so with `encoding` in the source",
            ),
        },
    }
}

/// What is wrong with the record as such; from the column `nameless` on there must be nothing.
fn record_fault<R: Read>(
    reader: &CsvReader<R>,
    header: &[String],
    nameless: usize,
) -> Option<Fault> {
    if std::str::from_utf8(reader.raw()).is_err() {
        let field =
            (0..reader.field_count()).find(|at| std::str::from_utf8(reader.field(*at)).is_err());
        let column = field.and_then(|at| header.get(at));
        let detail = column.map_or_else(
            || "the line is not UTF-8".to_owned(),
            |name| format!("column \"{name}\" is not UTF-8"),
        );
        return Some(Fault::new(Reason::NotUtf8, detail));
    }
    let (found, wanted) = (reader.field_count(), header.len());
    if found != wanted {
        return Some(Fault::new(
            Reason::BrokenLine,
            format!("the line has {found} fields, the header {wanted}"),
        ));
    }
    let stray = (nameless..wanted).find(|at| !reader.field(*at).is_empty())?;
    Some(Fault::new(
        Reason::BrokenLine,
        format!("a value stands in column {}, which has no name", stray + 1),
    ))
}

#[cfg(test)]
mod tests;
