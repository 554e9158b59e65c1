//! Why a row is refused, and the rows of `rejected_events`.

use arrow::array::{Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use std::fmt;
use std::sync::Arc;
use taghouse_model::TimestampMs;
pub(crate) use taghouse_rules::reader::quoted;
use taghouse_rules::reader::{FaultKind, IdFault, ValueFault};

/// The longest raw text kept of a rejected row, in bytes.
pub(crate) const MAX_RAW_BYTES: usize = 4096;

/// The class of a refusal. Its text is stable: it stands in `rejected_events.reason` and in
/// reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A CSV line of another number of fields or with a quote left open, a JSON line that is not a
    /// JSON object.
    BrokenLine,
    /// A JSON object of more than 10,000 members.
    TooManyMembers,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The row has a member that nothing names.
    UnknownColumn,
    /// No user id.
    NoUserId,
    /// A user id over 512 or a message id over 1024 bytes.
    IdTooLong,
    /// No time, none that can be read, or one before 1970 or more than 24 h ahead.
    BadTime,
    /// The column of the message id is empty.
    NoMessageId,
    /// The event has no name.
    NoEvent,
    /// A value is not of its type.
    BadType,
    /// A text over 1024 bytes.
    ValueTooLong,
    /// A number that does not fit its type, or has more digits behind the point than it.
    NumberOutOfRange,
    /// A required value is missing.
    MissingValue,
    /// The source was removed before its record was admitted.
    UnknownSource,
    /// An id that a message, or somebody by hand, gives a user is not the user's.
    IdentityRefused,
    /// A reject rule of the source holds; its own words.
    Rule(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenLine => "broken_line",
            Self::TooManyMembers => "too_many_members",
            Self::NotUtf8 => "not_utf8",
            Self::UnknownColumn => "unknown_column",
            Self::NoUserId => "no_user_id",
            Self::IdTooLong => "id_too_long",
            Self::BadTime => "bad_time",
            Self::NoMessageId => "no_message_id",
            Self::NoEvent => "no_event",
            Self::BadType => "bad_type",
            Self::ValueTooLong => "value_too_long",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::MissingValue => "missing_value",
            Self::UnknownSource => "unknown_source",
            Self::IdentityRefused => "identity_refused",
            Self::Rule(reason) => return write!(f, "rule: {reason}"),
        })
    }
}

/// A refusal: its class and this row's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: String) -> Self {
        Self { reason, detail }
    }

    /// A value that was refused; `place` names its column.
    pub(crate) fn of_value(place: &str, fault: ValueFault) -> Self {
        let reason = match fault.kind {
            FaultKind::BadType => Reason::BadType,
            FaultKind::TooLong => Reason::ValueTooLong,
            FaultKind::OutOfRange => Reason::NumberOutOfRange,
            FaultKind::Missing => Reason::MissingValue,
        };
        let colon = if fault.kind == FaultKind::Missing { "" } else { ":" };
        Self::new(reason, format!("{place}{colon} {}", fault.problem))
    }

    /// An id that was refused, but for a missing one: `place` names its column, `text` is what
    /// stands there.
    pub(crate) fn of_id(place: &str, text: &str, fault: IdFault) -> Self {
        let text = quoted(text);
        let problem = match fault {
            IdFault::DigitsLost => {
                "has lost digits, so it may be another's id: write ids in full, as text"
            }
            IdFault::NotAnInt | IdFault::Missing => "is not a whole number of 64 bits",
        };
        Self::new(Reason::BadType, format!("{place}: {text} {problem}"))
    }

    /// An id in which half a surrogate pair was replaced.
    pub(crate) fn of_broken_id(place: &str) -> Self {
        Self::new(
            Reason::BadType,
            format!(
                "{place} has half a surrogate pair, so it is not the id that was meant: correct the sender"
            ),
        )
    }
}

/// Where a rejected row stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlace<'a> {
    pub(crate) source: &'a str,
    pub(crate) file: Option<&'a str>,
    pub(crate) row: Option<u64>,
    pub(crate) received_at: TimestampMs,
}

/// Builds rows of `rejected_events`.
#[derive(Default)]
pub(crate) struct RejectBuilder {
    source: StringBuilder,
    file: StringBuilder,
    row: Int64Builder,
    reason: StringBuilder,
    detail: StringBuilder,
    raw: StringBuilder,
    received_at: TimestampMicrosecondBuilder,
}

impl RejectBuilder {
    pub(crate) fn push(
        &mut self,
        place: RowPlace<'_>,
        reason: impl fmt::Display,
        detail: &str,
        raw: &[u8],
    ) {
        use fmt::Write;
        self.source.append_value(place.source);
        self.file.append_option(place.file);
        self.row.append_option(place.row.and_then(|row| i64::try_from(row).ok()));
        // Writing to a builder cannot fail.
        let _ = write!(self.reason, "{reason}");
        self.reason.append_value("");
        self.detail.append_value(detail);
        self.raw.append_value(String::from_utf8_lossy(&raw[..raw.len().min(MAX_RAW_BYTES)]));
        self.received_at.append_value(place.received_at.saturating_mul(1000));
    }

    /// The rows so far as a batch of `schema` (the table's, in the layout's order).
    pub(crate) fn finish(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(self.source.finish()),
                Arc::new(self.file.finish()),
                Arc::new(self.row.finish()),
                Arc::new(self.reason.finish()),
                Arc::new(self.detail.finish()),
                Arc::new(self.raw.finish()),
                Arc::new(self.received_at.finish().with_timezone("+00:00")),
            ],
        )
    }
}
