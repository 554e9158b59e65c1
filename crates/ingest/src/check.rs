//! Conditions of a source, compiled: cheap comparisons on parsed values, the rules' own evaluation
//! for the rest.

use rust_decimal::Decimal;
use taghouse_model::{Value, ValueType};
use taghouse_rules::reader::Parsed;
use taghouse_rules::{CompareOp, Predicate};

/// A compiled condition over a row's values, which stand at fixed places.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    And(Vec<Check>),
    Or(Vec<Check>),
    Not(Box<Check>),
    IsSet(usize),
    /// `value * factor op operand`, in units.
    Number {
        at: usize,
        op: CompareOp,
        factor: i128,
        operand: i128,
    },
    Text {
        at: usize,
        op: CompareOp,
        operand: String,
    },
    Prefix {
        at: usize,
        prefix: String,
    },
    Like {
        at: usize,
        pattern: String,
    },
    /// The rules evaluate it, by name.
    Slow {
        predicate: Predicate<Value>,
        places: Vec<(String, usize)>,
    },
    /// A name that the source does not give: no value, so the condition never holds.
    Never,
}

/// Where a name's value stands in a row, and its type.
pub(crate) type Places<'p> = &'p dyn Fn(&str) -> Option<(usize, ValueType)>;

impl Check {
    pub(crate) fn compile(predicate: &Predicate<Value>, places: Places<'_>) -> Self {
        let all = |operands: &[Predicate<Value>]| {
            operands.iter().map(|p| Self::compile(p, places)).collect()
        };
        match predicate {
            Predicate::And(operands) => Self::And(all(operands)),
            Predicate::Or(operands) => Self::Or(all(operands)),
            Predicate::Not(operand) => Self::Not(Box::new(Self::compile(operand, places))),
            Predicate::IsSet { name } => {
                places(name).map_or(Self::Never, |(at, _)| Self::IsSet(at))
            }
            Predicate::Compare { name, op, literal } => Self::compare(name, *op, literal, places)
                .unwrap_or_else(|| Self::slow(predicate, places)),
            Predicate::In { name, literals } => {
                let equal = |literal| Self::compare(name, CompareOp::Equal, literal, places);
                literals
                    .iter()
                    .map(equal)
                    .collect::<Option<_>>()
                    .map_or_else(|| Self::slow(predicate, places), Self::Or)
            }
            Predicate::Between { name, low, high } => {
                let low = Self::compare(name, CompareOp::GreaterOrEqual, low, places);
                let high = Self::compare(name, CompareOp::LessOrEqual, high, places);
                low.zip(high).map_or_else(
                    || Self::slow(predicate, places),
                    |(low, high)| Self::And(vec![low, high]),
                )
            }
            Predicate::Like { name, pattern } => match places(name) {
                None => Self::Never,
                Some((at, ValueType::Text)) => match pattern.strip_suffix('%') {
                    Some(prefix) if !prefix.contains(['%', '_', '\\']) => {
                        Self::Prefix { at, prefix: prefix.to_owned() }
                    }
                    _ => Self::Like { at, pattern: pattern.clone() },
                },
                Some(_) => Self::slow(predicate, places),
            },
            Predicate::Crowd { .. } | Predicate::Happened(_) | Predicate::Moving { .. } => {
                Self::Never
            }
            Predicate::Differs(_) | Predicate::Test { .. } | Predicate::Has { .. } => {
                Self::slow(predicate, places)
            }
        }
    }

    fn compare(name: &str, op: CompareOp, literal: &Value, places: Places<'_>) -> Option<Self> {
        let Some((at, ty)) = places(name) else { return Some(Self::Never) };
        let scale = match ty {
            ValueType::Decimal { scale } => scale,
            ValueType::Int | ValueType::Date | ValueType::Time => 0,
            ValueType::Text => {
                let Value::Text(operand) = literal else { return None };
                return Some(Self::Text { at, op, operand: operand.to_string() });
            }
            ValueType::Bool | ValueType::Set => return None,
        };
        let literal = match literal {
            Value::Int(value) => Decimal::from(*value),
            Value::Decimal(value) => *value,
            Value::Date(days) if ty == ValueType::Date => Decimal::from(*days),
            Value::Time(ms) if ty == ValueType::Time => Decimal::from(*ms),
            _ => return None,
        };
        // Both sides in units of the finer of the two scales.
        let (own, other) = (u32::from(scale), literal.scale());
        let (factor, operand) =
            (10_i128.checked_pow(other.saturating_sub(own))?, literal.mantissa());
        let operand = operand.checked_mul(10_i128.checked_pow(own.saturating_sub(other))?)?;
        Some(Self::Number { at, op, factor, operand })
    }

    fn slow(predicate: &Predicate<Value>, places: Places<'_>) -> Self {
        let places = predicate
            .names()
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), places(name)?.0)))
            .collect();
        Self::Slow { predicate: predicate.clone(), places }
    }

    /// Whether the condition holds for the row with these values.
    pub(crate) fn matches(&self, values: &[Parsed<'_>]) -> bool {
        match self {
            Self::And(checks) => checks.iter().all(|check| check.matches(values)),
            Self::Or(checks) => checks.iter().any(|check| check.matches(values)),
            Self::Not(check) => !check.matches(values),
            Self::IsSet(at) => values.get(*at).is_some_and(|value| *value != Parsed::None),
            Self::Number { at, op, factor, operand } => {
                let units = match values.get(*at) {
                    Some(Parsed::Int(value) | Parsed::Time(value)) => i128::from(*value),
                    Some(Parsed::Day(days)) => i128::from(*days),
                    Some(Parsed::Decimal { units, .. }) => *units,
                    _ => return false,
                };
                // Beyond i128 only the sign matters: the operand is far inside.
                let units = units.checked_mul(*factor).unwrap_or(if units < 0 {
                    i128::MIN
                } else {
                    i128::MAX
                });
                compares(*op, units.cmp(operand))
            }
            Self::Text { at, op, operand } => match values.get(*at) {
                Some(Parsed::Text(text)) => compares(*op, text.as_ref().cmp(operand.as_str())),
                _ => false,
            },
            Self::Prefix { at, prefix } => {
                matches!(values.get(*at), Some(Parsed::Text(text)) if text.starts_with(prefix.as_str()))
            }
            Self::Like { at, pattern } => {
                matches!(values.get(*at), Some(Parsed::Text(text)) if taghouse_rules::like(pattern, text))
            }
            Self::Slow { predicate, places } => {
                let place =
                    |name: &str| places.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
                predicate.matches(&|name| values.get(place(name)?)?.value())
            }
            Self::Never => false,
        }
    }
}

fn compares(op: CompareOp, ordering: std::cmp::Ordering) -> bool {
    match op {
        CompareOp::Equal => ordering.is_eq(),
        CompareOp::NotEqual => ordering.is_ne(),
        CompareOp::Less => ordering.is_lt(),
        CompareOp::LessOrEqual => ordering.is_le(),
        CompareOp::Greater => ordering.is_gt(),
        CompareOp::GreaterOrEqual => ordering.is_ge(),
    }
}
