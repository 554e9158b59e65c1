//! The definition of a source.

mod column;
mod column_types;
mod event;
mod format;
mod kafka;
mod time;

use super::events::duration;
use super::glob::FileGlob;
use super::{Errors, condition_without_crowds, name_of, read, zone_of};
use crate::check::Scope;
use crate::raw::source::{
    RawBlank, RawColumn, RawEvent, RawFormat, RawNan, RawSource, RawTime, RawUnknownColumns,
    RawUserId,
};
use crate::{
    BlankCells, ColumnMapping, Document, DocumentKind, LIVE_FUTURE_MS, MOST_FUTURE_MS, NotFinite,
    RejectRule, SourceDefinition, SourceFormat, UnknownColumns,
};
use column::{column, column_name, user_id};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_model::{Name, Value, ValueType};

pub(super) use column_types::{ColumnTypes, column_types};

/// How far ahead of the clock the times of files may lie if nothing is said: who writes them may
/// live in another zone.
const FILE_FUTURE_MS: i64 = 24 * 3_600_000;

/// Columns that every events table has, so that no property can be called so.
pub const RESERVED_PROPERTIES: [&str; 9] = [
    "user_id",
    "event",
    "time",
    "message_id",
    "source",
    "received_at",
    "properties",
    "source_file",
    "user_id_type",
];

/// What stands for the column of the time where the file dates its rows.
const FILE: &str = "file";

/// The formats of times that have names.
const NAMED_FORMATS: &str = "iso8601, epoch_s, epoch_ms, epoch_us or epoch_ns";

pub(super) fn check(
    documents: &[Document],
    zone: &TimeZone,
    errors: &mut Errors,
) -> BTreeMap<Name, SourceDefinition> {
    let mut sources = BTreeMap::new();
    for (document, raw) in read::<RawSource>(documents, DocumentKind::Source, errors) {
        let before = errors.len();
        let name = name_of(document, errors);
        let source = SourceReader { document, raw: &raw, zone, errors }.source(name);
        if let Some(source) = source
            && errors.len() == before
        {
            sources.insert(source.name.clone(), source);
        }
    }
    sources
}

/// The conditions that leave rows out.
struct RowConditions {
    /// Rows for which one of these is not true are left out.
    filters: Vec<crate::Predicate<Value>>,
    rejects: Vec<RejectRule>,
}

/// One source as it is read; what is wrong goes into `errors`.
struct SourceReader<'a> {
    document: &'a Document,
    raw: &'a RawSource,
    zone: &'a TimeZone,
    errors: &'a mut Errors,
}

impl SourceReader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    fn source(mut self, name: Option<Name>) -> Option<SourceDefinition> {
        let raw = self.raw;
        let segment = raw.format == RawFormat::Segment;
        let (format, topic) = (self.format(), self.topic());
        let (encoding, decimal_comma) = (self.encoding(), self.decimal_comma());
        if segment {
            self.refuse_for_segment();
        } else {
            self.require_columns();
        }
        let properties = self.columns("properties", &raw.properties);
        let attributes = self.columns("attributes", &raw.attributes);
        self.refuse_ignored_columns();
        self.check_fill_down();
        self.check_unknown_columns();
        let event = self.event(&properties);
        let (time, file_time) = (self.time(), self.file_time());
        let conditions = self.conditions(&properties);
        let max_reject_share = self.max_reject_share();
        let max_future_ms = self.max_future_ms(format);
        Some(SourceDefinition {
            name: name?,
            description: raw.description.clone(),
            format,
            kafka: topic,
            encoding,
            decimal_comma,
            fill_down: raw.fill_down.clone(),
            files: raw.files.clone(),
            user_id: raw.user_id.as_ref().map(user_id),
            event,
            time,
            file_time,
            message_id: raw.message_id.clone(),
            properties,
            attributes,
            filters: conditions.filters,
            rejects: conditions.rejects,
            unknown_columns: match raw.unknown_columns {
                Some(RawUnknownColumns::Reject) => UnknownColumns::Reject,
                Some(RawUnknownColumns::Keep) => UnknownColumns::Keep,
                Some(RawUnknownColumns::Ignore) => UnknownColumns::Ignore,
                None if segment => UnknownColumns::Keep,
                // Who sends to a topic adds fields, and what was read is not sent again.
                None if raw.format == RawFormat::Kafka && raw.event.is_some() => {
                    UnknownColumns::Keep
                }
                None if raw.format == RawFormat::Kafka => UnknownColumns::Ignore,
                None => UnknownColumns::Reject,
            },
            ignore: raw.ignore.clone(),
            blank: match raw.blank {
                Some(RawBlank::Clear) => BlankCells::Clear,
                Some(RawBlank::Keep) => BlankCells::Keep,
                None if raw.event.is_some() => BlankCells::Keep,
                None => BlankCells::Clear,
            },
            null_values: raw.null_values.clone(),
            not_finite: match raw.nan {
                Some(RawNan::NoValue) => NotFinite::NoValue,
                Some(RawNan::Reject) => NotFinite::Reject,
                None => NotFinite::default(),
            },
            max_reject_share,
            max_future_ms,
        })
    }

    /// What is kept stands with the events, so there must be some.
    fn check_unknown_columns(&mut self) {
        let raw = self.raw;
        if raw.event.is_none()
            && raw.format != RawFormat::Segment
            && matches!(raw.unknown_columns, Some(RawUnknownColumns::Keep))
        {
            let message = "a source without `event` has nowhere to keep unknown columns: map them under `attributes`, or write `ignore`";
            self.error("/unknown_columns", message);
        }
    }

    /// Columns that are filled down must be read: a slip of the pen would fill nothing.
    fn check_fill_down(&mut self) {
        let raw = self.raw;
        if !raw.fill_down.is_empty() && raw.format != RawFormat::Csv {
            return self.error("/fill_down", "`fill_down` is for `format: csv` only");
        }
        let mut read: Vec<&str> =
            raw.properties.values().chain(raw.attributes.values()).map(column_name).collect();
        read.extend(raw.message_id.as_deref());
        read.extend(raw.user_id.as_ref().and_then(|user| match user {
            RawUserId::Column(column) => Some(column.as_str()),
            RawUserId::Mapping(mapping) => Some(mapping.column.as_str()),
            RawUserId::Key(_) => None,
        }));
        read.extend(raw.time.as_ref().and_then(|time| match time {
            RawTime::Column(column) => Some(column.as_str()),
            RawTime::File(_) => None,
            RawTime::Mapping(mapping) => Some(mapping.column.as_str()),
        }));
        if let Some(RawEvent::Column(column)) = &raw.event {
            read.push(&column.column);
        }
        for (i, column) in
            raw.fill_down.iter().enumerate().filter(|(_, column)| !read.contains(&column.as_str()))
        {
            self.error(
                &format!("/fill_down/{i}"),
                format!("column `{column}` is filled down here, but nothing reads it"),
            );
        }
    }

    fn refuse_for_segment(&mut self) {
        let raw = self.raw;
        let given = [
            ("files", raw.files.is_some()),
            ("user_id", raw.user_id.is_some()),
            ("event", raw.event.is_some()),
            ("time", raw.time.is_some()),
            ("message_id", raw.message_id.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            self.error(
                &format!("/{key}"),
                format!("`{key}` is fixed for `format: segment`: leave it away"),
            );
        }
    }

    fn require_columns(&mut self) {
        let raw = self.raw;
        if raw.user_id.is_none() {
            let message = match raw.format {
                RawFormat::Kafka => {
                    "a source of a topic needs `user_id`: the column of the user id, or `{ key: true }`"
                }
                _ => "a source of files needs `user_id`: the column of the user id",
            };
            self.error("", message);
        }
        if raw.event.is_some() && raw.time.is_none() && raw.format != RawFormat::Kafka {
            self.error("/event", "a source of events needs `time`: the column of the event time, or `file` for the date in a file's name");
        }
        if raw.event.is_none() && raw.attributes.is_empty() {
            self.error(
                "",
                "a source needs `event`, `attributes` or both: nothing would come of its rows",
            );
        }
        if let Some(Err(e)) = raw.files.as_deref().map(FileGlob::parse) {
            self.error("/files", e);
        }
    }

    fn columns(
        &mut self,
        key: &str,
        raw: &BTreeMap<String, RawColumn>,
    ) -> BTreeMap<Name, ColumnMapping> {
        let mut columns = BTreeMap::new();
        for (text, raw) in raw {
            let pointer = format!("/{key}/{text}");
            if key == "properties"
                && RESERVED_PROPERTIES.iter().any(|r| r.eq_ignore_ascii_case(text))
            {
                self.error(&pointer, format!("`{text}` is a column that every events table has: give the property another name"));
                continue;
            }
            match (Name::new(text), column(raw)) {
                (Ok(name), Ok(column)) => _ = columns.insert(name, column),
                (Err(e), _) => self.error(&pointer, e.to_string()),
                (_, Err(e)) => self.error(&format!("{pointer}/{}", e.key), e.problem),
            }
        }
        columns
    }

    fn refuse_ignored_columns(&mut self) {
        let raw = self.raw;
        let used: Vec<&str> =
            raw.properties.values().chain(raw.attributes.values()).map(column_name).collect();
        for (i, ignored) in
            raw.ignore.iter().enumerate().filter(|(_, column)| used.contains(&column.as_str()))
        {
            self.error(
                &format!("/ignore/{i}"),
                format!("column `{ignored}` is ignored here and used above"),
            );
        }
    }

    fn conditions(&mut self, properties: &BTreeMap<Name, ColumnMapping>) -> RowConditions {
        let types = |name: &str| match name {
            "event" | "user_id" => Some(ValueType::Text),
            "time" => Some(ValueType::Time),
            name => properties.get(name).map(|column| column.value_type),
        };
        let known: Vec<&str> =
            properties.keys().map(Name::as_str).chain(["event", "time", "user_id"]).collect();
        let scope = Scope::of_properties(&types, self.zone, &known);
        let mut filters = Vec::new();
        for (i, text) in self.raw.filters.iter().enumerate() {
            filters.extend(condition_without_crowds(
                self.document,
                &format!("/filters/{i}"),
                text,
                scope,
                self.errors,
            ));
        }
        let mut rejects = Vec::new();
        for (i, reject) in self.raw.reject.iter().enumerate() {
            let pointer = format!("/reject/{i}/when");
            let when =
                condition_without_crowds(self.document, &pointer, &reject.when, scope, self.errors);
            rejects.extend(when.map(|when| RejectRule { when, reason: reject.reason.clone() }));
        }
        RowConditions { filters, rejects }
    }

    fn max_future_ms(&mut self, format: SourceFormat) -> i64 {
        let Some(text) = &self.raw.max_future else {
            return if format.is_live() { LIVE_FUTURE_MS } else { FILE_FUTURE_MS };
        };
        let length = if text == "0s" { Ok(0) } else { duration(text) };
        match length {
            Ok(length_ms) if length_ms <= MOST_FUTURE_MS => length_ms,
            _ => {
                let message = format!("`max_future` is 0s to 31d, and this is `{text}`");
                self.error("/max_future", message);
                FILE_FUTURE_MS
            }
        }
    }

    fn max_reject_share(&mut self) -> Decimal {
        let Some(share) = self.raw.max_reject_share else { return Decimal::new(5, 1) };
        match Decimal::try_from(share) {
            Ok(share) if (Decimal::ZERO..=Decimal::ONE).contains(&share) => share,
            _ => {
                self.error(
                    "/max_reject_share",
                    format!("`max_reject_share` is {share}, not between 0 and 1"),
                );
                Decimal::ONE
            }
        }
    }
}

/// Digits after the point; 2 if not given.
pub(super) fn scale(given: Option<i64>) -> Result<u8, String> {
    let scale = given.unwrap_or(2);
    match u8::try_from(scale) {
        Ok(scale @ 0..=12) => Ok(scale),
        _ => Err(format!("`scale` is {scale}, not 0 to 12")),
    }
}
