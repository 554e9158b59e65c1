use crate::partial::{put, put_bytes, put_signed, take, take_signed, take_text};
use crate::{Calendar, Error, Outcome, Result, parse_attribute};
use taghouse_model::{TimestampMs, ValueType};

/// One row of the table of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeRow<'a> {
    /// The time since which it holds.
    pub time_ms: TimestampMs,
    /// Unique; orders rows of one time.
    pub message_id: &'a str,
    /// The text; `None`: the value was taken away.
    pub value: Option<&'a str>,
}

/// An attribute tag in the stream. A state is the latest row by (time, message id) as bytes:
///
/// ```text
/// time, signed | message id with its length | 0, or 1 and the text with its length
/// ```
///
/// ```
/// use jiff::tz::TimeZone;
/// use taghouse_fold::{AttributeFold, AttributeRow, Calendar};
/// use taghouse_model::{Value, ValueType};
///
/// let age = AttributeFold::new(ValueType::Int, &Calendar::new(&TimeZone::UTC));
/// let row = |time_ms, value| {
///     AttributeFold::state(AttributeRow { time_ms, message_id: "m", value: Some(value) })
/// };
/// let state = age.merge(&row(2, "41"), &row(1, "40"))?;
/// assert_eq!(age.outcome(&state)?.value(), Some(Value::Int(41)));
/// # Ok::<(), taghouse_fold::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AttributeFold {
    tag_type: ValueType,
    calendar: Calendar,
}

impl AttributeFold {
    /// A tag of a type; instants of no offset are the calendar's zone's.
    pub fn new(tag_type: ValueType, calendar: &Calendar) -> Self {
        Self { tag_type, calendar: calendar.clone() }
    }

    /// The state that has seen one row.
    pub fn state(row: AttributeRow<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + row.message_id.len() + row.value.map_or(0, str::len));
        put_signed(&mut out, i128::from(row.time_ms));
        put_bytes(&mut out, row.message_id.as_bytes());
        put(&mut out, u128::from(row.value.is_some()));
        row.value.iter().for_each(|value| put_bytes(&mut out, value.as_bytes()));
        out
    }

    /// A state with what both have seen. An empty one has seen nothing.
    ///
    /// # Errors
    /// [`Error::State`] for bytes that are not a state.
    pub fn merge(&self, state: &[u8], more: &[u8]) -> Result<Vec<u8>> {
        let later = match (row(state)?, row(more)?) {
            (Some(a), Some(b)) if order(&b) > order(&a) => more,
            (None, _) => more,
            _ => state,
        };
        Ok(later.to_vec())
    }

    /// What the state says.
    ///
    /// # Errors
    /// As [`AttributeFold::merge`].
    pub fn outcome(&self, state: &[u8]) -> Result<Outcome> {
        let value = row(state)?.and_then(|row| row.value);
        Ok(value
            .map_or(Outcome::Nothing, |text| parse_attribute(text, self.tag_type, &self.calendar)))
    }
}

/// Rows of one time and id are ordered by what they say, so that the order of arrival never counts.
fn order<'a>(row: &AttributeRow<'a>) -> (TimestampMs, &'a str, Option<&'a str>) {
    (row.time_ms, row.message_id, row.value)
}

fn row(state: &[u8]) -> Result<Option<AttributeRow<'_>>> {
    if state.is_empty() {
        return Ok(None);
    }
    let mut from = state;
    let row = (|| {
        let time_ms = i64::try_from(take_signed(&mut from)?).ok()?;
        let message_id = take_text(&mut from)?;
        let value = match take(&mut from)? {
            0 => None,
            1 => Some(take_text(&mut from)?),
            _ => return None,
        };
        from.is_empty().then_some(AttributeRow { time_ms, message_id, value })
    })();
    row.map(Some).ok_or(Error::State)
}
