//! What a row must have to be taken: its ids, its time, its event, and the source's own rules.

use crate::input_row::Row;
use crate::mapping::{EventNaming, Mapping};
use crate::reject::{Fault, Reason, quoted};
use std::borrow::Cow;
use taghouse_model::{MAX_TEXT_BYTES, MAX_USER_ID_BYTES, TimestampMs};
use taghouse_rules::reader::{IdFault, Parsed, read_id};

/// How far ahead of the clock an event's time may lie.
pub(crate) const MAX_AHEAD_MS: i64 = 24 * 3_600_000;

/// The longest message id, in bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 1024;

/// The time itself, if it is one that events may have; else what is wrong with it.
pub(crate) fn check_time(
    time: TimestampMs,
    now_ms: TimestampMs,
) -> Result<TimestampMs, &'static str> {
    if time < 0 {
        return Err("is before 1970");
    }
    if time > now_ms.saturating_add(MAX_AHEAD_MS) {
        return Err("is more than 24 h ahead of the clock");
    }
    Ok(time)
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
                .find(|(when, _)| when.as_ref().is_none_or(|check| check.matches(values)));
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
    if !mapping.filters.iter().all(|check| check.matches(values)) {
        return Ok(false);
    }
    match mapping.rejects.iter().find(|(check, _)| check.matches(values)) {
        Some((_, reason)) => Err(Fault::new(
            Reason::Rule(reason.clone()),
            format!("the rule \"{reason}\" of the source holds"),
        )),
        None => Ok(true),
    }
}
