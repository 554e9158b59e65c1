//! Ids of users in a file: one column of a CSV file, or of the first sheet of a workbook.

mod column;
mod problem_rows;
mod sheet;

use crate::csv::{CsvReader, Dialect, Next};
use crate::decode::as_utf8;
use crate::halt::Halt;
use crate::input_bytes::{Stopped, open_text};
use crate::inspect::text;
pub use problem_rows::{ProblemRows, UnpackedRows};

use crate::Error;
use column::Choice;
use encoding_rs::Encoding;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use taghouse_model::check_user_id;

/// So much of a text tells its encoding and its delimiter.
const HEAD_BYTES: u64 = 1 << 20;
/// So many rows tell the column, or so many fields.
const SAMPLE_ROWS: usize = 1000;
const SAMPLE_FIELDS: usize = 1 << 20;
const SAMPLE_BYTES: usize = 16 << 20;
/// The most columns: as many as a spreadsheet has.
const MAX_COLUMNS: usize = 16_384;

/// How a file of ids is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdFileOptions {
    /// The column of the ids, by its name or its number from 1; `None`: it is looked for.
    pub column: Option<String>,
    /// Whether the first row names the columns; `None`: it does if it has the column's name, or one
    /// that ids are usually given.
    pub header: Option<bool>,
}

/// What takes the rows of a file.
pub trait IdRows {
    /// What can go wrong with it, besides the file.
    type Error: From<Error>;

    /// How many of these ids are of users.
    ///
    /// # Errors
    /// Its own.
    fn known(&mut self, ids: &[&str]) -> std::result::Result<usize, Self::Error>;

    /// Takes the id of a row, or what is wrong with the row. Rows are counted from 1, the header
    /// among them, blank lines not.
    ///
    /// # Errors
    /// Its own: nothing more is read then.
    fn row(
        &mut self,
        number: u64,
        id: std::result::Result<&str, &str>,
    ) -> std::result::Result<(), Self::Error>;
}

/// How a file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdFile {
    /// The number of the column, from 1.
    pub column: usize,
    /// Its name, if the first row is a header.
    pub header: Option<String>,
}

/// Records of fields, one after another.
trait Records {
    fn next(&mut self) -> io::Result<Next>;

    fn field_count(&self) -> usize;

    fn field(&self, at: usize) -> &[u8];

    /// Why a field cannot be an id, whatever its text.
    fn fault(&self, _at: usize) -> Option<&'static str> {
        None
    }

    /// The number of the record, which is the `count`th.
    fn number(&self, count: u64) -> u64 {
        count
    }

    /// Whether each must have as many fields as the first.
    fn is_even(&self) -> bool;
}

impl<R: Read> Records for CsvReader<R> {
    fn next(&mut self) -> io::Result<Next> {
        self.next()
    }

    fn field_count(&self) -> usize {
        self.field_count()
    }

    fn field(&self, at: usize) -> &[u8] {
        self.field(at)
    }

    fn is_even(&self) -> bool {
        true
    }
}

/// Reads the ids of a file into `rows`: CSV with any of the usual delimiters and encodings, also
/// packed (`.gz`), or an Excel workbook (`.xlsx`).
///
/// # Errors
/// [`Error::Invalid`] for a file that is empty or of another kind, and where the column is not to be
/// found; [`Error::Path`]; those of `rows`.
pub fn read_ids<R: IdRows>(
    path: &Path,
    options: &IdFileOptions,
    stopped: &Stopped,
    rows: &mut R,
) -> std::result::Result<IdFile, R::Error> {
    let unreadable = |source: io::Error| Error::Path { path: path.to_owned(), source };
    let mut magic = Vec::new();
    let opened = File::open(path).map_err(unreadable)?;
    opened.take(8).read_to_end(&mut magic).map_err(unreadable)?;
    match magic.as_slice() {
        [b'P', b'K', 3, 4, ..] => return sheet::read(path, options, stopped, rows),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            return Err(refused(path, "it is a workbook of an old Excel: save it as .xlsx or CSV"));
        }
        [b'P', b'A', b'R', b'1', ..] => {
            let problem =
                "it is Parquet: ids come from CSV or .xlsx; of tables, use a crowd with `sql`";
            return Err(refused(path, problem));
        }
        _ => {}
    }
    let mut head = Vec::new();
    let (text, _) = open_text(path, stopped).map_err(unreadable)?;
    text.take(HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
    let whole = (head.len() as u64) < HEAD_BYTES;
    let (head, encoding) = text::decoded(&head, whole);
    let delimiter = text::delimiter(&head).map_err(unreadable)?;

    let (text, _) = open_text(path, stopped).map_err(unreadable)?;
    let encoding = encoding.and_then(|label| Encoding::for_label(label.as_bytes()));
    let text = as_utf8(text, encoding).map_err(|halt| match halt {
        Halt::Damaged(problem) | Halt::Refused(problem) => {
            Error::Invalid(format!("{}: {problem}", path.display()))
        }
        Halt::Run(error) => error,
    })?;
    let mut records =
        CsvReader::new(text, Dialect { delimiter, escape: None }).map_err(unreadable)?;
    read_records(path, &mut records, options, rows)
}

fn refused<E: From<Error>>(path: &Path, problem: &str) -> E {
    Error::Invalid(format!("{}: {problem}", path.display())).into()
}

/// A record of the sample.
struct Sampled {
    number: u64,
    /// What is wrong with its line, if it is not a record.
    problem: Option<&'static str>,
    fields: Vec<Vec<u8>>,
    /// Of each field.
    faults: Vec<Option<&'static str>>,
}

/// The first records of a file.
struct Sample {
    records: Vec<Sampled>,
    /// How many there are, broken ones among them.
    count: u64,
}

impl Sample {
    fn of(path: &Path, records: &mut dyn Records) -> Result<Self, Error> {
        let unreadable = |source: io::Error| Error::Path { path: path.to_owned(), source };
        let mut sample = Self { records: Vec::new(), count: 0 };
        let (mut all_fields, mut all_bytes) = (0, 0);
        while sample.records.len() < SAMPLE_ROWS
            && all_fields < SAMPLE_FIELDS
            && all_bytes < SAMPLE_BYTES
        {
            let problem = match records.next().map_err(unreadable)? {
                Next::End => break,
                Next::Broken(problem) => Some(problem),
                Next::Record => None,
            };
            sample.count += 1;
            let number = records.number(sample.count);
            let columns = records.field_count();
            if columns > MAX_COLUMNS {
                let problem = format!("row {number} has {columns} fields, more than {MAX_COLUMNS}");
                return Err(refused(path, &problem));
            }
            let fields: Vec<Vec<u8>> = (0..columns).map(|at| records.field(at).to_vec()).collect();
            let faults = (0..columns).map(|at| records.fault(at)).collect();
            all_fields += columns;
            all_bytes += fields.iter().map(Vec::len).sum::<usize>();
            sample.records.push(Sampled { number, problem, fields, faults });
        }
        Ok(sample)
    }
}

fn read_records<R: IdRows>(
    path: &Path,
    records: &mut dyn Records,
    options: &IdFileOptions,
    rows: &mut R,
) -> std::result::Result<IdFile, R::Error> {
    let unreadable = |source: io::Error| Error::Path { path: path.to_owned(), source };
    let Sample { records: sample, mut count } = Sample::of(path, records)?;
    let whole: Vec<&[Vec<u8>]> = sample
        .iter()
        .filter(|record| record.problem.is_none())
        .map(|record| record.fields.as_slice())
        .collect();
    let (first, others) = match whole.split_first() {
        Some((first, others)) => (*first, others),
        None => return Err(refused(path, "it has no rows")),
    };
    let choice = match Choice::of(first, others, options, rows)? {
        Ok(choice) => choice,
        Err(problem) => return Err(refused(path, &problem)),
    };

    let width = records.is_even().then_some(first.len());
    let Choice { column, header } = choice;
    let mut header_left = header.is_some();
    for Sampled { number, problem, fields, faults } in &sample {
        if problem.is_none() && std::mem::take(&mut header_left) {
            continue;
        }
        let field = fields.get(column).map_or(&[][..], Vec::as_slice);
        let problem = problem.or_else(|| faults.get(column).copied().flatten());
        Row { problem, width, found: fields.len(), field }.give(*number, rows)?;
    }
    loop {
        let next = records.next().map_err(unreadable)?;
        let problem = match next {
            Next::End => break,
            Next::Broken(problem) => Some(problem),
            Next::Record => None,
        };
        count += 1;
        let problem = problem.or_else(|| records.fault(column));
        let (found, field) = (records.field_count(), records.field(column));
        Row { problem, width, found, field }.give(records.number(count), rows)?;
    }
    Ok(IdFile { column: column + 1, header })
}

/// A row before its id was looked at.
struct Row<'r> {
    problem: Option<&'static str>,
    /// How many fields it must have.
    width: Option<usize>,
    /// How many it has.
    found: usize,
    field: &'r [u8],
}

impl Row<'_> {
    fn give<R: IdRows>(&self, number: u64, rows: &mut R) -> std::result::Result<(), R::Error> {
        match self.id() {
            Ok(id) => rows.row(number, Ok(id)),
            Err(problem) => rows.row(number, Err(&problem)),
        }
    }

    fn id(&self) -> std::result::Result<&str, String> {
        if let Some(problem) = self.problem {
            return Err(problem.to_owned());
        }
        if let Some(width) = self.width.filter(|width| *width != self.found) {
            return Err(format!("it has {} fields, the first row {width}", self.found));
        }
        let id = std::str::from_utf8(self.field).map_err(|_| "it is not UTF-8".to_owned())?;
        let id = id.trim();
        // The id itself is not told again: what is said of rows is kept.
        check_user_id(id).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
