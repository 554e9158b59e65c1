//! Definitions as code, parsed and checked: what the YAML files say.

use crate::reader::EpochUnit;
use crate::{
    ANONYMOUS_TAG, AccessPolicy, ActivationDefinition, CrowdDefinition, EventTag, IdentityRules,
    KafkaTopic, Lineage, Marks, Predicate, Scalar, Sequence, Session, StartAt, StateMachine,
    Webhook, Window,
};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{AppId, Name, Value, ValueType};

/// All definitions of one app, checked against one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Definitions {
    /// The app itself.
    pub app: AppDefinition,
    /// All of them, by name.
    pub sources: BTreeMap<Name, SourceDefinition>,
    /// All of them, by name.
    pub tags: BTreeMap<Name, TagDefinition>,
    /// All of them, by name.
    pub crowds: BTreeMap<Name, CrowdDefinition>,
    /// All of them, by name.
    pub sinks: BTreeMap<Name, SinkDefinition>,
    /// All of them, by name.
    pub activations: BTreeMap<Name, ActivationDefinition>,
    /// Which tags and crowds have which labels.
    pub lineage: Lineage,
}

/// `kind: sink`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkDefinition {
    /// The name, unique in the app.
    pub name: Name,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// Where they go.
    pub target: SinkTarget,
    /// Where a new sink begins.
    pub start: StartAt,
    /// The tags whose changes are written, …
    pub tags: BTreeSet<String>,
    /// … and the crowds; where neither are named, all changes.
    pub crowds: BTreeSet<String>,
}

/// Where changes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkTarget {
    /// A topic. It has no group, and `start` is the sink's.
    Kafka(KafkaTopic),
    /// Somebody's HTTP server.
    Webhook(Webhook),
}

/// `kind: app`
#[derive(Debug, Clone, PartialEq)]
pub struct AppDefinition {
    /// The id, as it was given.
    pub id: AppId,
    /// An IANA time zone, in which days begin and dates are read.
    pub time_zone: jiff::tz::TimeZone,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// How ids are linked to users; `None`: calls link none.
    pub identities: Option<IdentityRules>,
    /// What labels forbid, and how exact numbers are.
    pub access: AccessPolicy,
}

/// `kind: tag`
#[derive(Debug, Clone, PartialEq)]
pub struct TagDefinition {
    /// The name, unique in the app.
    pub name: Name,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// The type of its values.
    pub value_type: ValueType,
    /// What keeps its values current.
    pub mode: TagMode,
    /// How it is computed.
    pub kind: TagKind,
    /// What is said about access to it.
    pub marks: Marks,
}

impl TagDefinition {
    /// Whether it stands for a condition of crowds on what users did: it has no name that people
    /// know, no table and no place in lists.
    pub fn is_anonymous(&self) -> bool {
        self.name.as_str().starts_with(ANONYMOUS_TAG)
    }
}

/// What keeps a tag's values current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagMode {
    /// Productions.
    #[default]
    Batch,
    /// The stream alone.
    Stream,
    /// The stream; productions write its table too.
    Both,
}

impl TagMode {
    /// Whether the stream keeps it current.
    pub fn is_live(self) -> bool {
        self != Self::Batch
    }

    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Stream => "stream",
            Self::Both => "both",
        }
    }
}

/// How a tag is computed.
#[derive(Debug, Clone, PartialEq)]
pub enum TagKind {
    /// The latest value of a user attribute.
    Attribute {
        /// Name of the attribute.
        attribute: Name,
    },
    /// A function over a user's events.
    Aggregate(Aggregate),
    /// A function over a user's sessions.
    Session(Session),
    /// A state that events and time change.
    State(StateMachine),
    /// Events that follow one another.
    Sequence(Sequence),
    /// Ordered rules over other tags: the first that holds gives the value.
    Cohort {
        /// The rules, tried in order.
        rules: Vec<CohortRule>,
        /// The value when none holds; `None`: no value.
        otherwise: Option<Value>,
    },
    /// A value computed from other tags.
    Expression(Expression),
    /// A read-only SELECT over the app's tables, giving `user_id, value`.
    Sql {
        /// The query; `{as_of}` stands for the as-of instant, with a zone as `time` has it. It
        /// sees `events` and `attributes` before that instant, `all_events` and
        /// `all_attributes` whole.
        query: String,
    },
}

impl TagKind {
    /// How it is computed from events, if it is.
    pub fn over_events(&self) -> Option<EventTag<'_>> {
        match self {
            Self::Aggregate(aggregate) => Some(EventTag::Aggregate(aggregate)),
            Self::Session(session) => Some(EventTag::Session(session)),
            Self::State(machine) => Some(EventTag::State(machine)),
            Self::Sequence(sequence) => Some(EventTag::Sequence(sequence)),
            Self::Attribute { .. }
            | Self::Cohort { .. }
            | Self::Expression(_)
            | Self::Sql { .. } => None,
        }
    }
}

/// An expression tag: a number or text, or for `bool` a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Of any type.
    Scalar(Scalar<Value>),
    /// Of type `bool`: true where it holds, false for every other user that exists.
    Condition(Predicate<Value>),
}

/// One rule of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortRule {
    /// The condition, over other tags.
    pub when: Predicate<Value>,
    /// The value given.
    pub value: Value,
}

/// A function over a user's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The function that is applied.
    pub function: AggregateFunction,
    /// Events of these names only; empty: of every name.
    pub events: Vec<String>,
    /// What is aggregated, over properties; `None` only for `count`.
    pub value: Option<Scalar<Value>>,
    /// Events for which this holds only, over properties.
    pub filter: Option<Predicate<Value>>,
    /// How far back.
    pub window: Window,
    /// Of `count_distinct`: beyond so many values the number is an estimate, with a standard error
    /// of 1.6%; `None`: it is always exact.
    pub exact_up_to: Option<u32>,
}

/// A function over a user's events. All give no value where there is no event (with a value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// How many events (with a value, if one is named).
    Count,
    /// The exact sum.
    Sum,
    /// The mean, rounded half away from zero to the tag's scale.
    Avg,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// How many different values.
    CountDistinct,
    /// The value of the first event, by (time, message id).
    First,
    /// The value of the last event, by (time, message id).
    Last,
    /// The most frequent value; of several the smallest.
    MostFrequent,
    /// All values seen, as a set of at most [`MAX_SET_VALUES`]; the smallest are kept.
    Set,
}

/// The most values that one user's set holds.
pub const MAX_SET_VALUES: usize = 1000;

/// `kind: source`
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDefinition {
    /// The name, unique in the app.
    pub name: Name,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// The format of the input.
    pub format: SourceFormat,
    /// The topic that is read. For `kafka`, and always there.
    pub kafka: Option<KafkaTopic>,
    /// What its texts are written in, by its name in the WHATWG Encoding Standard; `None`: UTF-8,
    /// or what a byte order mark says. For files.
    pub encoding: Option<String>,
    /// Numbers are written with a decimal comma. For `csv`.
    pub decimal_comma: bool,
    /// Columns in which an empty cell means what the row above says. For `csv`.
    pub fill_down: Vec<String>,
    /// Which files of a folder belong to the source, as a glob on the file name, such as
    /// `*.csv.gz`, or on its path below that folder; `None`: by the format's endings.
    pub files: Option<String>,
    /// Where the user id stands; [`crate::RECORD_KEY`]: in the record's key. For `segment` fixed: `userId`,
    /// else `anonymousId`.
    pub user_id: Option<ColumnMapping>,
    /// Where the event's name comes from; `None`: the rows only carry attributes. For `segment`
    /// fixed.
    pub event: Option<EventMapping>,
    /// Where the event time stands. `None` only for attribute rows (then: the time of ingestion),
    /// `segment`, `kafka` (then: the record's timestamp), and where `file_time` says it.
    pub time: Option<TimeMapping>,
    /// What of a file dates all its rows, instead of a column.
    pub file_time: Option<FileTime>,
    /// The column of the message id; `None`: file name and row, or topic, partition and offset.
    pub message_id: Option<String>,
    /// The events' typed properties.
    pub properties: BTreeMap<Name, ColumnMapping>,
    /// The users' attributes.
    pub attributes: BTreeMap<Name, ColumnMapping>,
    /// Rows for which any of these does not hold are passed over and counted. Over properties,
    /// `event`, `time` and `user_id`.
    pub filters: Vec<Predicate<Value>>,
    /// Rows for which one of these holds are rejected with its reason. Over the same names.
    pub rejects: Vec<RejectRule>,
    /// What becomes of columns or keys that nothing above names.
    pub unknown_columns: UnknownColumns,
    /// Columns that are known and not wanted.
    pub ignore: Vec<String>,
    /// What a blank cell says of an attribute.
    pub blank: BlankCells,
    /// Texts that are no value, in every column.
    pub null_values: Vec<String>,
    /// What NaN and the infinities are.
    pub not_finite: NotFinite,
    /// The share of rejected rows, 0 to 1, over which ingestion stops.
    pub max_reject_share: Decimal,
    /// How many milliseconds a row's time may lie ahead of the clock.
    pub max_future_ms: i64,
}

/// As far as [`SourceDefinition::max_future_ms`] goes.
pub const MOST_FUTURE_MS: i64 = 31 * 86_400_000;

/// How far ahead of the clock the times of live calls may lie if nothing is said.
pub const LIVE_FUTURE_MS: i64 = 10 * 60_000;

impl SourceDefinition {
    /// Whether its attributes are dated when they are ingested, for its files do not say since when
    /// they hold.
    pub fn is_undated(&self) -> bool {
        self.time.is_none()
            && self.file_time.is_none()
            && !self.format.is_live()
            && !self.attributes.is_empty()
    }
}

/// The format of the input. A `.gz` ending means gzip for csv and jsonl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// RFC 4180 with a header line.
    Csv {
        /// One byte, `,` by default.
        delimiter: u8,
        /// The escape character, one byte: the next character loses its special meaning.
        escape: Option<u8>,
    },
    /// One JSON object a line. A mapping's column may be a dotted path.
    Jsonl,
    /// Parquet, columns by name.
    Parquet,
    /// Live calls of the Segment tracking API. `properties` and `attributes` are taken from the
    /// call's properties and traits.
    Segment,
    /// Records of a topic of Apache Kafka, mapped as lines of `Jsonl` are.
    Kafka,
}

impl SourceFormat {
    /// Whether what comes in goes through the log, and not in files.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Segment | Self::Kafka)
    }
}

/// A column and how its text is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnMapping {
    /// The column's name, or a dotted path in JSON.
    pub column: String,
    /// The type to read it as. User ids: `Text`, or `Int` for ids that were written as numbers
    /// (`17850.0` becomes `17850`).
    pub value_type: ValueType,
    /// For dates and times that are not ISO 8601: as [`TimeFormat::of`] reads it.
    pub format: Option<String>,
    /// A row without it is rejected.
    pub required: bool,
    /// Of a decimal: more digits than the scale has are rounded, half away from zero, instead of
    /// rejected.
    pub round: bool,
    /// Of a set: what stands between the members of one text.
    pub separator: Option<String>,
    /// Labels of what it holds.
    pub labels: BTreeSet<String>,
}

impl ColumnMapping {
    /// A column that is read as it stands.
    pub fn plain(column: &str, value_type: ValueType) -> Self {
        Self {
            column: column.to_owned(),
            value_type,
            format: None,
            required: false,
            round: false,
            separator: None,
            labels: BTreeSet::new(),
        }
    }
}

/// Where an event's name comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum EventMapping {
    /// The name of a column.
    Column(String),
    /// The first rule that holds over the properties; the last has no condition.
    Rules(Vec<EventRule>),
}

/// One rule of an event's name.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRule {
    /// Over properties; `None`: always.
    pub when: Option<Predicate<Value>>,
    /// The name given.
    pub name: String,
}

/// Where the event time stands and how it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeMapping {
    /// Name of the column.
    pub column: String,
    /// How it is written.
    pub format: TimeFormat,
    /// The zone of times that name none; by default the app's.
    pub zone: Option<jiff::tz::TimeZone>,
}

/// What of a file dates its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTime {
    /// The date in its name, at the beginning of that day in the app's time zone; without one, when
    /// it was last written to.
    NameOrModified,
    /// The date in its name, which it must have.
    Name,
    /// When it was last written to.
    Modified,
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2011-12-09T12:50:00`, with `T` or a blank, with or without fraction and offset.
    Iso8601,
    /// A number counted since 1970 UTC.
    Epoch(EpochUnit),
    /// A strptime pattern.
    Pattern(String),
}

impl TimeFormat {
    /// The format of a name; what is none is a pattern.
    pub fn of(text: &str) -> Self {
        let unit = || EpochUnit::ALL.into_iter().find(|unit| unit.name() == text);
        match text {
            "iso8601" => Self::Iso8601,
            text => unit().map_or_else(|| Self::Pattern(text.to_owned()), Self::Epoch),
        }
    }
}

/// A reason to reject a row.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectRule {
    /// Over properties, `event`, `time` and `user_id`.
    pub when: Predicate<Value>,
    /// What the rejected row says.
    pub reason: String,
}

/// What a blank cell (no text, a text of white space, a null or NaN of Parquet) says of an
/// attribute. A null of JSON always clears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlankCells {
    /// From this row's time on the user has no value. The default where the rows only carry
    /// attributes, and for `segment`.
    Clear,
    /// Nothing. The default where the rows are events.
    Keep,
}

/// What a floating number that is none (NaN) or has no end (inf) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotFinite {
    /// NaN is no value, for so many programs write a missing number; an infinity is none of any
    /// type, and rejected.
    #[default]
    NanIsNoValue,
    /// Both are no value, also written as texts where a number is wanted.
    NoValue,
    /// Both are rejected.
    Reject,
}

/// What becomes of columns that no mapping names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownColumns {
    /// The row is rejected. The default for files.
    Reject,
    /// Kept as JSON in the events' column `properties`. The default for `segment`.
    Keep,
    /// They are dropped.
    Ignore,
}
