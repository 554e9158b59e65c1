//! One row of the input: read, checked, and put among the events, the attributes or the rejected rows.

use crate::builder::{Accepted, AttributeBuilder, EventBuilder, Head, Schemas};
use crate::folder::FolderColumn;
use crate::input_row::{Row, WithNulls};
use crate::mapping::{EventNaming, Mapping};
use crate::placed::{FolderCells, Placed};
use crate::reject::{Fault, Place, Reason, RejectBuilder, quoted};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use taghouse_model::{MAX_TEXT_BYTES, MAX_USER_ID_BYTES, TimestampMs};
use taghouse_rules::reader::{IdFault, Parsed, read_id, read_instant};
use xxhash_rust::xxh3::xxh3_128;

/// How far ahead of the clock an event's time may lie.
pub(crate) const MAX_AHEAD_MS: i64 = 24 * 3_600_000;

/// The longest message id, in bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 1024;

/// What became of the rows of a stretch of the input.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) filtered: u64,
    pub(crate) rejected: u64,
    /// Halves of surrogate pairs that were replaced, in rows that were taken.
    pub(crate) replaced: u64,
    /// By reason, with the words of the first such row.
    pub(crate) reasons: BTreeMap<Reason, (u64, String)>,
}

impl Tally {
    pub(crate) fn refuse(&mut self, fault: &Fault) {
        self.rejected += 1;
        match self.reasons.get_mut(&fault.reason) {
            Some((count, _)) => *count += 1,
            None => {
                self.reasons.insert(fault.reason.clone(), (1, fault.detail.clone()));
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
        self.replaced += other.replaced;
        for (reason, (count, detail)) in &other.reasons {
            self.reasons.entry(reason.clone()).or_insert_with(|| (0, detail.clone())).0 += count;
        }
    }
}

/// Batches of the three tables, built from a stretch of one file.
pub(crate) struct Chunk {
    pub(crate) accepted: Accepted,
    pub(crate) rejected: RecordBatch,
    /// Hashes of the accepted rows' message ids; empty where ids are unique by construction.
    pub(crate) hashes: Vec<u128>,
    pub(crate) tally: Tally,
}

/// Reads the rows of one source, on one thread.
pub(crate) struct RowReader {
    mapping: Mapping,
    schemas: Schemas,
    events: EventBuilder,
    attributes: AttributeBuilder,
    rejected: RejectBuilder,
    hashes: Vec<u128>,
    tally: Tally,
    accepted_rows: u32,
    bytes: usize,
    file: String,
    folders: FolderCells,
    default_id: String,
    now_ms: TimestampMs,
    /// What the file dates its rows by, if it does.
    file_ms: Option<TimestampMs>,
}

impl RowReader {
    pub(crate) fn new(mapping: &Mapping, schemas: &Schemas, now_ms: TimestampMs) -> Result<Self, ArrowError> {
        Ok(Self {
            mapping: mapping.clone(),
            schemas: schemas.clone(),
            events: EventBuilder::new(&schemas.events, mapping)?,
            attributes: AttributeBuilder::new(&schemas.attributes),
            rejected: RejectBuilder::default(),
            hashes: Vec::new(),
            tally: Tally::default(),
            accepted_rows: 0,
            bytes: 0,
            file: String::new(),
            folders: FolderCells::default(),
            default_id: String::new(),
            now_ms,
            file_ms: None,
        })
    }

    /// The rows that follow are those of this file, whose folders give these columns, and which holds since `file_ms` where no column says so.
    pub(crate) fn begin_file(&mut self, name: &str, folders: &[FolderColumn], file_ms: Option<TimestampMs>) {
        self.file_ms = file_ms;
        self.file = name.to_owned();
        self.events.file = Some(name.to_owned());
        self.attributes.file = Some(name.to_owned());
        self.folders = FolderCells::new(folders, &self.mapping);
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
        let read =
            if folders.is_empty() { self.read_known(number, row) } else { self.read_known(number, &Placed { row, folders: &folders }) };
        self.folders = folders;
        match read {
            Ok(true) => self.tally.replaced += u64::from(row.replaced()),
            Ok(false) => self.tally.filtered += 1,
            Err(fault) => self.reject(number, &fault, &row.raw()),
        }
    }

    /// Takes a row that could not even be read.
    pub(crate) fn push_broken(&mut self, number: u64, fault: &Fault, raw: &[u8]) {
        self.tally.rows += 1;
        self.reject(number, fault, raw);
    }

    fn reject(&mut self, number: u64, fault: &Fault, raw: &[u8]) {
        self.tally.refuse(fault);
        let place = Place { source: self.mapping.source.as_str(), file: Some(&self.file), row: Some(number), received_at: self.now_ms };
        self.rejected.push(place, &fault.reason, &fault.detail, raw);
    }

    /// As [`Self::read`], without the texts that are no value.
    fn read_known(&mut self, number: u64, row: &impl Row) -> Result<bool, Fault> {
        if self.mapping.null_values.is_empty() {
            return self.read(number, row);
        }
        let nulls = std::mem::take(&mut self.mapping.null_values);
        let read = self.read(number, &WithNulls { row, nulls: &nulls });
        self.mapping.null_values = nulls;
        read
    }

    /// `Ok(false)`: filtered out.
    fn read(&mut self, number: u64, row: &impl Row) -> Result<bool, Fault> {
        let user_id = read_user_id(&self.mapping, row)?;
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
            return Ok(false);
        }
        let message_id = match &message_id {
            Some(given) => {
                self.hashes.push(xxh3_128(given.as_bytes()));
                given.as_ref()
            }
            None => self.default_id.as_str(),
        };
        let head = Head { user_id: &user_id, time, message_id, source: self.mapping.source.as_str(), received_at: self.now_ms };
        if let Some(event) = &event {
            self.events.push(&head, event, &values, row.extra().as_deref());
        }
        let mut says_something = event.is_some();
        for (attribute, value) in self.mapping.attributes.iter().zip(&attributes) {
            if *value == Parsed::None && !self.mapping.clears(&row.cell(attribute.slot)) {
                continue;
            }
            says_something = true;
            self.attributes.push(&head, attribute.name.as_str(), value.attribute_text().as_deref(), self.accepted_rows);
        }
        if !says_something {
            self.attributes.push_user(&head, self.accepted_rows);
        }
        self.accepted_rows += 1;
        Ok(true)
    }

    fn read_time(&mut self, row: &impl Row) -> Result<TimestampMs, Fault> {
        let Some((slot, times)) = &mut self.mapping.time else { return Ok(self.file_ms.unwrap_or(self.now_ms)) };
        let cell = row.cell(*slot);
        let column = &self.mapping.slots[*slot].column;
        let shown = || quoted(&cell.text().unwrap_or_default());
        if cell.is_empty() {
            return Err(Fault::new(Reason::BadTime, format!("column \"{column}\" is empty")));
        }
        let text = if times.counts() { cell.text() } else { None };
        if let Some(unit) = text.and_then(|text| times.other_unit(&text)) {
            return Err(Fault::new(Reason::BadTime, format!("column \"{column}\": {} {}", shown(), unit.hint())));
        }
        let time = read_instant(times, &cell).ok_or_else(|| {
            let hint = times.unit_of(&cell.text().unwrap_or_default()).map(|unit| format!(", but {}", unit.hint()));
            Fault::new(Reason::BadTime, format!("column \"{column}\": {} is no time{}", shown(), hint.unwrap_or_default()))
        })?;
        check_time(time, self.now_ms).map_err(|problem| Fault::new(Reason::BadTime, format!("column \"{column}\": {} {problem}", shown())))
    }

    /// The message id that the row gives; `None`: it is file name and row, and stands in `default_id`.
    fn read_message_id<'r>(&mut self, number: u64, row: &'r impl Row) -> Result<Option<Cow<'r, str>>, Fault> {
        let Some(slot) = self.mapping.message_id else {
            self.default_id.clear();
            // Writing to a string cannot fail.
            let _ = write!(self.default_id, "{}:{number:09}", self.file);
            return Ok(None);
        };
        let column = &self.mapping.slots[slot].column;
        let id = id_of(row, slot, column, false, Reason::NoMessageId)?;
        if id.len() > MAX_MESSAGE_ID_BYTES {
            let detail = format!("column \"{column}\" has {} bytes, more than {MAX_MESSAGE_ID_BYTES}: {}", id.len(), quoted(&id));
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

/// The time itself, if it is one that events may have; else what is wrong with it.
pub(crate) fn check_time(time: TimestampMs, now_ms: TimestampMs) -> Result<TimestampMs, &'static str> {
    if time < 0 {
        return Err("is before 1970");
    }
    if time > now_ms.saturating_add(MAX_AHEAD_MS) {
        return Err("is more than 24 h ahead of the clock");
    }
    Ok(time)
}

/// What is wrong with a user id from `column`, if anything is.
pub(crate) fn check_user_id(column: &str, id: &str) -> Result<(), Fault> {
    if id.len() <= MAX_USER_ID_BYTES {
        return Ok(());
    }
    let detail = format!("column \"{column}\" has {} bytes, more than {MAX_USER_ID_BYTES}: {}", id.len(), quoted(id));
    Err(Fault::new(Reason::IdTooLong, detail))
}

fn read_user_id<'r>(mapping: &Mapping, row: &'r impl Row) -> Result<Cow<'r, str>, Fault> {
    let Some(user) = mapping.user else {
        return Err(Fault::new(Reason::NoUserId, "the source maps no user id".to_owned()));
    };
    let column = &mapping.slots[user.slot].column;
    if let Some(text) = row.cell(user.slot).text() {
        check_user_id(column, &text)?;
    }
    id_of(row, user.slot, column, user.int, Reason::NoUserId)
}

/// The id in a slot; `missing`: what is wrong where there is none.
fn id_of<'r>(row: &'r impl Row, slot: usize, column: &str, int: bool, missing: Reason) -> Result<Cow<'r, str>, Fault> {
    let cell = row.cell(slot);
    let place = || format!("column \"{column}\"");
    let id = read_id(&cell, int).map_err(|fault| match fault {
        IdFault::Missing => Fault::new(missing, format!("{} is empty", place())),
        fault => Fault::of_id(&place(), &cell.text().unwrap_or_default(), fault),
    })?;
    if row.replaced() > 0 && id.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Fault::of_broken_id(&place()));
    }
    Ok(id)
}

fn name_event<'r>(mapping: &'r Mapping, row: &'r impl Row, values: &[Parsed<'_>]) -> Result<Option<Cow<'r, str>>, Fault> {
    match &mapping.event {
        EventNaming::None => Ok(None),
        EventNaming::Column(slot) => {
            let column = &mapping.slots[*slot].column;
            let name = row.cell(*slot).text().ok_or_else(|| Fault::new(Reason::NoEvent, format!("column \"{column}\" is empty")))?;
            if name.len() > MAX_TEXT_BYTES {
                let detail = format!("column \"{column}\" has {} bytes, more than {MAX_TEXT_BYTES}: {}", name.len(), quoted(&name));
                return Err(Fault::new(Reason::ValueTooLong, detail));
            }
            Ok(Some(name))
        }
        EventNaming::Rules(rules) => {
            let rule = rules.iter().find(|(when, _)| when.as_ref().is_none_or(|check| check.holds(values)));
            let (_, name) = rule.ok_or_else(|| Fault::new(Reason::NoEvent, "no rule of `event` holds".to_owned()))?;
            Ok(Some(Cow::Borrowed(name)))
        }
    }
}

/// Applies the filters (`Ok(false)`: passed over), then the reject rules. `values`: see [`crate::mapping::EXTRA_VALUES`].
pub(crate) fn admit(mapping: &Mapping, values: &[Parsed<'_>]) -> Result<bool, Fault> {
    if !mapping.filters.iter().all(|check| check.holds(values)) {
        return Ok(false);
    }
    match mapping.rejects.iter().find(|(check, _)| check.holds(values)) {
        Some((_, reason)) => Err(Fault::new(Reason::Rule(reason.clone()), format!("the rule \"{reason}\" of the source holds"))),
        None => Ok(true),
    }
}
