use super::{Errors, Inputs, check_event_name, condition_without_crowds};
use crate::check::{Checked, Naming, Scope, check_scalar, described, listed};
use crate::raw::tag::{RawAggregate, RawFunction};
use crate::{Aggregate, AggregateFunction, Document, Scalar, Window, suggest};
use taghouse_model::{Name, Value, ValueType};

const MAX_DAYS: u32 = 3660;
const MAX_HOURS: u32 = 8784;
const MAX_MINUTES: u32 = 1440;

impl AggregateFunction {
    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::CountDistinct => "count_distinct",
            Self::First => "first",
            Self::Last => "last",
            Self::MostFrequent => "most_frequent",
            Self::Set => "set",
        }
    }
}

fn function(raw: RawFunction) -> AggregateFunction {
    match raw {
        RawFunction::Count => AggregateFunction::Count,
        RawFunction::Sum => AggregateFunction::Sum,
        RawFunction::Avg => AggregateFunction::Avg,
        RawFunction::Min => AggregateFunction::Min,
        RawFunction::Max => AggregateFunction::Max,
        RawFunction::CountDistinct => AggregateFunction::CountDistinct,
        RawFunction::First => AggregateFunction::First,
        RawFunction::Last => AggregateFunction::Last,
        RawFunction::MostFrequent => AggregateFunction::MostFrequent,
        RawFunction::Set => AggregateFunction::Set,
    }
}

/// Checks an aggregate; `ty` is its tag's type.
pub(super) fn check(
    document: &Document,
    raw: &RawAggregate,
    ty: ValueType,
    inputs: &Inputs<'_>,
    errors: &mut Errors,
) -> Option<Aggregate> {
    let before = errors.len();
    let function = function(raw.function);
    let types = |name: &str| match name {
        "event" => Some(ValueType::Text),
        "time" => Some(ValueType::Time),
        name => inputs.properties.get(name).copied(),
    };
    let known: Vec<&str> =
        inputs.properties.keys().map(Name::as_str).chain(["event", "time"]).collect();
    let scope = Scope::of_properties(&types, inputs.zone, &known);
    check_events(document, raw, inputs, errors);
    let filter = raw.filter.as_ref().and_then(|text| {
        condition_without_crowds(document, "/aggregate/where", text, scope, errors)
    });
    let value = match &raw.value {
        None => None,
        Some(text) => match check_scalar(text, scope) {
            Ok(checked) => Some(checked),
            Err(e) => {
                errors.push(document.expression_error("/aggregate/value", &e));
                return None;
            }
        },
    };
    let value = match of_function(function, value, ty) {
        Ok(value) => value,
        Err(mismatch) => {
            errors.push(document.error(mismatch.pointer, mismatch.message));
            None
        }
    };
    let window = match raw.window.as_deref().map_or(Ok(Window::Lifetime), window) {
        Ok(window) => window,
        Err(e) => {
            errors.push(document.error("/aggregate/window", e));
            Window::Lifetime
        }
    };
    (errors.len() == before).then(|| Aggregate {
        function,
        events: raw.events.clone(),
        value,
        filter,
        window,
    })
}

/// An event that no source can ever give is a slip of the pen; it would be a tag without values.
fn check_events(document: &Document, raw: &RawAggregate, inputs: &Inputs<'_>, errors: &mut Errors) {
    for (i, event) in raw.events.iter().enumerate() {
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
        errors.push(document.error(&format!("/aggregate/events/{i}"), wrong));
    }
}

struct Mismatch {
    pointer: &'static str,
    message: String,
}

fn of_type(message: String) -> Mismatch {
    Mismatch { pointer: "/type", message }
}

/// The value that the function aggregates, of a type from which the tag's comes without further
/// ado.
fn of_function(
    function: AggregateFunction,
    value: Option<Checked>,
    ty: ValueType,
) -> Result<Option<Scalar<Value>>, Mismatch> {
    use AggregateFunction as F;
    let word = function.as_str();
    let Some(value) = value else {
        return match function {
            F::Count if ty == ValueType::Int => Ok(None),
            F::Count => Err(of_type(format!(
                "`count` gives a whole number: write `type: int`, not {}",
                written(ty)
            ))),
            _ => Err(Mismatch {
                pointer: "/aggregate",
                message: format!("`{word}` needs a `value`: a property or an expression"),
            }),
        };
    };
    let found = value.ty;
    let number = matches!(found, ValueType::Int | ValueType::Decimal { .. });
    let takes = match function {
        F::Count => true,
        F::CountDistinct | F::MostFrequent | F::First | F::Last => true,
        F::Sum | F::Avg => number,
        F::Min | F::Max => found.is_number() || found == ValueType::Text,
        F::Set => matches!(found, ValueType::Text | ValueType::Set),
    };
    if !takes {
        let message = format!(
            "`{word}` cannot take this value, which is of type {}",
            described(found, Naming::Properties)
        );
        return Err(Mismatch { pointer: "/aggregate/value", message });
    }
    match function {
        F::Count | F::CountDistinct if ty == ValueType::Int => Ok(Some(value.scalar)),
        F::Count | F::CountDistinct => Err(of_type(format!(
            "`{word}` gives a whole number: write `type: int`, not {}",
            written(ty)
        ))),
        F::Set if ty == ValueType::Set => Ok(Some(value.scalar)),
        F::Set => Err(of_type(format!(
            "`set` gives several texts: write `type: set`, not {}",
            written(ty)
        ))),
        F::Avg if matches!(ty, ValueType::Decimal { .. }) => Ok(Some(value.scalar)),
        F::Avg => Err(of_type(format!(
            "`avg` gives a decimal: write `type: decimal` and a `scale`, not {}",
            written(ty)
        ))),
        F::Sum => carried(value, ty, word, false),
        // Of sets the members are counted, each a text.
        F::MostFrequent if found == ValueType::Set && ty == ValueType::Text => {
            Ok(Some(value.scalar))
        }
        F::MostFrequent if found == ValueType::Set => Err(of_type(format!(
            "`most_frequent` of sets gives the member that most have: write `type: enum`, not {}",
            written(ty)
        ))),
        F::MostFrequent => carried(value, ty, word, false),
        F::Min | F::Max | F::First | F::Last => carried(value, ty, word, true),
    }
}

/// A value that becomes the tag's as it is.
fn carried(
    value: Checked,
    ty: ValueType,
    word: &str,
    time_to_day: bool,
) -> Result<Option<Scalar<Value>>, Mismatch> {
    match (value.ty, ty) {
        // Rounded once, when the tag's value is made.
        (ValueType::Decimal { .. } | ValueType::Int, ValueType::Decimal { .. }) => {
            Ok(Some(value.scalar))
        }
        (ValueType::Time, ValueType::Date) if time_to_day => Ok(Some(value.scalar)),
        (found, ty) if found == ty => Ok(Some(value.scalar)),
        (found, ty) => Err(of_type(format!(
            "`{word}` gives {} here: write `{}`, not {}",
            described(found, Naming::Properties),
            how_to_write(found),
            written(ty)
        ))),
    }
}

fn written(ty: ValueType) -> String {
    format!("`{}`", how_to_write(ty))
}

/// A tag's type in YAML.
pub(super) fn how_to_write(ty: ValueType) -> String {
    match ty {
        ValueType::Decimal { scale } => format!("type: decimal, scale: {scale}"),
        ValueType::Time => "type: date, precision: millisecond".to_owned(),
        other => format!("type: {other}"),
    }
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
