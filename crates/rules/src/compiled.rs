//! Conditions compiled for rows whose values stand at fixed places: a call as it is decoded, a row of
//! a file, a row of an Arrow batch. Comparisons with literals become ranges of the place's own units.

use crate::{CompareOp, Predicate, like};
use rust_decimal::Decimal;
use std::ops::Bound;
use taghouse_model::{Value, ValueType};

/// A row's values, by place.
pub trait Row {
    /// Whether there is a value.
    fn is_set(&self, at: usize) -> bool;

    /// The value as a number of the place's units: a decimal's in those of its scale, a date in days,
    /// a time in milliseconds, truth as 0 and 1. `None` where there is none, and for texts and sets.
    fn number(&self, at: usize) -> Option<i128>;

    /// The value of a text; `None` where there is none, and for other types.
    fn text(&self, at: usize) -> Option<&str>;

    /// The value.
    fn value(&self, at: usize) -> Option<Value>;
}

/// Where a name's values stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The place in the row.
    pub at: usize,
    /// Their type.
    pub value_type: ValueType,
}

/// A compiled condition: it holds for the same rows as [`Predicate::matches`].
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Step);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    All(Vec<Step>),
    Any(Vec<Step>),
    Not(Box<Step>),
    /// The number is in the range, ends included (or there is one, and it is not).
    Range {
        at: usize,
        low: i128,
        high: i128,
        inside: bool,
    },
    /// The number is one of these, in order.
    OneOf {
        at: usize,
        numbers: Vec<i128>,
    },
    /// The text is one of these, in order (or there is one, and it is none of them).
    Texts {
        at: usize,
        texts: Vec<String>,
        inside: bool,
    },
    /// The text stands between these in the order of its bytes.
    Between {
        at: usize,
        low: Bound<String>,
        high: Bound<String>,
    },
    Prefix {
        at: usize,
        prefix: String,
    },
    Like {
        at: usize,
        pattern: String,
    },
    IsSet {
        at: usize,
    },
    /// Whatever else, value by value.
    Slow {
        predicate: Predicate<Value>,
        places: Vec<(String, usize)>,
    },
}

/// Gives the place of a name; `None`: the name has no values.
type Places<'p> = &'p mut dyn FnMut(&str) -> Option<Place>;

impl Condition {
    /// `places` is asked for each name of the predicate.
    pub fn compile(
        predicate: &Predicate<Value>,
        mut places: impl FnMut(&str) -> Option<Place>,
    ) -> Self {
        Self(Step::compile(predicate, &mut places))
    }

    /// Of a condition on one place, the numbers at which it may change: between two neighbours, the
    /// lower one included, it holds for all numbers or for none. `None`: it looks at texts or sets.
    pub fn steps(&self) -> Option<Vec<i128>> {
        let mut steps = Vec::new();
        self.0.steps(&mut steps).then_some(steps)
    }

    /// Whether it holds for a row.
    pub fn holds<R: Row + ?Sized>(&self, row: &R) -> bool {
        self.0.holds(row)
    }
}

impl Step {
    fn compile(predicate: &Predicate<Value>, places: Places<'_>) -> Self {
        match predicate {
            Predicate::And(operands) => Self::All(all(operands, places)),
            Predicate::Or(operands) => Self::Any(all(operands, places)),
            Predicate::Not(inner) => Self::Not(Box::new(Self::compile(inner, places))),
            Predicate::Differs(inner) => match &**inner {
                Predicate::Compare { name, .. }
                | Predicate::In { name, .. }
                | Predicate::Between { name, .. }
                | Predicate::Like { name, .. } => {
                    let is_set =
                        places(name).map_or(Self::never(), |place| Self::IsSet { at: place.at });
                    Self::All(vec![is_set, Self::Not(Box::new(Self::compile(inner, places)))])
                }
                _ => Self::slow(predicate, places),
            },
            leaf => Self::leaf(leaf, places).unwrap_or_else(|| Self::slow(leaf, places)),
        }
    }

    /// No row.
    fn never() -> Self {
        Self::Any(Vec::new())
    }

    /// A condition on one name's value; `None`: it is to be evaluated value by value.
    fn leaf(predicate: &Predicate<Value>, places: Places<'_>) -> Option<Self> {
        let name = match predicate {
            Predicate::Compare { name, .. }
            | Predicate::In { name, .. }
            | Predicate::Between { name, .. }
            | Predicate::Like { name, .. }
            | Predicate::IsSet { name } => name,
            // Who did what, and what time it is, no row says.
            Predicate::Crowd { .. } | Predicate::Happened(_) | Predicate::Moving { .. } => {
                return Some(Self::never());
            }
            _ => return None,
        };
        let Some(place) = places(name) else { return Some(Self::never()) };
        let at = place.at;
        match predicate {
            Predicate::Compare { op, literal, .. } => place.compare(*op, literal),
            Predicate::Between { low, high, .. } => Some(Self::All(vec![
                place.compare(CompareOp::GreaterOrEqual, low)?,
                place.compare(CompareOp::LessOrEqual, high)?,
            ])),
            Predicate::In { literals, .. } => place.one_of(literals),
            Predicate::Like { pattern, .. } if place.value_type == ValueType::Text => {
                Some(match pattern.strip_suffix('%') {
                    Some(prefix) if !prefix.contains(['%', '_', '\\']) => {
                        Self::Prefix { at, prefix: prefix.to_owned() }
                    }
                    _ => Self::Like { at, pattern: pattern.clone() },
                })
            }
            Predicate::IsSet { .. } => Some(Self::IsSet { at }),
            _ => None,
        }
    }

    /// Adds the numbers at which it may change; `false`: it looks at others than numbers.
    fn steps(&self, steps: &mut Vec<i128>) -> bool {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().all(|step| step.steps(steps)),
            Self::Not(inner) => inner.steps(steps),
            Self::Range { low, high, .. } => {
                steps.extend([*low, high.saturating_add(1)]);
                true
            }
            Self::OneOf { numbers, .. } => {
                steps.extend(numbers.iter().flat_map(|at| [*at, at.saturating_add(1)]));
                true
            }
            Self::IsSet { .. } => true,
            Self::Texts { .. }
            | Self::Between { .. }
            | Self::Prefix { .. }
            | Self::Like { .. }
            | Self::Slow { .. } => false,
        }
    }

    fn slow(predicate: &Predicate<Value>, places: Places<'_>) -> Self {
        let place = |name: &str| Some((name.to_owned(), places(name)?.at));
        let places = predicate.names().into_iter().filter_map(place).collect();
        Self::Slow { predicate: predicate.clone(), places }
    }

    fn holds<R: Row + ?Sized>(&self, row: &R) -> bool {
        match self {
            Self::All(steps) => steps.iter().all(|step| step.holds(row)),
            Self::Any(steps) => steps.iter().any(|step| step.holds(row)),
            Self::Not(inner) => !inner.holds(row),
            Self::Range { at, low, high, inside } => {
                row.number(*at).is_some_and(|v| (*low <= v && v <= *high) == *inside)
            }
            Self::OneOf { at, numbers } => {
                row.number(*at).is_some_and(|v| numbers.binary_search(&v).is_ok())
            }
            Self::Texts { at, texts, inside } => row.text(*at).is_some_and(|v| {
                texts.binary_search_by(|text| text.as_str().cmp(v)).is_ok() == *inside
            }),
            Self::Between { at, low, high } => {
                let above = |v: &str| match low {
                    Bound::Included(low) => low.as_str() <= v,
                    Bound::Excluded(low) => low.as_str() < v,
                    Bound::Unbounded => true,
                };
                let below = |v: &str| match high {
                    Bound::Included(high) => v <= high.as_str(),
                    Bound::Excluded(high) => v < high.as_str(),
                    Bound::Unbounded => true,
                };
                row.text(*at).is_some_and(|v| above(v) && below(v))
            }
            Self::Prefix { at, prefix } => {
                row.text(*at).is_some_and(|v| v.starts_with(prefix.as_str()))
            }
            Self::Like { at, pattern } => row.text(*at).is_some_and(|v| like(pattern, v)),
            Self::IsSet { at } => row.is_set(*at),
            Self::Slow { predicate, places } => {
                let place =
                    |name: &str| places.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
                predicate.matches(&|name| row.value(place(name)?))
            }
        }
    }
}

fn all(operands: &[Predicate<Value>], places: Places<'_>) -> Vec<Step> {
    operands.iter().map(|operand| Step::compile(operand, &mut *places)).collect()
}

impl Place {
    fn compare(self, op: CompareOp, literal: &Value) -> Option<Step> {
        let at = self.at;
        if let (ValueType::Text, Value::Text(text)) = (self.value_type, literal) {
            let text = text.to_string();
            let (low, high) = match op {
                CompareOp::Equal | CompareOp::NotEqual => {
                    let inside = op == CompareOp::Equal;
                    return Some(Step::Texts { at, texts: vec![text], inside });
                }
                CompareOp::Less => (Bound::Unbounded, Bound::Excluded(text)),
                CompareOp::LessOrEqual => (Bound::Unbounded, Bound::Included(text)),
                CompareOp::Greater => (Bound::Excluded(text), Bound::Unbounded),
                CompareOp::GreaterOrEqual => (Bound::Included(text), Bound::Unbounded),
            };
            return Some(Step::Between { at, low, high });
        }
        let Floor { units, is_exact } = self.floor(literal)?;
        let (low, high) = match op {
            CompareOp::Equal | CompareOp::NotEqual if is_exact => (units, units),
            CompareOp::Equal | CompareOp::NotEqual => (1, 0),
            CompareOp::Less if is_exact => (i128::MIN, units.saturating_sub(1)),
            CompareOp::Less | CompareOp::LessOrEqual => (i128::MIN, units),
            CompareOp::GreaterOrEqual if is_exact => (units, i128::MAX),
            CompareOp::Greater | CompareOp::GreaterOrEqual => (units.saturating_add(1), i128::MAX),
        };
        Some(Step::Range { at, low, high, inside: op != CompareOp::NotEqual })
    }

    fn one_of(self, literals: &[Value]) -> Option<Step> {
        let at = self.at;
        if self.value_type == ValueType::Text {
            let text = |literal: &Value| match literal {
                Value::Text(text) => Some(text.to_string()),
                _ => None,
            };
            let mut texts: Vec<String> = literals.iter().map(text).collect::<Option<_>>()?;
            texts.sort_unstable();
            return Some(Step::Texts { at, texts, inside: true });
        }
        let floors: Vec<Floor> =
            literals.iter().map(|literal| self.floor(literal)).collect::<Option<_>>()?;
        let mut numbers: Vec<i128> =
            floors.into_iter().filter(|floor| floor.is_exact).map(|floor| floor.units).collect();
        numbers.sort_unstable();
        Some(Step::OneOf { at, numbers })
    }

    /// The greatest of the place's numbers that is not above the literal; `None`: the two do not
    /// compare as numbers.
    fn floor(self, literal: &Value) -> Option<Floor> {
        let exact = |units: i128| Some(Floor { units, is_exact: true });
        match (self.value_type, literal) {
            (ValueType::Int, literal) => Floor::of(literal, 0),
            (ValueType::Decimal { scale }, literal) => Floor::of(literal, scale),
            (ValueType::Bool, Value::Bool(v)) => exact(i128::from(*v)),
            (ValueType::Date, Value::Date(v)) => exact(i128::from(*v)),
            (ValueType::Time, Value::Time(v)) => exact(i128::from(*v)),
            _ => None,
        }
    }
}

/// The greatest whole number of units that is not above a literal.
struct Floor {
    units: i128,
    /// It equals the literal.
    is_exact: bool,
}

impl Floor {
    /// In units of 10^-scale.
    fn of(literal: &Value, scale: u8) -> Option<Self> {
        let value = match literal {
            Value::Int(value) => Decimal::from(*value),
            Value::Decimal(value) => value.normalize(),
            _ => return None,
        };
        let (own, scale) = (value.scale(), u32::from(scale));
        if own <= scale {
            let units = value.mantissa().checked_mul(10_i128.checked_pow(scale - own)?)?;
            return Some(Self { units, is_exact: true });
        }
        let unit = 10_i128.checked_pow(own - scale)?;
        Some(Self { units: value.mantissa().div_euclid(unit), is_exact: false })
    }
}

#[cfg(test)]
#[path = "compiled/tests.rs"]
mod tests;
