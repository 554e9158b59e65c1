//! The rows of a workbook's first sheet, cell by cell: the sheet is not held in memory.

use super::{IdFile, IdFileOptions, IdRows, MAX_COLUMNS, Records, read_records, refused};
use crate::Error;
use crate::csv::Next;
use crate::input_bytes::Stopped;
use calamine::{Cell, DataRef, Reader, Xlsx, XlsxCellReader, open_workbook};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// The largest workbook, in bytes: its texts are held in memory, unpacked.
const MAX_BYTES: u64 = 128 << 20;
/// The most that its parts may have, unpacked.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// Spreadsheets keep 15 digits of a number.
const EXACT_BELOW: f64 = 1e15;
const ROUNDED: &str = "it is a number of more than 15 digits, which spreadsheets round: format the column as text before the ids are put in";

pub(super) fn read<R: IdRows>(
    path: &Path,
    options: &IdFileOptions,
    stopped: &Stopped,
    rows: &mut R,
) -> Result<IdFile, R::Error> {
    let unreadable = |source: io::Error| Error::Path { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        let most = MAX_BYTES >> 20;
        return Err(refused(
            path,
            &format!("a workbook may have {most} MiB at most: save it as CSV"),
        ));
    }
    let damaged = |error: &dyn std::fmt::Display| {
        Error::Invalid(format!(
            "{}: it cannot be read as .xlsx ({error}): save it again, or as CSV",
            path.display()
        ))
    };
    let unpacked = unpacked_bytes(path).map_err(|error| damaged(&error))?;
    if unpacked > MAX_UNPACKED_BYTES {
        let most = MAX_UNPACKED_BYTES >> 30;
        let problem =
            format!("its parts would have more than {most} GiB, unpacked: save it as CSV");
        return Err(refused(path, &problem));
    }
    let mut book: Xlsx<BufReader<File>> =
        open_workbook(path).map_err(|e: calamine::XlsxError| damaged(&e))?;
    let Some(sheet) = book.sheet_names().into_iter().next() else {
        return Err(refused(path, "it has no sheet"));
    };
    let cells = book.worksheet_cells_reader(&sheet).map_err(|e| damaged(&e))?;
    let mut records = SheetRows {
        cells,
        stopped: stopped.clone(),
        ahead: None,
        ended: false,
        row: 0,
        fields: Vec::new(),
        faults: Vec::new(),
        count: 0,
    };
    read_records(path, &mut records, options, rows)
}

/// How many bytes the parts of a workbook have, as it says.
fn unpacked_bytes(path: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    let mut parts = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut bytes = 0_u64;
    for at in 0..parts.len() {
        bytes = bytes.saturating_add(parts.by_index_raw(at)?.size());
    }
    Ok(bytes)
}

/// The rows of a sheet, the empty ones among them left out.
struct SheetRows<'b, R: Read + Seek> {
    cells: XlsxCellReader<'b, R>,
    stopped: Stopped,
    /// The first cell of the next row.
    ahead: Option<Placed>,
    ended: bool,
    row: u32,
    /// Those of the present row are the first `count`.
    fields: Vec<Vec<u8>>,
    /// Of each field.
    faults: Vec<Option<&'static str>>,
    count: usize,
}

/// A cell and where it stands.
struct Placed {
    row: u32,
    column: usize,
    text: String,
    fault: Option<&'static str>,
}

impl<R: Read + Seek> SheetRows<'_, R> {
    /// The next cell that is not empty.
    fn cell(&mut self) -> io::Result<Option<Placed>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        if self.ended {
            return Ok(None);
        }
        loop {
            if (self.stopped)() {
                return Err(io::Error::other("the run has stopped"));
            }
            let next = self.cells.next_cell();
            let next = next
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let Some(cell) = next else {
                self.ended = true;
                return Ok(None);
            };
            if let Some((text, fault)) = text_of(&cell) {
                let (row, column) = cell.get_position();
                if column as usize >= MAX_COLUMNS {
                    let problem =
                        format!("a cell stands in column {column}, and sheets have {MAX_COLUMNS}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                return Ok(Some(Placed { row, column: column as usize, text, fault }));
            }
        }
    }

    fn put(&mut self, cell: Placed) {
        for fields in self.count..=cell.column {
            match self.fields.get_mut(fields) {
                Some(field) => field.clear(),
                None => self.fields.push(Vec::new()),
            }
        }
        self.count = self.count.max(cell.column + 1);
        self.faults.resize(self.count, None);
        self.fields[cell.column] = cell.text.into_bytes();
        self.faults[cell.column] = cell.fault;
    }
}

impl<R: Read + Seek> Records for SheetRows<'_, R> {
    fn next(&mut self) -> io::Result<Next> {
        self.count = 0;
        self.faults.clear();
        let Some(first) = self.cell()? else { return Ok(Next::End) };
        self.row = first.row;
        self.put(first);
        while let Some(cell) = self.cell()? {
            if cell.row != self.row {
                self.ahead = Some(cell);
                break;
            }
            self.put(cell);
        }
        Ok(Next::Record)
    }

    fn field_count(&self) -> usize {
        self.count
    }

    fn field(&self, at: usize) -> &[u8] {
        self.fields.get(at).filter(|_| at < self.count).map_or(&[], Vec::as_slice)
    }

    fn fault(&self, at: usize) -> Option<&'static str> {
        self.faults.get(at).copied().flatten()
    }

    fn number(&self, _: u64) -> u64 {
        u64::from(self.row) + 1
    }

    fn is_even(&self) -> bool {
        false
    }
}

/// What a cell shows, and why it cannot be an id; `None`: nothing.
fn text_of(cell: &Cell<DataRef<'_>>) -> Option<(String, Option<&'static str>)> {
    let number = |number: f64| {
        let fault = (number.abs() >= EXACT_BELOW).then_some(ROUNDED);
        (number.to_string(), fault)
    };
    Some(match cell.get_value() {
        DataRef::Empty => return None,
        DataRef::Int(whole) => (whole.to_string(), None),
        DataRef::Float(float) => number(*float),
        DataRef::String(text) => (text.clone(), None),
        DataRef::SharedString(text) => ((*text).to_owned(), None),
        DataRef::Bool(is) => (is.to_string(), None),
        DataRef::DateTime(time) => (time.to_string(), Some("it is a date")),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            (text.clone(), Some("it is a date"))
        }
        DataRef::Error(error) => (error.to_string(), Some("it is an error of the sheet")),
    })
}
