//! What a file seems to be: a source definition proposed from its beginning.

mod columns;
mod proposal;
pub(crate) mod text;

use crate::Result;
use crate::csv::{CsvReader, Dialect};
use crate::halt::Halt;
use crate::input_bytes::{Stopped, open_text};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use columns::{ColumnKind, InspectedColumn};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// So much of a text is looked at.
const HEAD_BYTES: u64 = 1 << 20;
/// So many rows, at most.
const ROWS: usize = 2000;

/// What was found in a file.
struct Found {
    format: &'static str,
    /// `None`: a comma.
    delimiter: Option<char>,
    /// `None`: UTF-8, or what a mark says.
    encoding: Option<String>,
    columns: Vec<InspectedColumn>,
    rows: usize,
    /// Some number is infinite, and would be rejected.
    infinite: bool,
}

/// The definition of a source, in YAML, that reads files like this one: format, delimiter,
/// encoding, the columns' types, and the columns that seem to be the user id, the time and the
/// message id. `name`: the source's, by default the file's.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let file = folder.path().join("orders.csv");
/// std::fs::write(&file, "user_id,time,price\nada,2026-03-02T10:00:00Z,9.50\n")?;
///
/// let yaml = taghouse_ingest::inspect(&file, None)?;
/// assert!(yaml.contains("user_id: \"user_id\""), "{yaml}");
/// assert!(yaml.contains("price: { column: \"price\", type: decimal"), "{yaml}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A file that cannot be read, has no header, or no row.
pub fn inspect(path: &Path, name: Option<&str>) -> Result<String> {
    let unreadable = |source| crate::Error::Path { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(crate::Error::Invalid(format!(
            "{} is a folder: name one of its files",
            path.display()
        )));
    }
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut magic)).map_err(unreadable)?;
    let found = if magic[..read] == *b"PAR1" { of_parquet(path) } else { of_text(path) };
    let found = found.map_err(|halt| match halt {
        Halt::Damaged(problem) | Halt::Refused(problem) => {
            crate::Error::Invalid(format!("{}: {problem}", path.display()))
        }
        Halt::Run(e) => e,
    })?;
    if found.rows == 0 {
        return Err(crate::Error::Invalid(format!(
            "{} has no rows: nothing can be said about its columns",
            path.display()
        )));
    }
    Ok(proposal::write(&found, path, name))
}

fn of_parquet(path: &Path) -> std::result::Result<Found, Halt> {
    let damaged = |e: parquet::errors::ParquetError| {
        Halt::Damaged(format!("the Parquet data is damaged: {e}"))
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(damaged)?;
    let mut columns: Vec<InspectedColumn> = builder
        .schema()
        .fields()
        .iter()
        .map(|field| InspectedColumn::typed(field.name(), field.data_type()))
        .collect();
    let batches = builder.with_batch_size(ROWS).with_limit(ROWS).build().map_err(damaged)?;
    let (mut rows, mut infinite) = (0, false);
    for batch in batches {
        let batch =
            batch.map_err(|e| Halt::Damaged(format!("the Parquet data is damaged: {e}")))?;
        rows += batch.num_rows();
        for (column, array) in columns.iter_mut().zip(batch.columns()) {
            if array.data_type().is_floating() {
                let floats = Floats::of(array);
                infinite |= floats.has_infinite;
                floats.finite.iter().for_each(|text| column.see(text));
                continue;
            }
            let Ok(texts) =
                arrow::util::display::ArrayFormatter::try_new(array, &Default::default())
            else {
                continue;
            };
            (0..batch.num_rows())
                .filter(|row| arrow::array::Array::is_valid(array, *row))
                .for_each(|row| column.see(&texts.value(row).to_string()));
        }
    }
    Ok(Found { format: "parquet", delimiter: None, encoding: None, columns, rows, infinite })
}

/// The numbers of a column of floats.
#[derive(Default)]
struct Floats {
    /// The finite ones, each by its shortest text.
    finite: Vec<String>,
    has_infinite: bool,
}

impl Floats {
    fn of(array: &ArrayRef) -> Self {
        let short = *array.data_type() != DataType::Float64;
        let Ok(doubles) = arrow::compute::cast(array, &DataType::Float64) else {
            return Self::default();
        };
        let numbers: Vec<f64> = doubles.as_primitive::<Float64Type>().iter().flatten().collect();
        #[allow(clippy::cast_possible_truncation, reason = "it was one of 32 bits")]
        let text =
            |number: &f64| if short { (*number as f32).to_string() } else { number.to_string() };
        Self {
            finite: numbers.iter().filter(|number| number.is_finite()).map(text).collect(),
            has_infinite: numbers.iter().any(|number| number.is_infinite()),
        }
    }
}

fn of_text(path: &Path) -> std::result::Result<Found, Halt> {
    let never: Stopped = Arc::new(|| false);
    let mut head = Vec::new();
    open_text(path, &never)?.0.take(HEAD_BYTES).read_to_end(&mut head)?;
    let whole = (head.len() as u64) < HEAD_BYTES;
    let (text, encoding) = text::decoded(&head, whole);
    if text.trim_start().starts_with('{') {
        return Ok(of_lines(&text, encoding));
    }
    of_csv(&text, encoding)
}

fn of_lines(text: &str, encoding: Option<String>) -> Found {
    let mut columns: Vec<InspectedColumn> = Vec::new();
    let mut rows = 0;
    for line in text.lines().take(ROWS) {
        let Ok(serde_json::Value::Object(members)) = serde_json::from_str(line) else { continue };
        rows += 1;
        members.iter().for_each(|(name, value)| see_member(&mut columns, name, value));
    }
    Found { format: "jsonl", delimiter: None, encoding, columns, rows, infinite: false }
}

fn see_member(columns: &mut Vec<InspectedColumn>, path: &str, value: &serde_json::Value) {
    if let serde_json::Value::Object(members) = value {
        return members
            .iter()
            .for_each(|(name, value)| see_member(columns, &format!("{path}.{name}"), value));
    }
    let at = columns.iter().position(|column| column.name == path).unwrap_or_else(|| {
        columns.push(InspectedColumn::new(path));
        columns.len() - 1
    });
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Array(_) => columns[at].kind = Some(ColumnKind::Set),
        serde_json::Value::String(text) => columns[at].see(text),
        other => columns[at].see(&other.to_string()),
    }
}

fn of_csv(text: &str, encoding: Option<String>) -> std::result::Result<Found, Halt> {
    let delimiter = text::delimiter(text)?;
    let mut reader =
        CsvReader::new(Cursor::new(text.as_bytes()), Dialect { delimiter, escape: None })?;
    let records = text::records(&mut reader, ROWS + 1)?;
    let Some((header, rows)) = records.split_first() else {
        return Err(Halt::Refused("it is empty".to_owned()));
    };
    let mut columns: Vec<InspectedColumn> =
        header.iter().map(|name| InspectedColumn::new(name)).collect();
    for row in rows.iter().filter(|row| row.len() == header.len()) {
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.see(cell));
    }
    let delimiter = char::from(reader.delimiter());
    Ok(Found {
        format: "csv",
        delimiter: (delimiter != ',').then_some(delimiter),
        encoding,
        columns,
        rows: rows.len(),
        infinite: false,
    })
}

#[cfg(test)]
mod tests;
