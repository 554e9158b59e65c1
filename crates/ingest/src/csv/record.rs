//! The records of a CSV text: a buffer that is refilled, and the line that is skipped where a record
//! is broken.

use super::field::{Dialect, Field, FieldScanner, NoField, ScannedField};
use crate::reject::MAX_RAW_BYTES;
use memchr::memchr2;
use std::io::{self, Read};

/// A record over this many bytes is broken: it bounds memory, and how far a quote that is never
/// closed is searched.
pub(super) const MAX_RECORD_BYTES: usize = 1 << 20;

/// How much text is read at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// So much of a text is at hand when it begins: a byte order mark and a line that names the
/// separator.
const HEAD_BYTES: usize = 32;

/// A first line `sep=;`, which spreadsheets write to name the delimiter.
struct SeparatorLine {
    delimiter: u8,
    /// Without the line end.
    length: usize,
}

impl SeparatorLine {
    /// The one at the head of a text.
    fn of(head: &[u8]) -> Option<Self> {
        let (quotes, line) = head.strip_prefix(b"\"").map_or((0, head), |line| (1, line));
        let (key, rest) = line.split_at_checked(4)?;
        let (&delimiter, rest) = rest.split_first()?;
        let after = rest.strip_prefix(&b"\""[..quotes])?;

        let is_key = key.eq_ignore_ascii_case(b"sep=");
        let ends = after.first().is_none_or(|byte| matches!(byte, b'\n' | b'\r'));
        let is_delimiter = delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r');
        (is_key && ends && is_delimiter)
            .then_some(Self { delimiter, length: head.len() - after.len() })
    }
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
        if let Some(line) = SeparatorLine::of(&reader.buffer[reader.at..reader.filled]) {
            reader.dialect.delimiter = line.delimiter;
            reader.at += line.length;
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
                Ok(()) => return Ok(Next::Record),
                Err(NoField::Broken(problem)) => return self.skip_line(problem),
                Err(NoField::Incomplete) if self.ended && self.at == self.filled => {
                    return Ok(Next::End);
                }
                Err(NoField::Incomplete) if self.filled - self.at > MAX_RECORD_BYTES => {
                    return self.skip_line("the record is longer than 1 MiB");
                }
                Err(NoField::Incomplete) => self.fill()?,
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
        let mut found = self.line_length();
        while found.is_none() && !self.ended && self.filled - self.at <= MAX_RECORD_BYTES {
            self.fill()?;
            found = self.line_length();
        }
        match found.or((self.ended).then_some(self.filled - self.at)) {
            Some(length) => {
                self.record = self.at..self.at + length;
                self.at = (self.at + length + 1).min(self.filled);
            }
            None => self.skip_huge_line()?,
        }
        self.fields.clear();
        Ok(Next::Broken(problem))
    }

    /// Passes over a line that is longer than the buffer. Its head is kept behind the part of the
    /// buffer where reading goes on.
    fn skip_huge_line(&mut self) -> io::Result<()> {
        let head_end = self.filled.min(self.at + MAX_RAW_BYTES);
        let head = self.buffer[self.at..head_end].to_vec();
        self.at = self.filled;
        while !self.ended {
            self.fill()?;
            if let Some(length) = self.line_length() {
                self.at += length + 1;
                break;
            }
            self.at = self.filled;
        }
        let start = self.filled;
        self.buffer.truncate(start);
        self.buffer.extend_from_slice(&head);
        self.record = start..start + head.len();
        Ok(())
    }

    /// The length of the line at hand, if its end is in the buffer.
    fn line_length(&self) -> Option<usize> {
        memchr2(b'\n', b'\r', &self.buffer[self.at..self.filled])
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

    /// Reads the record at hand into `fields` and passes over it and its line end.
    fn scan(&mut self) -> Result<(), NoField> {
        self.fields.clear();
        self.unescaped.clear();
        if self.at == self.filled {
            return Err(NoField::Incomplete);
        }
        let bytes = &self.buffer[..self.filled];
        let start = self.at;
        let mut scanner = FieldScanner {
            bytes,
            dialect: self.dialect,
            ended: self.ended,
            unescaped: &mut self.unescaped,
        };

        let mut at = start;
        loop {
            let ScannedField { field, after } = scanner.field(at)?;
            self.fields.push(field);
            if bytes.get(after) == Some(&self.dialect.delimiter) {
                at = after + 1;
                continue;
            }
            self.record = start..after;
            // Of CRLF the second half is a blank line then.
            self.at = (after + 1).min(self.filled);
            return Ok(());
        }
    }
}
