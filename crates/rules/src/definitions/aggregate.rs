use super::events::{check_events, check_filter, check_window, in_scope};
use super::{Errors, Inputs};
use crate::check::{Checked, Naming, check_scalar, described};
use crate::raw::tag::{RawAggregate, RawFunction};
use crate::{Aggregate, AggregateFunction, Document, Scalar};
use taghouse_model::{Value, ValueType};

/// Under the lower bound an estimate takes more than all values; over the upper one all values take
/// too much.
const EXACT_UP_TO: std::ops::RangeInclusive<i64> = 100..=1_000_000;

impl AggregateFunction {
    /// Those whose value can be compared with a literal.
    pub(crate) const COMPARABLE: [Self; 8] = [
        Self::Count,
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::CountDistinct,
        Self::First,
        Self::Last,
    ];

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

impl From<AggregateFunction> for RawFunction {
    fn from(function: AggregateFunction) -> Self {
        match function {
            AggregateFunction::Count => Self::Count,
            AggregateFunction::Sum => Self::Sum,
            AggregateFunction::Avg => Self::Avg,
            AggregateFunction::Min => Self::Min,
            AggregateFunction::Max => Self::Max,
            AggregateFunction::CountDistinct => Self::CountDistinct,
            AggregateFunction::First => Self::First,
            AggregateFunction::Last => Self::Last,
            AggregateFunction::MostFrequent => Self::MostFrequent,
            AggregateFunction::Set => Self::Set,
        }
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
    check_events(document, "/aggregate", &raw.events, inputs, errors);
    let filter = raw
        .filter
        .as_ref()
        .and_then(|text| check_filter(document, "/aggregate/where", text, inputs, errors));
    let value = match &raw.value {
        None => None,
        Some(text) => match in_scope(inputs, |scope| check_scalar(text, scope)) {
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
    let window = check_window(document, "/aggregate/window", raw.window.as_deref(), errors);
    let exact_up_to = match (raw.exact_up_to, function) {
        (None, _) => None,
        (Some(bound), AggregateFunction::CountDistinct) if EXACT_UP_TO.contains(&bound) => {
            u32::try_from(bound).ok()
        }
        (Some(_), AggregateFunction::CountDistinct) => {
            let message =
                format!("`exact_up_to` is {} to {}", EXACT_UP_TO.start(), EXACT_UP_TO.end());
            errors.push(document.error("/aggregate/exact_up_to", message));
            None
        }
        (Some(_), _) => {
            let message = "`exact_up_to` is for `function: count_distinct` only";
            errors.push(document.error("/aggregate/exact_up_to", message));
            None
        }
    };
    (errors.len() == before).then(|| Aggregate {
        exact_up_to,
        function,
        events: raw.events.clone(),
        value,
        filter,
        window,
    })
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
