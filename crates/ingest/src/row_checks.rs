//! What a row must have to be taken: its ids, its time, its event, and the source's own rules.

use crate::input_row::Row;
use crate::mapping::{EventNaming, Mapping};
use crate::reject::{Fault, Reason, quoted};
use std::borrow::Cow;
use taghouse_model::{MAX_TEXT_BYTES, MAX_USER_ID_BYTES, TimestampMs};
use taghouse_rules::reader::{IdFault, Parsed, read_id};

/// The longest message id, in bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 1024;

/// The time itself, if it is one that events may have, so far ahead of the clock at most; else what
/// is wrong with it.
pub(crate) fn check_time(
    time: TimestampMs,
    now_ms: TimestampMs,
    max_future_ms: i64,
) -> Result<TimestampMs, String> {
    if time < 0 {
        return Err("is before 1970".to_owned());
    }
    if time > now_ms.saturating_add(max_future_ms) {
        return Err(format!("is more than {} ahead of the clock", length(max_future_ms)));
    }
    Ok(time)
}

/// A length of time for people.
fn length(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms >= *unit_ms && ms % unit_ms == 0);
    match unit {
        // A day is what people call 24 h here.
        Some((86_400_000, _)) if ms == 86_400_000 => "24 h".to_owned(),
        Some((unit_ms, name)) => format!("{} {name}", ms / unit_ms),
        None => format!("{ms} ms"),
    }
}

/// What is wrong with a user id from `column`, if anything is.
pub(crate) fn check_user_id(column: &str, id: &str) -> Result<(), Fault> {
    if id.len() <= MAX_USER_ID_BYTES {
        return Ok(());
    }
    let detail = format!(
        "column \"{column}\" has {} bytes, more than {MAX_USER_ID_BYTES}: {}",
        id.len(),
        quoted(id)
    );
    Err(Fault::new(Reason::IdTooLong, detail))
}

pub(crate) fn read_user_id<'r>(
    mapping: &Mapping,
    row: &'r impl Row,
) -> Result<Cow<'r, str>, Fault> {
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
pub(crate) fn id_of<'r>(
    row: &'r impl Row,
    slot: usize,
    column: &str,
    int: bool,
    missing: Reason,
) -> Result<Cow<'r, str>, Fault> {
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

pub(crate) fn name_event<'r>(
    mapping: &'r Mapping,
    row: &'r impl Row,
    values: &[Parsed<'_>],
) -> Result<Option<Cow<'r, str>>, Fault> {
    match &mapping.event {
        EventNaming::None => Ok(None),
        EventNaming::Column(slot) => {
            let column = &mapping.slots[*slot].column;
            let name = row.cell(*slot).text().ok_or_else(|| {
                Fault::new(Reason::NoEvent, format!("column \"{column}\" is empty"))
            })?;
            if name.len() > MAX_TEXT_BYTES {
                let detail = format!(
                    "column \"{column}\" has {} bytes, more than {MAX_TEXT_BYTES}: {}",
                    name.len(),
                    quoted(&name)
                );
                return Err(Fault::new(Reason::ValueTooLong, detail));
            }
            Ok(Some(name))
        }
        EventNaming::Rules(rules) => {
            let rule = rules
                .iter()
                .find(|(when, _)| when.as_ref().is_none_or(|condition| condition.holds(values)));
            let (_, name) = rule.ok_or_else(|| {
                Fault::new(Reason::NoEvent, "no rule of `event` holds".to_owned())
            })?;
            Ok(Some(Cow::Borrowed(name)))
        }
    }
}

/// Applies the filters (`Ok(false)`: passed over), then the reject rules. `values`: see
/// [`crate::mapping::EXTRA_VALUES`].
pub(crate) fn admit(mapping: &Mapping, values: &[Parsed<'_>]) -> Result<bool, Fault> {
    if !mapping.filters.iter().all(|condition| condition.holds(values)) {
        return Ok(false);
    }
    match mapping.rejects.iter().find(|(condition, _)| condition.holds(values)) {
        Some((_, reason)) => Err(Fault::new(
            Reason::Rule(reason.clone()),
            format!("the rule \"{reason}\" of the source holds"),
        )),
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_too_far_ahead_is_refused_and_the_bound_is_said() {
        assert_eq!(check_time(1_000, 0, 1_000), Ok(1_000));
        let said = |bound| check_time(i64::MAX, 0, bound).unwrap_err();
        assert_eq!(said(600_000), "is more than 10 min ahead of the clock");
        assert_eq!(said(86_400_000), "is more than 24 h ahead of the clock");
        assert_eq!(said(0), "is more than 0 ms ahead of the clock");
        assert_eq!(check_time(-1, 0, 0), Err("is before 1970".to_owned()));
    }
}
