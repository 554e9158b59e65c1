//! CSV after RFC 4180, read record by record without a copy of the fields. LF, CRLF and a bare CR
//! end a line.
//!
//! Stricter than most readers where leniency would lose rows: a quote that is not closed, or closed
//! in the middle of a field, breaks only the line it stands on, and reading goes on at the next
//! line.

use crate::halt::{AfterRow, Halt};
use crate::header::{HeaderMatch, named, seeming_delimiter};
use crate::input_row::Row;
use crate::overlay::Overlay;
use crate::reject::{Fault, Reason};
use crate::row_reader::RowReader;
use memchr::{memchr2, memchr3};
use std::borrow::Cow;
use std::io::{self, Read};
use taghouse_rules::UnknownColumns;
use taghouse_rules::reader::Cell;

/// A record over this many bytes is broken: it bounds memory, and how far a quote that is never
/// closed is searched.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// How much text is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// So much of a text is at hand when it begins: a byte order mark and a line that names the
/// separator.
const HEAD_BYTES: usize = 32;

/// One field: where it stands in the buffer, or unescaped beside it.
#[derive(Debug, Clone, Copy)]
struct Field {
    start: usize,
    end: usize,
    unescaped: bool,
}

/// The delimiter that a first line `sep=;` names, as spreadsheets write it, and the line's bytes.
fn separator_line(head: &[u8]) -> Option<(u8, usize)> {
    let (quote, line) = head.strip_prefix(b"\"").map_or((0, head), |line| (1, line));
    let named =
        line.get(..4)?.eq_ignore_ascii_case(b"sep=").then(|| line.get(4).copied()).flatten()?;
    let after = line.get(5..)?.strip_prefix(&b"\""[..quote])?;
    let ends = after.first().is_none_or(|byte| matches!(byte, b'\n' | b'\r'));
    (ends && named.is_ascii() && !matches!(named, b'"' | b'\n' | b'\r'))
        .then_some((named, head.len() - after.len()))
}

/// What stands next in the text.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// A record: see [`CsvReader::field`].
    Record,
    /// A line that is not a record, with what is wrong with it.
    Broken(&'static str),
    /// Nothing follows.
    End,
}

/// What the bytes at hand are.
enum Scan {
    Record {
        end: usize,
    },
    Broken(&'static str),
    /// The record may go on behind the bytes at hand.
    Open,
}

/// The characters that shape a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    /// Takes the meaning from the character behind it, in and out of quotes.
    pub(crate) escape: Option<u8>,
}

/// How databases write that there is no value; with an escape it stays as it is, to be one of
/// `null_values`.
const ESCAPED_NULL: u8 = b'N';

/// Reads records from a text.
pub(crate) struct CsvReader<R> {
    text: R,
    dialect: Dialect,
    buffer: Vec<u8>,
    /// The bytes not yet given are `buffer[at..filled]`.
    at: usize,
    filled: usize,
    ended: bool,
    fields: Vec<Field>,
    unescaped: Vec<u8>,
    /// Where the current record stands in the buffer, without its line end.
    record: std::ops::Range<usize>,
}

impl<R: Read> CsvReader<R> {
    pub(crate) fn new(text: R, dialect: Dialect) -> io::Result<Self> {
        let mut reader = Self {
            text,
            dialect,
            buffer: vec![0; BUFFER_BYTES],
            at: 0,
            filled: 0,
            ended: false,
            fields: Vec::new(),
            unescaped: Vec::new(),
            record: 0..0,
        };
        while reader.filled < HEAD_BYTES && !reader.ended {
            reader.fill()?;
        }
        if reader.buffer[..reader.filled].starts_with("\u{feff}".as_bytes()) {
            reader.at = 3;
        }
        if let Some((delimiter, bytes)) = separator_line(&reader.buffer[reader.at..reader.filled]) {
            reader.dialect.delimiter = delimiter;
            reader.at += bytes;
        }
        Ok(reader)
    }

    /// The next record that is not a blank line.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        loop {
            while self.at < self.filled && matches!(self.buffer[self.at], b'\n' | b'\r') {
                self.at += 1;
            }
            match self.scan() {
                Scan::Record { end } => {
                    self.at = end;
                    return Ok(Next::Record);
                }
                Scan::Broken(problem) => return self.skip_line(problem),
                Scan::Open if self.ended && self.at == self.filled => return Ok(Next::End),
                Scan::Open if self.filled - self.at > MAX_RECORD_BYTES => {
                    return self.skip_line("the record is longer than 1 MiB");
                }
                Scan::Open => self.fill()?,
            }
        }
    }

    /// The delimiter, which the text itself may have named.
    pub(crate) fn delimiter(&self) -> u8 {
        self.dialect.delimiter
    }

    pub(crate) fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The record's bytes, or the first of the broken line's.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.buffer[self.record.clone()]
    }

    /// A field's bytes.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        match self.fields.get(index) {
            Some(field) if field.unescaped => &self.unescaped[field.start..field.end],
            Some(field) => &self.buffer[field.start..field.end],
            None => &[],
        }
    }

    /// Passes over the first line at hand.
    fn skip_line(&mut self, problem: &'static str) -> io::Result<Next> {
        let line_end = |bytes: &[u8]| memchr2(b'\n', b'\r', bytes);
        let mut found = line_end(&self.buffer[self.at..self.filled]);
        while found.is_none() && !self.ended && self.filled - self.at <= MAX_RECORD_BYTES {
            self.fill()?;
            found = line_end(&self.buffer[self.at..self.filled]);
        }
        match found.or((self.ended).then_some(self.filled - self.at)) {
            Some(length) => {
                self.record = self.at..self.at + length;
                self.at = (self.at + length + 1).min(self.filled);
            }
            None => {
                // The line is longer than the buffer: its head is kept before the part where
                // reading goes on.
                let head = self.buffer
                    [self.at..self.filled.min(self.at + crate::reject::MAX_RAW_BYTES)]
                    .to_vec();
                self.at = self.filled;
                while !self.ended {
                    self.fill()?;
                    if let Some(length) = line_end(&self.buffer[self.at..self.filled]) {
                        self.at += length + 1;
                        break;
                    }
                    self.at = self.filled;
                }
                let start = self.filled;
                self.buffer.truncate(start);
                self.buffer.extend_from_slice(&head);
                self.record = start..start + head.len();
            }
        }
        self.fields.clear();
        Ok(Next::Broken(problem))
    }

    /// Moves what is at hand to the buffer's head and reads on behind it.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.buffer.len() < self.filled + BUFFER_BYTES {
            self.buffer.resize(self.filled + BUFFER_BYTES, 0);
        }
        loop {
            match self.text.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(read) => {
                    self.filled += read;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn scan(&mut self) -> Scan {
        self.fields.clear();
        self.unescaped.clear();
        if self.at == self.filled {
            return Scan::Open;
        }
        let bytes = &self.buffer[..self.filled];
        let start = self.at;
        let mut at = start;
        loop {
            let open = behind_blanks(bytes, at, self.dialect.delimiter);
            let found = match (bytes.get(open), self.dialect.escape) {
                (Some(b'"'), _) => {
                    quoted_field(bytes, open, self.dialect, self.ended, &mut self.unescaped)
                }
                (_, Some(escape)) => escaped_field(
                    bytes,
                    at,
                    self.dialect.delimiter,
                    escape,
                    self.ended,
                    &mut self.unescaped,
                ),
                (_, None) => match memchr3(self.dialect.delimiter, b'\n', b'\r', &bytes[at..]) {
                    Some(length) => {
                        Ok((Field { start: at, end: at + length, unescaped: false }, at + length))
                    }
                    None if self.ended => {
                        Ok((Field { start: at, end: self.filled, unescaped: false }, self.filled))
                    }
                    None => Err(Scan::Open),
                },
            };
            let (field, after) = match found {
                Ok(found) => found,
                Err(scan) => return scan,
            };
            self.fields.push(field);
            if bytes.get(after) == Some(&self.dialect.delimiter) {
                at = after + 1;
                continue;
            }
            self.record = start..after;
            // Of CRLF the second half is a blank line then.
            return Scan::Record { end: (after + 1).min(self.filled) };
        }
    }
}

/// The place behind blanks, which stand before and behind quotes in some programs' files.
fn behind_blanks(bytes: &[u8], mut at: usize, delimiter: u8) -> usize {
    while let Some(byte @ (b' ' | b'\t')) = bytes.get(at)
        && *byte != delimiter
    {
        at += 1;
    }
    at
}

/// What an escaped character stands for: itself, or what databases write for control characters.
fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'0' => 0,
        other => other,
    }
}

/// A field without quotes that may hold escapes, and where the delimiter or line end behind it
/// stands.
fn escaped_field(
    bytes: &[u8],
    start: usize,
    delimiter: u8,
    escape: u8,
    ended: bool,
    unescaped: &mut Vec<u8>,
) -> Result<(Field, usize), Scan> {
    let (mut at, mut piece, copied_from) = (start, start, unescaped.len());
    loop {
        let ends =
            |byte: &u8| *byte == delimiter || *byte == escape || matches!(byte, b'\n' | b'\r');
        let Some(length) = bytes[at..].iter().position(ends) else {
            if !ended {
                return Err(Scan::Open);
            }
            at = bytes.len();
            break;
        };
        at += length;
        if bytes[at] != escape {
            break;
        }
        let Some(next) = bytes.get(at + 1) else {
            return Err(if ended {
                Scan::Broken("an escape stands at the end of the file")
            } else {
                Scan::Open
            });
        };
        if *next != ESCAPED_NULL {
            unescaped.extend_from_slice(&bytes[piece..at]);
            unescaped.push(unescape(*next));
            piece = at + 2;
        }
        at += 2;
    }
    if piece == start {
        return Ok((Field { start, end: at, unescaped: false }, at));
    }
    unescaped.extend_from_slice(&bytes[piece..at]);
    Ok((Field { start: copied_from, end: unescaped.len(), unescaped: true }, at))
}

/// The field whose opening quote stands at `open`, and where the delimiter or line end behind it
/// stands.
fn quoted_field(
    bytes: &[u8],
    open: usize,
    dialect: Dialect,
    ended: bool,
    unescaped: &mut Vec<u8>,
) -> Result<(Field, usize), Scan> {
    let (mut at, copied_from, mut copied) = (open + 1, unescaped.len(), false);
    let mut piece = at;
    loop {
        // Without an escape the quote is searched twice, which costs nothing.
        let Some(length) = memchr2(b'"', dialect.escape.unwrap_or(b'"'), &bytes[at..]) else {
            return Err(if ended { Scan::Broken("a quote is not closed") } else { Scan::Open });
        };
        let close = at + length;
        if bytes[close] != b'"' {
            let Some(next) = bytes.get(close + 1) else {
                return Err(if ended { Scan::Broken("a quote is not closed") } else { Scan::Open });
            };
            unescaped.extend_from_slice(&bytes[piece..close]);
            unescaped.push(unescape(*next));
            copied = true;
            at = close + 2;
            piece = at;
            continue;
        }
        match bytes.get(close + 1) {
            Some(b'"') => {
                unescaped.extend_from_slice(&bytes[piece..=close]);
                copied = true;
                at = close + 2;
                piece = at;
            }
            None if !ended => return Err(Scan::Open),
            _ => {
                let behind = behind_blanks(bytes, close + 1, dialect.delimiter);
                let after = match bytes.get(behind) {
                    None if !ended => return Err(Scan::Open),
                    None | Some(b'\n' | b'\r') => behind,
                    Some(byte) if *byte == dialect.delimiter => behind,
                    Some(_) => return Err(Scan::Broken("text stands behind a closing quote")),
                };
                if !copied {
                    return Ok((Field { start: piece, end: close, unescaped: false }, after));
                }
                unescaped.extend_from_slice(&bytes[piece..close]);
                return Ok((
                    Field { start: copied_from, end: unescaped.len(), unescaped: true },
                    after,
                ));
            }
        }
    }
}

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
        .find_map(|slot| seeming_delimiter(&line, reader.dialect.delimiter, &slot.column));
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
