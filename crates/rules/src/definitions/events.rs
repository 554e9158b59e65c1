//! What all tags over events have: names of events, conditions over properties, windows, durations.

use super::{Errors, Inputs, check_event_name, condition_without_crowds};
use crate::check::{Scope, listed};
use crate::{Document, Predicate, Window, suggest};
use taghouse_model::{Name, Value, ValueType};

const MAX_DAYS: u32 = 3660;
const MAX_HOURS: u32 = 8784;
const MAX_MINUTES: u32 = 1440;

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// Does something in the scope of properties, `event` and `time`.
pub(super) fn in_scope<T>(inputs: &Inputs<'_>, with: impl FnOnce(Scope<'_>) -> T) -> T {
    let types = |name: &str| match name {
        "event" => Some(ValueType::Text),
        "time" => Some(ValueType::Time),
        name => inputs.properties.get(name).copied(),
    };
    let known: Vec<&str> =
        inputs.properties.keys().map(Name::as_str).chain(["event", "time"]).collect();
    with(Scope::of_properties(&types, inputs.zone, &known))
}

/// Checks a condition over properties.
pub(super) fn check_filter(
    document: &Document,
    pointer: &str,
    text: &str,
    inputs: &Inputs<'_>,
    errors: &mut Errors,
) -> Option<Predicate<Value>> {
    in_scope(inputs, |scope| condition_without_crowds(document, pointer, text, scope, errors))
}

/// An event that no source can ever give is a slip of the pen; it would be a tag without values.
pub(super) fn check_events(
    document: &Document,
    pointer: &str,
    events: &[String],
    inputs: &Inputs<'_>,
    errors: &mut Errors,
) {
    for (i, event) in events.iter().enumerate() {
        let wrong = match (check_event_name(event), &inputs.events) {
            (Err(e), _) => e,
            (Ok(()), Some(all)) if !all.contains(event) => {
                let all = || all.iter().map(String::as_str);
                let fix = match (suggest::nearest(event, all()), listed(all())) {
                    (Some(near), _) => format!("; did you mean `{near}`?"),
                    (None, list) => {
                        list.map(|list| format!("; known events: {list}")).unwrap_or_default()
                    }
                };
                format!("no source gives an event `{event}`{fix}")
            }
            (Ok(()), _) => continue,
        };
        errors.push(document.error(&format!("{pointer}/events/{i}"), wrong));
    }
}

/// The window of a tag, by default its whole lifetime.
pub(super) fn check_window(
    document: &Document,
    pointer: &str,
    text: Option<&str>,
    errors: &mut Errors,
) -> Window {
    text.map_or(Ok(Window::Lifetime), window).unwrap_or_else(|e| {
        errors.push(document.error(pointer, e));
        Window::Lifetime
    })
}

fn window(text: &str) -> Result<Window, String> {
    if text == "lifetime" {
        return Ok(Window::Lifetime);
    }
    let wrong = || {
        format!(
            "`{text}` is not a valid window: write 1d to {MAX_DAYS}d, 1h to {MAX_HOURS}h, 1m to {MAX_MINUTES}m, or lifetime"
        )
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
    match (digits.parse::<u32>(), unit) {
        (Ok(n @ 1..=MAX_DAYS), "d") if all_digits => Ok(Window::Days(n)),
        (Ok(n @ 1..=MAX_HOURS), "h") if all_digits => Ok(Window::Hours(n)),
        (Ok(n @ 1..=MAX_MINUTES), "m") if all_digits => Ok(Window::Minutes(n)),
        _ => Err(wrong()),
    }
}

/// A length of time in milliseconds: `90s`, `30m`, `12h` or `7d`, a day being 24 hours.
pub fn duration(text: &str) -> Result<i64, String> {
    let wrong = || {
        format!("`{text}` is not a length of time: write 90s, 30m, 12h or 7d, up to {MAX_DAYS}d")
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit_ms = match unit {
        "s" => SECOND_MS,
        "m" => 60 * SECOND_MS,
        "h" => 3600 * SECOND_MS,
        "d" => DAY_MS,
        _ => return Err(wrong()),
    };
    let count: u32 = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(wrong)?;
    let length_ms = i64::from(count) * unit_ms;
    if (1..=i64::from(MAX_DAYS) * DAY_MS).contains(&length_ms) {
        Ok(length_ms)
    } else {
        Err(wrong())
    }
}
