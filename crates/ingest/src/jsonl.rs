//! JSON lines: one object a line, its members found by dotted paths. LF, CRLF and a bare CR end a
//! line.

use crate::halt::{AfterRow, Halt};
use crate::header::unknown_column;
use crate::input_row::Row;
use crate::mapping::Mapping;
use crate::reject::{Fault, Reason};
use crate::row_reader::RowReader;
use hashbrown::HashMap;
use indexmap::IndexMap;
use memchr::memchr2;
use std::borrow::Cow;
use std::io::{self, Read};
use taghouse_rules::UnknownColumns;
use taghouse_rules::reader::Cell;
use taghouse_rules::reader::json_scan::{self, JsonKind, JsonSpan, Repaired};

/// A longer line is broken: it bounds memory.
const MAX_LINE_BYTES: usize = 1 << 20;

/// An object of more members is refused: what it brings must stay in proportion, a name of its own
/// for each included.
const MAX_MEMBERS: usize = 10_000;

/// How much text is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads a whole file into `rows`; see [`crate::csv::read`]. Blank lines are not rows.
///
/// # Errors
/// The text cannot be read.
pub(crate) fn read(
    text: impl Read,
    rows: &mut RowReader,
    after_row: &mut AfterRow<'_>,
) -> Result<(), Halt> {
    let mut slots = JsonSlots::new(rows.mapping());
    let mut lines = Lines::new(text);
    let mut number = 0;
    while let Some(line) = lines.next()? {
        let line = if number == 0 {
            line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
        } else {
            line
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        number += 1;
        let scanned = if line.len() > MAX_LINE_BYTES {
            Err(Fault::new(Reason::BrokenLine, "the line is longer than 1 MiB".to_owned()))
        } else {
            match std::str::from_utf8(line) {
                Ok(line) => {
                    let line = JsonLine::of(line);
                    slots.scan(line.text()).map(|()| line)
                }
                Err(_) => Err(Fault::new(Reason::NotUtf8, "the line is not UTF-8".to_owned())),
            }
        };
        match scanned {
            Ok(line) => rows.push(number, &JsonRow { line: &line, slots: &slots }),
            Err(fault) => rows.push_broken(number, &fault, line),
        }
        after_row(rows)?;
    }
    Ok(())
}

/// Lines without their ends. Of a line longer than [`MAX_LINE_BYTES`] only its head is kept, a
/// little longer than that.
struct Lines<R> {
    text: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
}

impl<R: Read> Lines<R> {
    fn new(text: R) -> Self {
        Self { text, buffer: vec![0; BUFFER_BYTES], at: 0, filled: 0, ended: false }
    }

    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        let mut overlong = false;
        loop {
            let found = memchr2(b'\n', b'\r', &self.buffer[self.at + searched..self.filled])
                .map(|length| searched + length);
            if let Some(length) = found {
                let start = self.at;
                self.at += length + 1;
                let length = if overlong { MAX_LINE_BYTES + 1 } else { length };
                return Ok(Some(&self.buffer[start..start + length]));
            }
            if self.ended {
                let start = self.at;
                self.at = self.filled;
                return Ok((start < self.filled).then(|| &self.buffer[start..self.filled]));
            }
            searched = self.filled - self.at;
            if searched > MAX_LINE_BYTES {
                // Read on over the tail of the line; its head stays.
                overlong = true;
                searched = MAX_LINE_BYTES + 1;
                self.filled = self.at + searched;
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.buffer.len() < self.filled + BUFFER_BYTES {
            self.buffer.resize(self.filled + BUFFER_BYTES, 0);
        }
        loop {
            match self.text.read(&mut self.buffer[self.filled..]) {
                Ok(read) => {
                    self.ended = read == 0;
                    self.filled += read;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A step of the mapping's dotted paths.
#[derive(Debug, Default, Clone)]
struct Node {
    slot: Option<usize>,
    /// The member is known, with all that is in it.
    known: bool,
    members: HashMap<String, Node>,
}

impl Node {
    fn insert(&mut self, path: &str, slot: Option<usize>) {
        let mut node = self;
        for step in path.split('.') {
            node = node.members.entry(step.to_owned()).or_default();
        }
        node.slot = slot.or(node.slot);
        node.known = true;
    }

    /// Visits the slots of the member and of all that is in it.
    fn each_slot(&self, visit: &mut dyn FnMut(usize)) {
        if let Some(slot) = self.slot {
            visit(slot);
        }
        for member in self.members.values() {
            member.each_slot(visit);
        }
    }
}

/// What a slot holds after a scan.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// There is no such member.
    Nothing,
    /// It is null, or what it would be in.
    Null,
    Span(JsonSpan),
    /// A text that had escapes: a place in `unescaped`.
    Unescaped(usize),
}

/// A member that nothing names.
#[derive(Debug, Clone)]
struct Kept {
    /// As it is written.
    json: String,
    span: JsonSpan,
    /// The text of a string that had escapes.
    unescaped: Option<String>,
}

/// Finds the mapping's slots in a JSON object.
#[derive(Debug, Clone)]
pub(crate) struct JsonSlots {
    root: Node,
    /// Members whose own name has dots.
    dotted: HashMap<String, Option<usize>>,
    unknown: UnknownColumns,
    found: Vec<Found>,
    unescaped: Vec<String>,
    /// Members to be kept, by dotted path.
    kept: IndexMap<String, Kept>,
    unknown_member: Option<String>,
    /// How many members were seen.
    members: usize,
}

impl JsonSlots {
    pub(crate) fn new(mapping: &Mapping) -> Self {
        let mut root = Node::default();
        let mut dotted = HashMap::new();
        let slots =
            mapping.slots.iter().enumerate().map(|(slot, s)| (s.column.as_str(), Some(slot)));
        let columns = slots.chain(mapping.ignore.iter().map(|column| (column.as_str(), None)));
        for (column, slot) in columns {
            root.insert(column, slot);
            if column.contains('.') {
                dotted.insert(column.to_owned(), slot);
            }
        }
        Self {
            root,
            dotted,
            unknown: mapping.unknown,
            found: vec![Found::Nothing; mapping.slots.len()],
            unescaped: Vec::new(),
            kept: IndexMap::new(),
            unknown_member: None,
            members: 0,
        }
    }

    /// Scans one object. Of a member that is there twice the last counts.
    ///
    /// # Errors
    /// The text is not a JSON object or one of too many members, or it has a member that nothing
    /// names and such are refused.
    pub(crate) fn scan(&mut self, text: &str) -> Result<(), Fault> {
        self.found.fill(Found::Nothing);
        self.unescaped.clear();
        self.kept.clear();
        self.unknown_member = None;
        self.members = 0;
        let root = std::mem::take(&mut self.root);
        let mut at = 0;
        json_scan::skip_blanks(text.as_bytes(), &mut at);
        let walked = self.walk(text, &mut at, &root, "");
        self.root = root;
        json_scan::skip_blanks(text.as_bytes(), &mut at);
        if self.members > MAX_MEMBERS {
            return Err(Fault::new(
                Reason::TooManyMembers,
                format!("it has more than {MAX_MEMBERS} members: send fewer, or an array of them"),
            ));
        }
        if walked.is_none() || at != text.len() {
            return Err(Fault::new(Reason::BrokenLine, "it is not a JSON object".to_owned()));
        }
        match &self.unknown_member {
            Some(name) => Err(unknown_column(name)),
            None => Ok(()),
        }
    }

    fn walk(&mut self, text: &str, at: &mut usize, node: &Node, path: &str) -> Option<()> {
        json_scan::members(text, at, &mut |key, value| {
            self.members += 1;
            if self.members > MAX_MEMBERS {
                return None;
            }
            let key = key.string(text)?;
            if let Some(member) = node.members.get(key.as_ref()) {
                if let Some(slot) = member.slot {
                    self.put(slot, text, value)?;
                }
                if value.kind == JsonKind::Object && !member.members.is_empty() {
                    return self.walk(text, &mut value.start.clone(), member, &joined(path, &key));
                }
                if value.kind == JsonKind::Null {
                    member.each_slot(&mut |slot| self.found[slot] = Found::Null);
                    return Some(());
                }
                if member.known {
                    return Some(());
                }
            } else if let Some(slot) =
                path.is_empty().then(|| self.dotted.get(key.as_ref()).copied()).flatten()
            {
                return match slot {
                    Some(slot) => self.put(slot, text, value),
                    None => Some(()),
                };
            } else if node.known {
                return Some(());
            }
            self.put_unknown(joined(path, &key), text, value);
            Some(())
        })
    }

    fn put(&mut self, slot: usize, text: &str, value: JsonSpan) -> Option<()> {
        self.found[slot] = match value.kind {
            JsonKind::Null => Found::Null,
            JsonKind::EscapedString => {
                self.unescaped.push(value.string(text)?.into_owned());
                Found::Unescaped(self.unescaped.len() - 1)
            }
            _ => Found::Span(value),
        };
        Some(())
    }

    fn put_unknown(&mut self, path: String, text: &str, value: JsonSpan) {
        match self.unknown {
            UnknownColumns::Reject => {
                self.unknown_member = self.unknown_member.take().or(Some(path))
            }
            UnknownColumns::Keep => {
                let json = value.text(text).to_owned();
                let span = JsonSpan { start: 0, end: json.len(), ..value };
                let unescaped = if value.kind == JsonKind::EscapedString {
                    value.string(text).map(Cow::into_owned)
                } else {
                    None
                };
                self.kept.insert(path, Kept { json, span, unescaped });
            }
            UnknownColumns::Ignore => {}
        }
    }

    /// The slot's cell after [`Self::scan`] of `text`.
    pub(crate) fn cell<'s>(&'s self, text: &'s str, slot: usize) -> Cell<'s> {
        match self.found[slot] {
            Found::Nothing => Cell::Absent,
            Found::Null => Cell::Null,
            Found::Unescaped(at) => Cell::Text(&self.unescaped[at]),
            Found::Span(span) => Cell::of_json(text, span),
        }
    }

    /// What nothing names and is to be kept, by dotted path.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, Cell<'_>)> {
        self.kept.iter().map(|(name, kept)| (name.as_str(), kept.cell()))
    }

    /// The cell of what nothing names and is kept under `name`.
    pub(crate) fn kept_cell(&self, name: &str) -> Cell<'_> {
        self.kept.get(name).map_or(Cell::Absent, Kept::cell)
    }

    /// What nothing names, as a JSON object by dotted path, if it is to be kept and there is any.
    pub(crate) fn extra(&self) -> Option<String> {
        if self.kept.is_empty() {
            return None;
        }
        let members: Vec<_> = self
            .kept
            .iter()
            .map(|(name, kept)| format!("{}:{}", serde_json::Value::from(name.as_str()), kept.json))
            .collect();
        Some(format!("{{{}}}", members.join(",")))
    }
}

impl Kept {
    fn cell(&self) -> Cell<'_> {
        self.unescaped.as_deref().map_or_else(|| Cell::of_json(&self.json, self.span), Cell::Text)
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A line that was read.
pub(crate) struct JsonLine<'r> {
    /// As it is written.
    line: &'r str,
    repaired: Repaired<'r>,
}

impl<'r> JsonLine<'r> {
    pub(crate) fn of(line: &'r str) -> Self {
        Self { line, repaired: json_scan::repair(line) }
    }

    /// What is scanned.
    pub(crate) fn text(&self) -> &str {
        &self.repaired.text
    }
}

/// A line seen through a mapping.
pub(crate) struct JsonRow<'r> {
    pub(crate) line: &'r JsonLine<'r>,
    pub(crate) slots: &'r JsonSlots,
}

impl Row for JsonRow<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        self.slots.cell(&self.line.repaired.text, slot)
    }

    fn extra(&self) -> Option<String> {
        self.slots.extra()
    }

    fn raw(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.line.line.as_bytes())
    }

    fn replaced(&self) -> u32 {
        self.line.repaired.replaced
    }

    fn size(&self) -> usize {
        self.line.line.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Trickle<'t>(&'t [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn lines(text: &str, step: usize) -> Vec<usize> {
        let mut lines = Lines::new(Trickle(text.as_bytes(), step));
        let mut lengths = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            lengths.push(line.len());
        }
        lengths
    }

    #[test]
    fn lines_whatever_the_chunks() {
        for step in [1, 2, 5, 1000] {
            assert_eq!(lines("abc\n\nd\nef", step), [3, 0, 1, 2]);
            assert_eq!(lines("abc\n", step), [3]);
            assert_eq!(lines("abc\rd\re\r\nf", step), [3, 1, 1, 0, 1]);
        }
        let long = "x".repeat(3 * MAX_LINE_BYTES);
        assert_eq!(lines(&format!("a\n{long}\nbcd\n"), 1 << 16), [1, MAX_LINE_BYTES + 1, 3]);
        assert_eq!(
            lines(&format!("{}\nb", "x".repeat(MAX_LINE_BYTES)), 1 << 16),
            [MAX_LINE_BYTES, 1]
        );
    }
}
