//! Records of the log into rows of the tables, by the app's `segment` source.

use crate::Result;
use crate::change_rows::ChangeRows;
use crate::input_row::without_nulls;
use crate::jsonl::JsonSlots;
use crate::landed_ids::LiveSources;
use crate::live_source::live_source;
use crate::log_record::{LogRecord, RecordBody};
use crate::mapping::{MappedColumn, Mapping, clears};
use crate::reject::{Fault, Reason, RejectBuilder, RowPlace, quoted};
use crate::row_checks::{admit, check_time};
use crate::suppressed::SuppressedIds;
use crate::table_columns::{Accepted, AttributeBuilder, EventBuilder, RowHead, Schemas};
use crate::topic_progress::TopicTotals;
use crate::topic_rows::{TopicBuilt, TopicRows, in_order};
use arrow::array::RecordBatch;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs};
use taghouse_rules::reader::{Cell, Parsed};
use taghouse_rules::{BlankCells, Definitions, SourceDefinition};

/// What a landing has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Landed {
    /// Rows of `events`.
    pub events: u64,
    /// Rows of `attributes`.
    pub attributes: u64,
    /// Rows of `rejected_events`: messages, and single fields of messages that landed without
    /// them.
    pub rejected: u64,
    /// Messages that a filter left out.
    pub filtered: u64,
    /// Messages of ids whose data is refused: nothing of them is kept.
    pub suppressed: u64,
    /// Rows of `user_changes`: values changed by hand, and users who went.
    pub changes: u64,
    /// Messages dropped because their id came in before, within 24 h.
    pub duplicates: u64,
    /// Halves of surrogate pairs that were replaced by U+FFFD.
    pub replaced: u64,
    /// The log position through which everything has landed.
    pub position: u64,
}

impl Landed {
    /// With what landed besides; the position stays.
    pub(crate) fn add(&mut self, more: &Self) {
        self.events += more.events;
        self.attributes += more.attributes;
        self.rejected += more.rejected;
        self.filtered += more.filtered;
        self.suppressed += more.suppressed;
        self.changes += more.changes;
        self.duplicates += more.duplicates;
        self.replaced += more.replaced;
    }
}

/// Builds the rows of stretches of the log.
pub(crate) struct LiveRows {
    /// Of what events say: the properties only.
    events: Mapping,
    event_slots: JsonSlots,
    /// Of what users are: the attributes only.
    traits: Mapping,
    trait_slots: JsonSlots,
    /// The attributes that are mapped.
    trait_names: HashSet<String>,
    /// The attributes that other sources give, by name.
    elsewhere: HashMap<String, MappedColumn>,
    blank_clears: bool,
    /// Records of topics.
    topics: TopicRows,
    live: LiveSources,
    schemas: Schemas,
    event_rows: EventBuilder,
    attribute_rows: AttributeBuilder,
    rejected_rows: RejectBuilder,
    change_rows: ChangeRows,
    event_positions: Vec<u64>,
    attribute_positions: Vec<u64>,
    counts: Landed,
    refused: u64,
    /// Whose messages go nowhere.
    suppressed: Arc<SuppressedIds>,
}

/// The rows of a stretch, as batches of the tables, and their counts.
pub(crate) struct Built {
    pub(crate) accepted: Accepted,
    pub(crate) rejected: Vec<RecordBatch>,
    pub(crate) changes: RecordBatch,
    /// For each event the position of its record.
    pub(crate) event_positions: Vec<u64>,
    /// For each row of `attributes` the position of its record.
    pub(crate) attribute_positions: Vec<u64>,
    pub(crate) landed: Landed,
    /// Messages that were rejected whole.
    pub(crate) refused: u64,
    /// What came of records of topics, by source; it is in `landed` too.
    pub(crate) topics: BTreeMap<String, TopicTotals>,
}

impl Built {
    /// With the rows of topics, in the order of the log.
    fn with(self, topics: TopicBuilt) -> Result<Self> {
        let Self { accepted, mut rejected, event_positions, attribute_positions, .. } = self;
        let mut events = vec![(accepted.events, event_positions)];
        let mut attributes = vec![(accepted.attributes, attribute_positions)];
        for batch in topics.batches {
            events.push((batch.accepted.events, batch.event_positions));
            attributes.push((batch.accepted.attributes, batch.attribute_positions));
        }
        let (events, event_positions) = in_order(events)?;
        let (attributes, attribute_positions) = in_order(attributes)?;
        rejected.extend(topics.rejected);
        let mut landed = self.landed;
        landed.add(&topics.landed);
        Ok(Self {
            accepted: Accepted::of(events, attributes),
            rejected,
            event_positions,
            attribute_positions,
            landed,
            topics: topics.totals,
            changes: self.changes,
            refused: self.refused,
        })
    }
}

/// What became of a message whose fields are not all right.
const LANDED: &str = "the rest of the message has landed";

/// A message that was taken.
struct Taken {
    /// What is wrong with the fields that were left out.
    left_out: Vec<Fault>,
    what_of_the_rest: &'static str,
    /// No filter left it out.
    has_rows: bool,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Rows of events or attributes.
    Rows,
    /// A message that is fine, and gives none.
    Filtered,
    /// Not a message, a duplicate, or refused.
    Nothing,
}

/// What a message says of an attribute. No value: the user has none from then on.
struct Said<'r> {
    name: &'r str,
    value: Option<Cow<'r, str>>,
}

impl<'r> Said<'r> {
    /// What a cell says that was read as `parsed`, or left out.
    fn of(
        name: &'r str,
        parsed: Option<Parsed<'_>>,
        cell: &Cell<'_>,
        blank_clears: bool,
    ) -> Option<Self> {
        match parsed?.attribute_text() {
            Some(text) => Some(Self { name, value: Some(Cow::Owned(text.into_owned())) }),
            None => clears(cell, blank_clears).then_some(Self { name, value: None }),
        }
    }

    /// A trait that no source reads.
    fn as_written(
        name: &'r str,
        cell: Cell<'r>,
        blank_clears: bool,
        left_out: &mut Vec<Fault>,
    ) -> Option<Self> {
        let value = cell.text();
        let lengths =
            [("name", name.len()), ("value", value.as_ref().map_or(0, |text| text.len()))];
        if let Some((what, length)) =
            lengths.into_iter().find(|(_, length)| *length > MAX_TEXT_BYTES)
        {
            let detail = format!(
                "the {what} of trait {} has {length} bytes, more than {MAX_TEXT_BYTES}",
                quoted(name)
            );
            left_out.push(Fault::new(Reason::ValueTooLong, detail));
            return None;
        }
        (value.is_some() || clears(&cell, blank_clears)).then_some(Self { name, value })
    }
}

/// The parts of a record that every row shares.
#[derive(Clone, Copy)]
struct Sender<'r> {
    record: &'r LogRecord,
    position: u64,
    user_id: &'r str,
    time_ms: TimestampMs,
}

impl<'r> Sender<'r> {
    fn head<'h>(&self, source: &'h str) -> RowHead<'h>
    where
        'r: 'h,
    {
        let LogRecord { message_id, received_at_ms, anonymous, .. } = self.record;
        RowHead {
            user_id: self.user_id,
            time: self.time_ms,
            message_id,
            source,
            received_at: *received_at_ms,
            anonymous: *anonymous,
        }
    }
}

impl LiveRows {
    pub(crate) fn new(
        definitions: &Definitions,
        schemas: Schemas,
        suppressed: Arc<SuppressedIds>,
    ) -> Result<Self> {
        let source = live_source(definitions)?;
        let source_name = source.name.clone();
        let blank_clears = source.blank == BlankCells::Clear;
        let zone = &definitions.app.time_zone;
        let events = Mapping::compile(
            &SourceDefinition { attributes: BTreeMap::new(), ..source.clone() },
            zone,
        );
        let traits = Mapping::compile(
            &SourceDefinition {
                properties: BTreeMap::new(),
                filters: vec![],
                rejects: vec![],
                ..source
            },
            zone,
        );
        let elsewhere = definitions
            .attributes()
            .into_iter()
            .map(|(name, ty)| (name.to_string(), MappedColumn::named(name, ty, zone)));
        Ok(Self {
            topics: TopicRows::new(definitions, &schemas, suppressed.clone())?,
            suppressed,
            live: LiveSources::of(definitions, &source_name),
            elsewhere: elsewhere.collect(),
            blank_clears,
            event_slots: JsonSlots::new(&events),
            trait_slots: JsonSlots::new(&traits),
            trait_names: traits
                .attributes
                .iter()
                .map(|attribute| attribute.name.to_string())
                .collect(),
            event_rows: EventBuilder::new(&schemas.events, &events)?,
            attribute_rows: AttributeBuilder::new(&schemas.attributes),
            rejected_rows: RejectBuilder::default(),
            change_rows: ChangeRows::default(),
            event_positions: Vec::new(),
            attribute_positions: Vec::new(),
            counts: Landed::default(),
            refused: 0,
            schemas,
            events,
            traits,
        })
    }

    /// The sources whose rows go through the log.
    pub(crate) fn live_sources(&self) -> LiveSources {
        self.live.clone()
    }

    /// Finds the message ids of records of topics.
    pub(crate) fn identify(&mut self, records: &mut [(u64, LogRecord)]) {
        self.topics.identify(records);
    }

    /// Takes the record at `position` of the log, unless its message was there before.
    pub(crate) fn push(&mut self, position: u64, record: &LogRecord, is_new: bool) -> Pushed {
        if let RecordBody::Topic(topic) = &record.body {
            self.topics.push(position, record.received_at_ms, topic, is_new);
            return Pushed::Nothing;
        }
        if self.passes_over(record, is_new) {
            return Pushed::Nothing;
        }
        self.counts.replaced += u64::from(record.replaced);
        if let RecordBody::Event { time_ms, .. } | RecordBody::Traits { time_ms, .. } = &record.body
            && let Err(problem) =
                check_time(*time_ms, record.received_at_ms, self.events.max_future_ms)
        {
            let raw = match &record.body {
                RecordBody::Event { properties: raw, .. }
                | RecordBody::Traits { traits: raw, .. } => raw,
                _ => "",
            };
            self.refused += 1;
            let detail = format!("`timestamp` {problem}, `max_future` of the source");
            self.refuse(position, record, &Reason::BadTime.to_string(), &detail, raw);
            return Pushed::Nothing;
        }
        let (taken, raw) = match &record.body {
            RecordBody::Event { user_id, time_ms, name, properties } => (
                self.push_event(
                    Sender { record, position, user_id, time_ms: *time_ms },
                    name,
                    properties,
                ),
                properties,
            ),
            RecordBody::Traits { user_id, time_ms, traits } => (
                self.push_traits(Sender { record, position, user_id, time_ms: *time_ms }, traits),
                traits,
            ),
            RecordBody::Changed { .. } | RecordBody::Gone { .. } => {
                self.counts.changes += u64::from(self.change_rows.push(position, record));
                return Pushed::Nothing;
            }
            RecordBody::Topic(_) => return Pushed::Nothing,
            RecordBody::Linked { .. } | RecordBody::Unlinked { .. } => return Pushed::Nothing,
            // The reason's text was a class once; written as a rule's it would be another.
            RecordBody::Rejected { reason, detail, raw } => {
                self.refused += 1;
                self.refuse(position, record, reason, detail, raw);
                return Pushed::Nothing;
            }
        };
        match taken {
            Ok(Taken { left_out, what_of_the_rest, has_rows }) => {
                for Fault { reason, detail } in left_out {
                    self.refuse(
                        position,
                        record,
                        &reason.to_string(),
                        &format!("{detail}; {what_of_the_rest}"),
                        raw,
                    );
                }
                if has_rows { Pushed::Rows } else { Pushed::Filtered }
            }
            Err(fault) => {
                self.refused += 1;
                self.refuse(position, record, &fault.reason.to_string(), &fault.detail, raw);
                Pushed::Nothing
            }
        }
    }

    /// Counts what is left out before it is looked at.
    fn passes_over(&mut self, record: &LogRecord, is_new: bool) -> bool {
        let suppressed = is_new && self.suppressed.refuses(record);
        self.counts.duplicates += u64::from(!is_new);
        self.counts.suppressed += u64::from(suppressed);
        !is_new || suppressed
    }

    /// A link that a record asks for is none, for this reason; the rest of it holds.
    pub(crate) fn refuse_link(&mut self, position: u64, record: &LogRecord, id: &str, why: &str) {
        let detail = format!("{why}; {LANDED}");
        self.refuse(position, record, &Reason::IdentityRefused.to_string(), &detail, id);
    }

    fn refuse(&mut self, position: u64, record: &LogRecord, reason: &str, detail: &str, raw: &str) {
        self.counts.rejected += 1;
        let place = RowPlace {
            source: self.events.source.as_str(),
            file: None,
            row: Some(position),
            received_at: record.received_at_ms,
        };
        self.rejected_rows.push(place, reason, detail, raw.as_bytes());
    }

    fn push_event(
        &mut self,
        sender: Sender<'_>,
        name: &str,
        properties: &str,
    ) -> std::result::Result<Taken, Fault> {
        self.event_slots.scan(properties)?;
        let mut left_out = Vec::new();
        let mut values = Vec::with_capacity(self.events.properties.len() + 3);
        for property in &mut self.events.properties {
            let cell = without_nulls(
                self.event_slots.cell(properties, property.slot),
                &self.events.null_values,
            );
            let read = property.read_or_leave_out(&cell, &mut left_out)?;
            values.push(read.unwrap_or(Parsed::None));
        }
        if self.events.sees_extra {
            values.push(Parsed::Text(Cow::Borrowed(sender.user_id)));
            values.push(Parsed::Time(sender.time_ms));
            values.push(Parsed::Text(Cow::Borrowed(name)));
        }
        if !admit(&self.events, &values)? {
            self.counts.filtered += 1;
            return Ok(Taken {
                left_out,
                what_of_the_rest: "a filter of the source left the message out",
                has_rows: false,
            });
        }
        let head = sender.head(self.events.source.as_str());
        self.event_rows.push(&head, name, &values, self.event_slots.extra().as_deref());
        self.event_positions.push(sender.position);
        self.counts.events += 1;
        Ok(Taken { left_out, what_of_the_rest: LANDED, has_rows: true })
    }

    /// A message says one thing of an attribute: by its mapping, or where that finds no value by
    /// the trait of its name. What no mapping names is read as the type that the attribute has
    /// elsewhere, or kept as it is written.
    fn push_traits(
        &mut self,
        sender: Sender<'_>,
        traits: &str,
    ) -> std::result::Result<Taken, Fault> {
        self.trait_slots.scan(traits)?;
        let mut left_out = Vec::new();
        let mut said = Vec::new();
        for attribute in &mut self.traits.attributes {
            let nulls = &self.traits.null_values;
            let mut cell = without_nulls(self.trait_slots.cell(traits, attribute.slot), nulls);
            let own = without_nulls(self.trait_slots.kept_cell(attribute.name.as_str()), nulls);
            if cell.is_empty() && (cell == Cell::Absent || !own.is_empty()) {
                cell = own;
            }
            let parsed = attribute.read_or_leave_out(&cell, &mut left_out)?;
            said.extend(Said::of(attribute.name.as_str(), parsed, &cell, self.blank_clears));
        }
        for (name, cell) in self.trait_slots.kept() {
            if self.trait_names.contains(name) {
                continue;
            }
            let cell = without_nulls(cell, &self.traits.null_values);
            match self.elsewhere.get_mut(name) {
                Some(attribute) => {
                    let parsed = attribute.read_or_leave_out(&cell, &mut left_out)?;
                    said.extend(Said::of(name, parsed, &cell, self.blank_clears));
                }
                None => said.extend(Said::as_written(name, cell, self.blank_clears, &mut left_out)),
            }
        }
        let head = sender.head(self.traits.source.as_str());
        for Said { name, value } in &said {
            self.attribute_rows.push(&head, name, value.as_deref(), 0);
        }
        if said.is_empty() {
            self.attribute_rows.push_user(&head, 0);
        }
        let rows = said.len().max(1);
        self.attribute_positions.extend(std::iter::repeat_n(sender.position, rows));
        self.counts.attributes += rows as u64;
        Ok(Taken { left_out, what_of_the_rest: LANDED, has_rows: true })
    }

    /// The rows since this was last called, with their counts.
    pub(crate) fn finish(&mut self) -> Result<Built> {
        let accepted = Accepted::finish(&mut self.event_rows, &mut self.attribute_rows)?;
        let rejected = self.rejected_rows.finish(&self.schemas.rejected)?;
        let built = Built {
            accepted,
            rejected: vec![rejected],
            changes: self.change_rows.finish()?,
            event_positions: std::mem::take(&mut self.event_positions),
            attribute_positions: std::mem::take(&mut self.attribute_positions),
            landed: std::mem::take(&mut self.counts),
            refused: std::mem::take(&mut self.refused),
            topics: BTreeMap::new(),
        };
        match self.topics.finish()? {
            Some(topics) => built.with(topics),
            None => Ok(built),
        }
    }
}
