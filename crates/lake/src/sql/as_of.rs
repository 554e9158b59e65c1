//! What the query of a tag says of its as-of time.

use taghouse_model::TimestampMs;

/// Stands for the as-of time in a query.
const AS_OF: &str = "{as_of}";

/// Before the name of a table that a query sees as of an instant: the table with all of its rows.
pub(super) const ALL: &str = "all_";

/// The query with the as-of time in the places that ask for it: an instant of the type that the
/// lake's times have, with their zone. (Without a zone, `AT TIME ZONE` would take it for a local
/// time and move it by the offset, which it does not do to `time`.)
pub fn with_as_of(query: &str, as_of_ms: TimestampMs) -> String {
    query.replace(AS_OF, &format!("arrow_cast(to_timestamp_millis({as_of_ms}), 'Timestamp(Microsecond, Some(\"+00:00\"))')"))
}
