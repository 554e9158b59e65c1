//! A source definition, compiled: which columns are read, as what, and which conditions decide.

use crate::reject::Fault;
use crate::{Error, Result};
use jiff::tz::TimeZone;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_model::{Name, ValueType};
use taghouse_rules::reader::{self, ColumnReader, Parsed, TextLists, TimeReader};
use taghouse_rules::{
    BlankCells, ColumnMapping, Condition, Definitions, EventMapping, NotFinite, Place, Predicate,
    SourceDefinition, SourceFormat, UnknownColumns,
};

/// A compiled source. The readers inside are templates: each worker clones its own.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) source: Name,
    /// The columns that are read. A slot is a place in here.
    pub(crate) slots: Vec<Slot>,
    pub(crate) user: Option<UserColumn>,
    pub(crate) time: Option<(usize, TimeReader)>,
    pub(crate) message_id: Option<usize>,
    pub(crate) event: EventNaming,
    pub(crate) properties: Vec<MappedColumn>,
    pub(crate) attributes: Vec<MappedColumn>,
    pub(crate) filters: Vec<Condition>,
    pub(crate) rejects: Vec<(Condition, String)>,
    /// Some condition sees [`EXTRA_VALUES`], so rows must give them.
    pub(crate) sees_extra: bool,
    pub(crate) unknown: UnknownColumns,
    pub(crate) ignore: HashSet<String>,
    /// A blank cell takes the attribute's value away.
    blank_clears: bool,
    /// In the format a null is all that a blank cell can be.
    null_is_blank: bool,
    /// Texts that are no value.
    pub(crate) null_values: HashSet<String>,
    /// What NaN and the infinities are.
    pub(crate) not_finite: NotFinite,
    /// How far a row's time may lie ahead of the clock.
    pub(crate) max_future_ms: i64,
}

/// A column that is read.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) column: String,
    /// A file without it cannot give a single row.
    pub(crate) needed: bool,
    /// It is a number with a decimal comma.
    pub(crate) comma: bool,
    /// An empty cell means what the row above says.
    pub(crate) fill_down: bool,
}

/// Where the user id stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserColumn {
    pub(crate) slot: usize,
    /// It is written as a number.
    pub(crate) int: bool,
}

/// How a row's event is named.
#[derive(Debug, Clone)]
pub(crate) enum EventNaming {
    /// The rows are not events.
    None,
    /// By a column.
    Column(usize),
    /// By the first rule that holds.
    Rules(Vec<(Option<Condition>, Arc<str>)>),
}

/// A property or attribute.
#[derive(Debug, Clone)]
pub(crate) struct MappedColumn {
    pub(crate) name: Name,
    pub(crate) slot: usize,
    pub(crate) reader: ColumnReader,
    /// The name that error messages use for it.
    place: String,
}

impl MappedColumn {
    /// An attribute read as its type from what bears its name.
    pub(crate) fn named(name: Name, ty: ValueType, zone: &TimeZone) -> Self {
        Self {
            slot: usize::MAX,
            reader: ColumnReader::plain(ty, zone, TextLists::None),
            place: format!("trait \"{name}\""),
            name,
        }
    }

    /// The value in its cell.
    pub(crate) fn read<'a>(
        &mut self,
        cell: &reader::Cell<'a>,
    ) -> std::result::Result<Parsed<'a>, Fault> {
        self.reader.read(cell).map_err(|fault| Fault::of_value(&self.place, fault))
    }

    /// Reads a cell of a live call. What is wrong is left out alone (`None`), for the sender has
    /// gone on and will not send the message again; only what is required refuses the message.
    pub(crate) fn read_or_leave_out<'a>(
        &mut self,
        cell: &reader::Cell<'a>,
        left_out: &mut Vec<Fault>,
    ) -> std::result::Result<Option<Parsed<'a>>, Fault> {
        match self.read(cell) {
            Err(fault) if !self.reader.is_required() => {
                left_out.push(fault);
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}

/// The values that conditions see behind those of the mapped properties. The event comes last:
/// rules that name it see the others.
pub(crate) const EXTRA_VALUES: [(&str, ValueType); 3] =
    [("user_id", ValueType::Text), ("time", ValueType::Time), ("event", ValueType::Text)];

impl Mapping {
    /// Compiles `source`; `zone` is the app's.
    pub(crate) fn compile(source: &SourceDefinition, zone: &TimeZone) -> Self {
        let mut slots =
            Slots { slots: Vec::new(), comma: source.decimal_comma, fill_down: &source.fill_down };
        let properties = source
            .properties
            .iter()
            .map(|(name, column)| mapped_column(&mut slots, name, column, source, zone))
            .collect();
        let attributes = source
            .attributes
            .iter()
            .map(|(name, column)| mapped_column(&mut slots, name, column, source, zone))
            .collect();
        let user = source.user_id.as_ref().map(|column| UserColumn {
            slot: slots.take(&column.column, true),
            int: column.value_type == ValueType::Int,
        });
        let time = source.time.as_ref().map(|time| {
            let zone = time.zone.clone().unwrap_or_else(|| zone.clone());
            (slots.take(&time.column, true), TimeReader::new(&time.format, zone))
        });
        let message_id = source.message_id.as_ref().map(|column| slots.take(column, true));
        let types: Vec<_> = source
            .properties
            .iter()
            .map(|(name, column)| (name.as_str(), column.value_type))
            .chain(EXTRA_VALUES)
            .collect();
        let sees_extra = Cell::new(false);
        let places = |name: &str| {
            let at = types.iter().position(|(known, _)| *known == name)?;
            sees_extra.set(sees_extra.get() || at >= source.properties.len());
            Some(Place { at, value_type: types[at].1 })
        };
        let compile = |predicate: &Predicate<_>| Condition::compile(predicate, &places);
        let event = match &source.event {
            None => EventNaming::None,
            Some(EventMapping::Column(column)) => EventNaming::Column(slots.take(column, true)),
            Some(EventMapping::Rules(rules)) => EventNaming::Rules(
                rules
                    .iter()
                    .map(|rule| (rule.when.as_ref().map(compile), Arc::from(rule.name.as_str())))
                    .collect(),
            ),
        };
        let filters = source.filters.iter().map(compile).collect();
        let rejects =
            source.rejects.iter().map(|rule| (compile(&rule.when), rule.reason.clone())).collect();
        Self {
            source: source.name.clone(),
            slots: slots.slots,
            user,
            time,
            message_id,
            event,
            properties,
            attributes,
            filters,
            rejects,
            sees_extra: sees_extra.get(),
            unknown: source.unknown_columns,
            ignore: source.ignore.iter().cloned().collect(),
            blank_clears: source.blank == BlankCells::Clear,
            null_values: source.null_values.iter().cloned().collect(),
            null_is_blank: source.format == SourceFormat::Parquet,
            not_finite: source.not_finite,
            max_future_ms: source.max_future_ms,
        }
    }

    /// Whether a cell from which no value came takes the attribute's value away.
    pub(crate) fn clears(&self, cell: &reader::Cell<'_>) -> bool {
        match cell {
            reader::Cell::Null if self.null_is_blank => self.blank_clears,
            // Of numbers only what is not finite brings no value.
            reader::Cell::Float(_) => self.blank_clears,
            cell => clears(cell, self.blank_clears),
        }
    }

    /// Whether a column of this name is read or known to be unwanted.
    pub(crate) fn knows(&self, column: &str) -> bool {
        self.ignore.contains(column) || self.slots.iter().any(|slot| slot.column == column)
    }

    /// Compiles the file source `name` of `definitions`.
    pub(crate) fn of_files<'d>(
        definitions: &'d Definitions,
        name: &Name,
    ) -> Result<(&'d SourceDefinition, Self)> {
        let source = definitions.sources.get(name).ok_or_else(|| Error::NoSource {
            name: name.to_string(),
            known: definitions.sources.keys().map(Name::as_str).collect::<Vec<_>>().join(", "),
        })?;
        match source.format {
            SourceFormat::Segment => {
                return Err(Error::Invalid(format!(
                    "source \"{name}\" takes live calls, not files: send them to /v1/track and the like"
                )));
            }
            SourceFormat::Kafka => {
                return Err(Error::Invalid(format!(
                    "source \"{name}\" reads a topic, not files: the server reads it by itself"
                )));
            }
            SourceFormat::Csv { .. } | SourceFormat::Jsonl | SourceFormat::Parquet => {}
        }
        if source.user_id.is_none() {
            return Err(Error::Invalid(format!(
                "source \"{name}\" maps no user id: give it `user_id`"
            )));
        }
        if source.event.is_some() && source.time.is_none() && source.file_time.is_none() {
            return Err(Error::Invalid(format!(
                "source \"{name}\" gives events but maps no time: give it `time`"
            )));
        }
        Ok((source, Self::compile(source, &definitions.app.time_zone)))
    }
}

/// Whether a cell from which no value came takes the attribute's value away, where null is a word
/// of its own. An empty list has no values, and is not blank.
pub(crate) fn clears(cell: &reader::Cell<'_>, blank_clears: bool) -> bool {
    match cell {
        reader::Cell::Absent => false,
        reader::Cell::Null => true,
        cell => blank_clears || !cell.is_empty(),
    }
}

/// The columns met so far.
struct Slots<'s> {
    slots: Vec<Slot>,
    /// The source writes numbers with a comma.
    comma: bool,
    fill_down: &'s [String],
}

impl Slots<'_> {
    fn take(&mut self, column: &str, needed: bool) -> usize {
        self.take_as(column, needed, false)
    }

    /// Of a column that is read as a number and as something else, too, each has a slot.
    fn take_as(&mut self, column: &str, needed: bool, number: bool) -> usize {
        let comma = self.comma && number;
        let at = self
            .slots
            .iter()
            .position(|slot| slot.column == column && slot.comma == comma)
            .unwrap_or_else(|| {
                let fill_down = self.fill_down.iter().any(|filled| filled == column);
                self.slots.push(Slot {
                    column: column.to_owned(),
                    needed: false,
                    comma,
                    fill_down,
                });
                self.slots.len() - 1
            });
        self.slots[at].needed |= needed;
        at
    }
}

fn mapped_column(
    slots: &mut Slots<'_>,
    name: &Name,
    column: &ColumnMapping,
    source: &SourceDefinition,
    zone: &TimeZone,
) -> MappedColumn {
    let lists = if matches!(source.format, SourceFormat::Csv { .. }) {
        TextLists::Json
    } else {
        TextLists::None
    };
    MappedColumn {
        name: name.clone(),
        slot: slots.take_as(
            &column.column,
            column.required,
            matches!(column.value_type, ValueType::Int | ValueType::Decimal { .. }),
        ),
        reader: ColumnReader::new(column, zone, lists, source.not_finite),
        place: format!("column \"{}\"", column.column),
    }
}
