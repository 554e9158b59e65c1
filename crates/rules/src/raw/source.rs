use super::kafka::RawKafka;
use super::tag::RawPrecision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where events and attributes come from, and how their columns are read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a source")]
pub(crate) struct RawSource {
    /// What this document defines.
    pub(crate) kind: SourceKind,
    /// The source's name, unique among sources: a letter or _, then letters, digits or _; 64 bytes
    /// at most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// What comes in.
    pub(crate) format: RawFormat,
    /// For `kafka`: the topic, and how its cluster is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kafka: Option<RawKafka>,
    /// For `csv`: the one character between columns. Default: a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<String>,
    /// For `csv`: the one character that takes the meaning from the one behind it, in and out of
    /// quotes, such as \\. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) escape: Option<String>,
    /// For `csv` and `jsonl`: what the text is written in, such as utf-16 or windows-1252 (a name
    /// of the WHATWG Encoding Standard). Default: utf-8, or what a byte order mark says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<String>,
    /// For `csv`: the sign before the fraction of numbers, "." (the default) or ",". With ","
    /// thousands may be parted as in 1.234,56.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decimal: Option<String>,
    /// For `csv`: columns in which an empty cell means what the row above says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fill_down: Vec<String>,
    /// A glob (*, ?, [a-z], [!a], {a,b}) on the names of the files that belong to the source; with
    /// / in it, such as **/*.csv, on their paths below the folder given. Default: by the
    /// format's endings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<String>,
    /// The column of the user id. Not for `segment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<RawUserId>,
    /// Where the event's name comes from; without it the rows only carry attributes. Not for
    /// `segment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<RawEvent>,
    /// The column of the event time, or `file`: the date in the file's name, or when it was last
    /// written to. Not for `segment`. Default for `kafka`: the record's timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<RawTime>,
    /// The column of the message id, by which repeated rows are dropped. Default: file name and
    /// row; for `kafka` topic, partition and offset. Not for `segment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    /// The events' typed properties, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, RawColumn>,
    /// The users' attributes, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, RawColumn>,
    /// Conditions over properties, event, time and user_id; rows for which one does not hold are
    /// passed over and counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) filters: Vec<String>,
    /// Rows for which one of these holds are rejected with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reject: Vec<RawReject>,
    /// What becomes of columns or keys that nothing here names. Default: reject; for `segment`
    /// keep; for `kafka` keep, or ignore where the rows only carry attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown_columns: Option<RawUnknownColumns>,
    /// Columns that are known and not wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignore: Vec<String>,
    /// What a blank cell says of an attribute. Default: clear where the rows only carry attributes
    /// and for `segment`; keep where they are events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blank: Option<RawBlank>,
    /// Texts that mean no value, in every column, such as \N, NULL or NA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) null_values: Vec<String>,
    /// What NaN and infinity are. Default: NaN is no value, infinity is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nan: Option<RawNan>,
    /// The share of rejected rows, 0 to 1, over which ingestion stops. Default: 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub(crate) max_reject_share: Option<f64>,
    /// How far ahead of the clock a time may lie, `0s` to `31d`: a row that lies further ahead is
    /// rejected. Default: 10m for `segment` and `kafka`, 24h for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,7}[smhd]$"))]
    pub(crate) max_future: Option<String>,
}

/// The kind of a source's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceKind {
    /// Where events and attributes come from.
    Source,
}

/// What a blank cell says of an attribute. A null of JSON clears it, whatever stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawBlank {
    /// The user has no value any more.
    Clear,
    /// Nothing: the user keeps the value.
    Keep,
}

/// What NaN and infinity are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawNan {
    /// No value, also where they are written as text in a column of numbers.
    NoValue,
    /// The row is rejected.
    Reject,
}

/// The shape of what comes in. A .gz ending means gzip for csv and jsonl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFormat {
    /// RFC 4180 with a header line.
    Csv,
    /// One JSON object a line; a column may be a dotted path.
    Jsonl,
    /// Parquet, columns by name.
    Parquet,
    /// Live calls of the Segment tracking API.
    Segment,
    /// Records of a topic of Apache Kafka, each a JSON object; a column may be a dotted path.
    Kafka,
}

/// The user id's column.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawUserId {
    /// The column, read as text.
    Column(String),
    /// The column and how it is read.
    Mapping(RawUserIdMapping),
    /// For `kafka`: the record's key.
    Key(RawUserIdKey),
}

/// The record's key as user id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a record's key")]
pub(crate) struct RawUserIdKey {
    /// true: the key, read as text, is the user id.
    pub(crate) key: bool,
}

/// The user id's column and how it is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a user id")]
pub(crate) struct RawUserIdMapping {
    /// Name of the column.
    pub(crate) column: String,
    /// How it is read. Default: text.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) ty: Option<RawUserIdType>,
}

/// How a user id is read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawUserIdType {
    /// As it stands.
    Text,
    /// A whole number, perhaps written as 17850.0.
    Int,
}

/// Where the event's name comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawEvent {
    /// Every row is this event; 128 bytes at most.
    Fixed(String),
    /// A column holds the name.
    Column(RawEventColumn),
    /// The first rule that holds gives the name; the last has no condition.
    Rules(Vec<RawEventRule>),
}

/// The column of the event's name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an event")]
pub(crate) struct RawEventColumn {
    /// Name of the column.
    pub(crate) column: String,
}

/// One rule of the event's name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a rule of the event's name")]
pub(crate) struct RawEventRule {
    /// A condition over properties, such as `invoice like 'C%'`. The last rule has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<String>,
    /// The event's name, 1 to 128 bytes.
    pub(crate) name: String,
}

/// Where the event time stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawTime {
    /// The column, in ISO 8601. `file` is not a column: the date in the file's name, such as
    /// 2026-03-02 or 20260302, at the beginning of that day in the app's time zone; without
    /// one, when the file was last written to. A column of that name is `{ column: file }`.
    Column(String),
    /// The column and how it is read.
    Mapping(RawTimeMapping),
    /// What of the file dates all its rows.
    File(RawFileTime),
}

/// What of the file dates all its rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a file's time")]
pub(crate) struct RawFileTime {
    /// name: the date in its name, which it must have; modified: when it was last written to.
    pub(crate) file: RawFileTimeOf,
}

/// Where a file's time stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFileTimeOf {
    /// The date in its name.
    Name,
    /// When it was last written to.
    Modified,
}

/// Where the event time stands and how it is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a time")]
pub(crate) struct RawTimeMapping {
    /// Name of the column.
    pub(crate) column: String,
    /// iso8601 (the default), a number since 1970 as epoch_s, epoch_ms, epoch_us or epoch_ns, or a
    /// strptime pattern such as %Y-%m-%d %H:%M:%S.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// The IANA time zone of times that name none. Default: the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
}

/// A property's or attribute's column.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawColumn {
    /// The column, read as text.
    Column(String),
    /// The column and how it is read.
    Mapping(RawColumnMapping),
}

/// A column and how it is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a column")]
pub(crate) struct RawColumnMapping {
    /// The column's name, or a dotted path in JSON.
    pub(crate) column: String,
    /// The type to read it as. Default: text.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) ty: Option<RawColumnType>,
    /// For `decimal`: digits after the point, 0 to 12. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 12))]
    pub(crate) scale: Option<i64>,
    /// For `date`: whole days, or instants. Default: day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<RawPrecision>,
    /// For a `date` that is not ISO 8601: epoch_s, epoch_ms, epoch_us, epoch_ns, or a strptime
    /// pattern such as %d.%m.%Y.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// For `decimal`: round more digits than the scale has, half away from zero, instead of
    /// rejecting the row. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) round: bool,
    /// For `set`: what stands between the members of one text, such as |.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) separator: Option<String>,
    /// Whether a row without it is rejected. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) required: bool,
    /// Labels of what it holds, such as personal, sensitive or no-export. They go on to all that is
    /// computed from it; the app's `access` says what they forbid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

/// The type of a property or attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawColumnType {
    /// True or false.
    Bool,
    /// Text of any length.
    Text,
    /// Several texts at once.
    Set,
    /// A whole number.
    Int,
    /// A fixed-point number with `scale` digits after the point.
    Decimal,
    /// A day, or with `precision: millisecond` an instant.
    Date,
}

/// A reason to reject a row.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a reject rule")]
pub(crate) struct RawReject {
    /// A condition over properties, event, time and user_id.
    pub(crate) when: String,
    /// What the rejected row says.
    pub(crate) reason: String,
}

/// What becomes of columns that nothing names.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawUnknownColumns {
    /// The row is rejected.
    Reject,
    /// Kept as JSON in the events' column `properties`.
    Keep,
    /// They are dropped.
    Ignore,
}
