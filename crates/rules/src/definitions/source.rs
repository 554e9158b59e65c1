mod time;

use super::glob::FileGlob;
use super::strptime::{self, Reads};
use super::{Errors, check_event_name, condition_without_crowds, name_of, place, read, zone_of};
use crate::check::{Naming, Scope, described};
use crate::raw::source::{
    RawBlank, RawColumn, RawColumnMapping, RawColumnType, RawEvent, RawFormat, RawNan, RawSource,
    RawTime, RawUnknownColumns, RawUserId, RawUserIdType,
};
use crate::raw::tag::RawPrecision;
use crate::{
    BlankCells, ColumnMapping, Document, EventMapping, EventRule, Kind, NotFinite, RejectRule,
    SourceDefinition, SourceFormat, TimeFormat, UnknownColumns,
};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_model::{Name, Value, ValueType};

/// Columns that every events table has, so that no property can be called so.
pub const RESERVED_PROPERTIES: [&str; 8] = [
    "user_id",
    "event",
    "time",
    "message_id",
    "source",
    "received_at",
    "properties",
    "source_file",
];

/// What stands for the column of the time where the file dates its rows.
const FILE: &str = "file";

/// The formats of times that have names.
const NAMED_FORMATS: &str = "iso8601, epoch_s, epoch_ms, epoch_us or epoch_ns";

type Types = BTreeMap<Name, ValueType>;

/// The types of all properties and of all attributes; sources that disagree are an error.
pub(super) fn columns(documents: &[Document], errors: &mut Errors) -> (Types, Types) {
    let mut properties = BTreeMap::new();
    let mut attributes = BTreeMap::new();
    // What cannot be read is reported by `check`.
    for (document, raw) in read::<RawSource>(documents, Kind::Source, &mut Errors::new()) {
        union(document, "properties", &raw.properties, &mut properties, errors);
        union(document, "attributes", &raw.attributes, &mut attributes, errors);
    }
    let plain = |all: BTreeMap<String, Seen<'_>>| {
        all.into_values().map(|seen| (seen.name, seen.ty)).collect()
    };
    (plain(properties), plain(attributes))
}

/// A property or attribute and where it was met first.
struct Seen<'a> {
    name: Name,
    ty: ValueType,
    document: &'a Document,
}

fn union<'a>(
    document: &'a Document,
    key: &str,
    columns: &BTreeMap<String, RawColumn>,
    all: &mut BTreeMap<String, Seen<'a>>,
    errors: &mut Errors,
) {
    for (text, raw) in columns {
        // Other mistakes of the column are reported by `check`.
        let (Ok(name), Ok(column)) = (Name::new(text), column(raw)) else { continue };
        let ty = column.value_type;
        let Some(seen) = all.get(&text.to_lowercase()) else {
            all.insert(text.to_lowercase(), Seen { name, ty, document });
            continue;
        };
        let pointer = format!("/{key}/{text}");
        if seen.name != name {
            errors.push(document.error(
                &pointer,
                format!(
                    "`{name}` differs only in case from `{}` at {}",
                    seen.name,
                    place(seen.document)
                ),
            ));
        } else if seen.ty != ty {
            let (here, there) =
                (described(ty, Naming::Properties), described(seen.ty, Naming::Properties));
            let message = format!(
                "`{name}` is of type {here} here and {there} at {}: give both one type",
                place(seen.document)
            );
            errors.push(document.error(&pointer, message));
        }
    }
}

pub(super) fn check(
    documents: &[Document],
    zone: &TimeZone,
    errors: &mut Errors,
) -> BTreeMap<Name, SourceDefinition> {
    let mut sources = BTreeMap::new();
    for (document, raw) in read::<RawSource>(documents, Kind::Source, errors) {
        let before = errors.len();
        let name = name_of(document, errors);
        let source = Reader { document, raw: &raw, zone, errors }.source(name);
        if let Some(source) = source
            && errors.len() == before
        {
            sources.insert(source.name.clone(), source);
        }
    }
    sources
}

/// One source as it is read; what is wrong goes into `errors`.
struct Reader<'a> {
    document: &'a Document,
    raw: &'a RawSource,
    zone: &'a TimeZone,
    errors: &'a mut Errors,
}

impl Reader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    fn source(mut self, name: Option<Name>) -> Option<SourceDefinition> {
        let raw = self.raw;
        let segment = raw.format == RawFormat::Segment;
        let format = self.format();
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
        let (filters, rejects) = self.conditions(&properties);
        let max_reject_share = self.max_reject_share();
        Some(SourceDefinition {
            name: name?,
            description: raw.description.clone(),
            format,
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
            filters,
            rejects,
            unknown_columns: match raw.unknown_columns {
                Some(RawUnknownColumns::Reject) => UnknownColumns::Reject,
                Some(RawUnknownColumns::Keep) => UnknownColumns::Keep,
                Some(RawUnknownColumns::Ignore) => UnknownColumns::Ignore,
                None if segment => UnknownColumns::Keep,
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
        })
    }

    fn format(&mut self) -> SourceFormat {
        let delimiter = match self.raw.delimiter.as_deref().map(str::as_bytes) {
            None => b',',
            Some(_) if self.raw.format != RawFormat::Csv => {
                self.error("/delimiter", "`delimiter` is for `format: csv` only");
                b','
            }
            Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
            Some(_) => {
                self.error(
                    "/delimiter",
                    "`delimiter` is one ASCII character, and no quote or line end",
                );
                b','
            }
        };
        if self.raw.escape.is_some() && self.raw.format != RawFormat::Csv {
            self.error("/escape", "`escape` is for `format: csv` only");
        }
        match self.raw.format {
            RawFormat::Csv => SourceFormat::Csv { delimiter, escape: self.escape(delimiter) },
            RawFormat::Jsonl => SourceFormat::Jsonl,
            RawFormat::Parquet => SourceFormat::Parquet,
            RawFormat::Segment => SourceFormat::Segment,
        }
    }

    fn escape(&mut self, delimiter: u8) -> Option<u8> {
        match self.raw.escape.as_deref()?.as_bytes() {
            &[byte]
                if byte.is_ascii()
                    && byte != delimiter
                    && !matches!(byte, b'"' | b'\n' | b'\r') =>
            {
                Some(byte)
            }
            _ => {
                self.error("/escape", "`escape` is one ASCII character, and neither the delimiter, a quote nor a line end");
                None
            }
        }
    }

    fn encoding(&mut self) -> Option<String> {
        let label = self.raw.encoding.as_deref()?;
        if !matches!(self.raw.format, RawFormat::Csv | RawFormat::Jsonl) {
            self.error("/encoding", "`encoding` is for `format: csv` and `format: jsonl` only");
            return None;
        }
        // The encoding called replacement stands for those that nobody should read.
        let known = encoding_rs::Encoding::for_label(label.as_bytes())
            .filter(|encoding| *encoding != encoding_rs::REPLACEMENT);
        if known.is_none() {
            let message = format!(
                "`encoding` is \"{label}\", which is not a known encoding: write utf-8, utf-16, windows-1252, shift_jis or the like"
            );
            self.error("/encoding", message);
        }
        known.map(|encoding| encoding.name().to_owned())
    }

    fn decimal_comma(&mut self) -> bool {
        match self.raw.decimal.as_deref() {
            None => false,
            Some(_) if self.raw.format != RawFormat::Csv => {
                self.error("/decimal", "`decimal` is for `format: csv` only");
                false
            }
            Some(".") => false,
            Some(",") => true,
            Some(other) => {
                self.error("/decimal", format!("`decimal` is \"{other}\": write \".\" or \",\""));
                false
            }
        }
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
        read.extend(raw.user_id.as_ref().map(|user| match user {
            RawUserId::Column(column) => column.as_str(),
            RawUserId::Mapping(mapping) => mapping.column.as_str(),
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
            self.error("", "a source of files needs `user_id`: the column of the user id");
        }
        if raw.event.is_some() && raw.time.is_none() {
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
                (_, Err((part, e))) => self.error(&format!("{pointer}/{part}"), e),
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

    fn event(&mut self, properties: &BTreeMap<Name, ColumnMapping>) -> Option<EventMapping> {
        match self.raw.event.as_ref()? {
            RawEvent::Fixed(name) => {
                self.event_name("/event", name);
                Some(EventMapping::Rules(vec![EventRule { when: None, name: name.clone() }]))
            }
            RawEvent::Column(column) => Some(EventMapping::Column(column.column.clone())),
            RawEvent::Rules(rules) => {
                if rules.last().is_none_or(|last| last.when.is_some()) {
                    self.error("/event", "the last rule of `event` has no `when`, so that every row has a name: add `- { name: … }`");
                }
                let types = |name: &str| properties.get(name).map(|column| column.value_type);
                let known: Vec<&str> = properties.keys().map(Name::as_str).collect();
                let mut checked = Vec::new();
                for (i, rule) in rules.iter().enumerate() {
                    let pointer = format!("/event/{i}");
                    self.event_name(&format!("{pointer}/name"), &rule.name);
                    if rule.when.is_none() && i + 1 < rules.len() {
                        self.error(&pointer, "only the last rule of `event` is without `when`: those after this one would never be asked");
                    }
                    let scope = Scope::of_properties(&types, self.zone, &known);
                    let when = rule.when.as_ref().and_then(|text| {
                        condition_without_crowds(
                            self.document,
                            &format!("{pointer}/when"),
                            text,
                            scope,
                            self.errors,
                        )
                    });
                    checked.push(EventRule { when, name: rule.name.clone() });
                }
                Some(EventMapping::Rules(checked))
            }
        }
    }

    fn event_name(&mut self, pointer: &str, name: &str) {
        if let Err(e) = check_event_name(name) {
            self.error(pointer, e);
        }
    }

    fn conditions(
        &mut self,
        properties: &BTreeMap<Name, ColumnMapping>,
    ) -> (Vec<crate::Predicate<Value>>, Vec<RejectRule>) {
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
        (filters, rejects)
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

fn user_id(raw: &RawUserId) -> ColumnMapping {
    let (column, value_type) = match raw {
        RawUserId::Column(column) => (column, ValueType::Text),
        RawUserId::Mapping(mapping) => match mapping.ty {
            Some(RawUserIdType::Int) => (&mapping.column, ValueType::Int),
            Some(RawUserIdType::Text) | None => (&mapping.column, ValueType::Text),
        },
    };
    ColumnMapping { required: true, ..ColumnMapping::plain(column, value_type) }
}

fn column_name(raw: &RawColumn) -> &str {
    match raw {
        RawColumn::Column(column) => column,
        RawColumn::Mapping(mapping) => &mapping.column,
    }
}

/// The column, or which key of it is wrong and why.
fn column(raw: &RawColumn) -> Result<ColumnMapping, (&'static str, String)> {
    let mapping = match raw {
        RawColumn::Column(column) => {
            return Ok(ColumnMapping::plain(column, ValueType::Text));
        }
        RawColumn::Mapping(mapping) => mapping,
    };
    let ty = mapping.ty.unwrap_or(RawColumnType::Text);
    let value_type = match ty {
        RawColumnType::Bool => ValueType::Bool,
        RawColumnType::Text => ValueType::Text,
        RawColumnType::Set => ValueType::Set,
        RawColumnType::Int => ValueType::Int,
        RawColumnType::Decimal => {
            ValueType::Decimal { scale: scale(mapping.scale).map_err(|e| ("scale", e))? }
        }
        RawColumnType::Date if mapping.precision == Some(RawPrecision::Millisecond) => {
            ValueType::Time
        }
        RawColumnType::Date => ValueType::Date,
    };
    refuse_strangers(mapping, ty)?;
    Ok(ColumnMapping {
        column: mapping.column.clone(),
        value_type,
        format: mapping.format.clone(),
        required: mapping.required,
        round: mapping.round,
        separator: mapping.separator.clone(),
    })
}

fn refuse_strangers(
    mapping: &RawColumnMapping,
    ty: RawColumnType,
) -> Result<(), (&'static str, String)> {
    if mapping.scale.is_some() && ty != RawColumnType::Decimal {
        return Err(("scale", "`scale` is for `type: decimal` only".to_owned()));
    }
    if mapping.precision.is_some() && ty != RawColumnType::Date {
        return Err(("precision", "`precision` is for `type: date` only".to_owned()));
    }
    if mapping.round && ty != RawColumnType::Decimal {
        return Err(("round", "`round` is for `type: decimal` only".to_owned()));
    }
    match mapping.separator.as_deref() {
        Some(_) if ty != RawColumnType::Set => {
            return Err(("separator", "`separator` is for `type: set` only".to_owned()));
        }
        Some("") => {
            return Err((
                "separator",
                "`separator` is empty: write what stands between the members".to_owned(),
            ));
        }
        _ => {}
    }
    match &mapping.format {
        Some(_) if ty != RawColumnType::Date => {
            Err(("format", "`format` is for `type: date` only".to_owned()))
        }
        Some(pattern) => {
            let reads = if mapping.precision == Some(RawPrecision::Millisecond) {
                Reads::Instants
            } else {
                Reads::Days
            };
            match TimeFormat::of(pattern) {
                TimeFormat::Pattern(_) => strptime::check(pattern, reads)
                    .map_err(|e| ("format", format!("{e}; or write {NAMED_FORMATS}"))),
                TimeFormat::Iso8601 | TimeFormat::Epoch(_) => Ok(()),
            }
        }
        None => Ok(()),
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
