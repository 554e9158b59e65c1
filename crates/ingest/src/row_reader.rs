//! Rows of the input: read, checked, and put among the events, the attributes or the rejected rows.

use crate::folder::FolderColumn;
use crate::input_row::{Row, WithNulls};
use crate::mapping::Mapping;
use crate::placed::{FolderCells, Placed};
use crate::reject::{Fault, Reason, RejectBuilder, RowPlace, quoted};
use crate::row_checks::{MAX_MESSAGE_ID_BYTES, admit, check_time, id_of, name_event, read_user_id};
use crate::row_tally::RowTally;
use crate::suppressed::SuppressedIds;
use crate::table_columns::{Accepted, AttributeBuilder, EventBuilder, RowHead, Schemas};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use taghouse_model::TimestampMs;
use taghouse_rules::reader::{Parsed, read_instant};
use xxhash_rust::xxh3::xxh3_128;

/// The digits of a row's number in an id made of it: of files, …
const FILE_DIGITS: usize = 9;
/// … and of offsets, which grow for years.
const OFFSET_DIGITS: usize = 12;

/// Batches of the three tables, built from a stretch of one file.
pub(crate) struct Chunk {
    pub(crate) accepted: Accepted,
    pub(crate) rejected: RecordBatch,
    /// Hashes of the accepted rows' message ids; empty where ids are unique by construction.
    pub(crate) hashes: Vec<u128>,
    pub(crate) tally: RowTally,
}

/// Reads the rows of one source, on one thread.
pub(crate) struct RowReader {
    mapping: Mapping,
    schemas: Schemas,
    events: EventBuilder,
    attributes: AttributeBuilder,
    rejected: RejectBuilder,
    hashes: Vec<u128>,
    tally: RowTally,
    accepted_rows: u32,
    bytes: usize,
    file: String,
    folders: FolderCells,
    default_id: String,
    /// How many digits the row's number has in it.
    id_digits: usize,
    now_ms: TimestampMs,
    /// What the file dates its rows by, if it does.
    file_ms: Option<TimestampMs>,
    /// Whose rows go nowhere.
    suppressed: Arc<SuppressedIds>,
}

/// What becomes of a row that can be read.
enum Fate {
    Taken,
    /// A filter leaves it out.
    Filtered,
    /// Its user's data is refused.
    Suppressed,
}

impl RowReader {
    pub(crate) fn new(
        mapping: &Mapping,
        schemas: &Schemas,
        now_ms: TimestampMs,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            mapping: mapping.clone(),
            schemas: schemas.clone(),
            events: EventBuilder::new(&schemas.events, mapping)?,
            attributes: AttributeBuilder::new(&schemas.attributes),
            rejected: RejectBuilder::default(),
            hashes: Vec::new(),
            tally: RowTally::default(),
            accepted_rows: 0,
            bytes: 0,
            file: String::new(),
            folders: FolderCells::default(),
            default_id: String::new(),
            id_digits: FILE_DIGITS,
            now_ms,
            file_ms: None,
            suppressed: Arc::default(),
        })
    }

    /// Rows of these ids go nowhere; they are counted.
    pub(crate) fn suppressing(self, suppressed: Arc<SuppressedIds>) -> Self {
        Self { suppressed, ..self }
    }

    /// The rows that follow are those of this file, whose folders give these columns, and which
    /// holds since `file_ms` where no column says so.
    pub(crate) fn begin_file(
        &mut self,
        name: &str,
        folders: &[FolderColumn],
        file_ms: Option<TimestampMs>,
    ) {
        self.file_ms = file_ms;
        self.file = name.to_owned();
        self.events.file = Some(name.to_owned());
        self.attributes.file = Some(name.to_owned());
        self.folders = FolderCells::new(folders, &self.mapping);
    }

    /// The row that follows is a record of a topic's partition, written at `time_ms` and read at
    /// `received_ms`. Of the tables' rows only rejected ones name the partition.
    pub(crate) fn begin_record(
        &mut self,
        partition: &str,
        time_ms: TimestampMs,
        received_ms: TimestampMs,
    ) {
        self.file.clear();
        self.file.push_str(partition);
        (self.file_ms, self.now_ms) = (Some(time_ms), received_ms);
        self.id_digits = OFFSET_DIGITS;
    }

    /// Whether the source says where the message id stands.
    pub(crate) fn maps_message_id(&self) -> bool {
        self.mapping.message_id.is_some()
    }

    /// The message id that the row gives, and its time; `None`: one of them is missing or wrong.
    pub(crate) fn read_head(&mut self, row: &impl Row) -> Option<(String, TimestampMs)> {
        if self.mapping.null_values.is_empty() {
            return self.read_id_and_time(row);
        }
        let nulls = std::mem::take(&mut self.mapping.null_values);
        let head = self.read_id_and_time(&WithNulls { row, nulls: &nulls });
        self.mapping.null_values = nulls;
        head
    }

    fn read_id_and_time(&mut self, row: &impl Row) -> Option<(String, TimestampMs)> {
        let time = self.read_time(row).ok()?;
        let id = self.read_message_id(0, row).ok()??;
        Some((id.into_owned(), time))
    }

    /// Events since the last chunk.
    pub(crate) fn event_rows(&self) -> usize {
        self.events.rows()
    }

    /// Rows of `attributes` since the last chunk.
    pub(crate) fn attribute_rows(&self) -> usize {
        self.attributes.rows()
    }

    /// Counts a row without content as left out.
    pub(crate) fn pass_over(&mut self) {
        self.tally.rows += 1;
        self.tally.filtered += 1;
    }

    /// Whether the id's data is refused.
    pub(crate) fn refuses(&self, id: &str) -> bool {
        self.suppressed.holds(id)
    }

    /// Counts a row of such an id.
    pub(crate) fn pass_over_suppressed(&mut self) {
        self.tally.rows += 1;
        self.tally.suppressed += 1;
    }

    /// Takes a row that was refused when it came in.
    pub(crate) fn push_refused(&mut self, number: u64, reason: &str, detail: &str, raw: &[u8]) {
        self.tally.rows += 1;
        if self.suppressed.may_be_named_in(raw) {
            self.tally.suppressed += 1;
            return;
        }
        self.tally.rejected += 1;
        let place = RowPlace {
            source: self.mapping.source.as_str(),
            file: Some(&self.file),
            row: Some(number),
            received_at: self.now_ms,
        };
        self.rejected.push(place, reason, detail, raw);
    }

    /// Whether a folder of the file gives the slot's column.
    pub(crate) fn folder_gives(&self, slot: usize) -> bool {
        self.folders.has(slot)
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Rows since the last chunk.
    pub(crate) fn pending_rows(&self) -> u64 {
        self.tally.rows
    }

    /// About how many bytes the rows since the last chunk bring.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row (`number` from 1).
    pub(crate) fn push(&mut self, number: u64, row: &impl Row) {
        self.tally.rows += 1;
        self.bytes += row.size();
        let folders = std::mem::take(&mut self.folders);
        let read = if folders.is_empty() {
            self.read_known(number, row)
        } else {
            self.read_known(number, &Placed { row, folders: &folders })
        };
        self.folders = folders;
        match read {
            Ok(Fate::Taken) => self.tally.replaced += u64::from(row.replaced()),
            Ok(Fate::Filtered) => self.tally.filtered += 1,
            Ok(Fate::Suppressed) => self.tally.suppressed += 1,
            Err(fault) => self.reject(number, &fault, &row.raw()),
        }
    }

    /// Takes a row that could not even be read.
    pub(crate) fn push_broken(&mut self, number: u64, fault: &Fault, raw: &[u8]) {
        self.tally.rows += 1;
        if self.suppressed.may_be_named_in(raw) {
            self.tally.suppressed += 1;
            return;
        }
        self.reject(number, fault, raw);
    }

    fn reject(&mut self, number: u64, fault: &Fault, raw: &[u8]) {
        self.tally.refuse(fault);
        let place = RowPlace {
            source: self.mapping.source.as_str(),
            file: Some(&self.file),
            row: Some(number),
            received_at: self.now_ms,
        };
        self.rejected.push(place, &fault.reason, &fault.detail, raw);
    }

    /// As [`Self::read`], without the texts that are no value.
    fn read_known(&mut self, number: u64, row: &impl Row) -> Result<Fate, Fault> {
        if self.mapping.null_values.is_empty() {
            return self.read(number, row);
        }
        let nulls = std::mem::take(&mut self.mapping.null_values);
        let read = self.read(number, &WithNulls { row, nulls: &nulls });
        self.mapping.null_values = nulls;
        read
    }

    fn read(&mut self, number: u64, row: &impl Row) -> Result<Fate, Fault> {
        let user_id = read_user_id(&self.mapping, row)?;
        // First of all: nothing that the row says is to be kept, not even what is wrong with it.
        if self.suppressed.holds(&user_id) {
            return Ok(Fate::Suppressed);
        }
        let time = self.read_time(row)?;
        let message_id = self.read_message_id(number, row)?;
        let mut values = Vec::with_capacity(self.mapping.properties.len() + 3);
        for property in &mut self.mapping.properties {
            values.push(property.read(&row.cell(property.slot))?);
        }
        let mut attributes = Vec::with_capacity(self.mapping.attributes.len());
        for attribute in &mut self.mapping.attributes {
            attributes.push(attribute.read(&row.cell(attribute.slot))?);
        }
        if self.mapping.sees_extra {
            values.push(Parsed::Text(user_id.clone()));
            values.push(Parsed::Time(time));
        }
        let event = name_event(&self.mapping, row, &values)?;
        if self.mapping.sees_extra {
            values.push(event.clone().map_or(Parsed::None, Parsed::Text));
        }
        if !admit(&self.mapping, &values)? {
            return Ok(Fate::Filtered);
        }
        let message_id = match &message_id {
            Some(given) => {
                self.hashes.push(xxh3_128(given.as_bytes()));
                given.as_ref()
            }
            None => self.default_id.as_str(),
        };
        let head = RowHead {
            user_id: &user_id,
            time,
            message_id,
            source: self.mapping.source.as_str(),
            received_at: self.now_ms,
            anonymous: false,
        };
        if let Some(event) = &event {
            self.events.push(&head, event, &values, row.extra().as_deref());
        }
        let mut says_something = event.is_some();
        for (attribute, value) in self.mapping.attributes.iter().zip(&attributes) {
            if *value == Parsed::None && !self.mapping.clears(&row.cell(attribute.slot)) {
                continue;
            }
            says_something = true;
            self.attributes.push(
                &head,
                attribute.name.as_str(),
                value.attribute_text().as_deref(),
                self.accepted_rows,
            );
        }
        if !says_something {
            self.attributes.push_user(&head, self.accepted_rows);
        }
        self.accepted_rows += 1;
        Ok(Fate::Taken)
    }

    fn read_time(&mut self, row: &impl Row) -> Result<TimestampMs, Fault> {
        let Some((slot, times)) = &mut self.mapping.time else {
            return Ok(self.file_ms.unwrap_or(self.now_ms));
        };
        let cell = row.cell(*slot);
        let column = &self.mapping.slots[*slot].column;
        let shown = || quoted(&cell.text().unwrap_or_default());
        if cell.is_empty() {
            return Err(Fault::new(Reason::BadTime, format!("column \"{column}\" is empty")));
        }
        let text = if times.counts() { cell.text() } else { None };
        if let Some(unit) = text.and_then(|text| times.other_unit(&text)) {
            return Err(Fault::new(
                Reason::BadTime,
                format!("column \"{column}\": {} {}", shown(), unit.hint()),
            ));
        }
        let time = read_instant(times, &cell).ok_or_else(|| {
            let hint = times
                .unit_of(&cell.text().unwrap_or_default())
                .map(|unit| format!(", but {}", unit.hint()));
            Fault::new(
                Reason::BadTime,
                format!(
                    "column \"{column}\": {} is not a valid time{}",
                    shown(),
                    hint.unwrap_or_default()
                ),
            )
        })?;
        check_time(time, self.now_ms, self.mapping.max_future_ms).map_err(|problem| {
            Fault::new(Reason::BadTime, format!("column \"{column}\": {} {problem}", shown()))
        })
    }

    /// The message id that the row gives; `None`: it is file name and row, and stands in
    /// `default_id`.
    fn read_message_id<'r>(
        &mut self,
        number: u64,
        row: &'r impl Row,
    ) -> Result<Option<Cow<'r, str>>, Fault> {
        let Some(slot) = self.mapping.message_id else {
            self.default_id.clear();
            // Writing to a string cannot fail.
            let _ =
                write!(self.default_id, "{}:{number:0digits$}", self.file, digits = self.id_digits);
            return Ok(None);
        };
        let column = &self.mapping.slots[slot].column;
        let id = id_of(row, slot, column, false, Reason::NoMessageId)?;
        if id.len() > MAX_MESSAGE_ID_BYTES {
            let detail = format!(
                "column \"{column}\" has {} bytes, more than {MAX_MESSAGE_ID_BYTES}: {}",
                id.len(),
                quoted(&id)
            );
            return Err(Fault::new(Reason::IdTooLong, detail));
        }
        Ok(Some(id))
    }

    /// The batches of all rows since the last chunk.
    pub(crate) fn finish(&mut self) -> Result<Chunk, ArrowError> {
        self.accepted_rows = 0;
        self.bytes = 0;
        Ok(Chunk {
            accepted: Accepted::finish(&mut self.events, &mut self.attributes)?,
            rejected: self.rejected.finish(&self.schemas.rejected)?,
            hashes: std::mem::take(&mut self.hashes),
            tally: std::mem::take(&mut self.tally),
        })
    }

    /// Forgets all rows since the last chunk: their file turned out to be damaged.
    pub(crate) fn discard(&mut self) -> Result<(), ArrowError> {
        self.finish().map(drop)
    }
}
