//! Conditions over typed columns. Comparisons of a column with literals become ranges of the
//! column's own units.

use super::{Columns, Rows};
use crate::units::floor_of;
use rust_decimal::Decimal;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CompareOp, Predicate, like};

/// A predicate over columns by position; holds for the same rows as [`Predicate::holds`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The number is in the range, ends included (or has a value and is not).
    Range {
        column: usize,
        low: i128,
        high: i128,
        inside: bool,
    },
    /// The number is one of these, in order.
    OneOf {
        column: usize,
        numbers: Vec<i128>,
    },
    /// The text is one of these, in order (or has a value and is none).
    Texts {
        column: usize,
        texts: Vec<String>,
        inside: bool,
    },
    Like {
        column: usize,
        pattern: String,
    },
    IsSet {
        column: usize,
    },
    /// Whatever else, value by value.
    Slow(Predicate<Value>),
}

impl Condition {
    /// Names without a type have no value.
    pub(crate) fn compile(
        predicate: &Predicate<Value>,
        columns: &mut Columns,
        types: &dyn Fn(&str) -> Option<ValueType>,
    ) -> Self {
        let mut all = |operands: &[Predicate<Value>]| {
            operands.iter().map(|p| Self::compile(p, columns, types)).collect()
        };
        match predicate {
            Predicate::And(operands) => return Self::All(all(operands)),
            Predicate::Or(operands) => return Self::Any(all(operands)),
            Predicate::Not(inner) => {
                return Self::Not(Box::new(Self::compile(inner, columns, types)));
            }
            Predicate::Differs(inner) if !inner.is_computed() => {
                let condition = Self::compile(inner, columns, types);
                let column =
                    inner.names().into_iter().next().and_then(|name| columns.position(name));
                // Without a column nobody has a value.
                let is_set = column.map_or(Self::Any(Vec::new()), |column| Self::IsSet { column });
                return Self::All(vec![is_set, Self::Not(Box::new(condition))]);
            }
            _ => {}
        }
        for name in predicate.names() {
            if let Some(ty) = types(name) {
                columns.add(name, ty);
            }
        }
        Self::leaf(predicate, columns).unwrap_or_else(|| Self::Slow(predicate.clone()))
    }

    fn leaf(predicate: &Predicate<Value>, columns: &Columns) -> Option<Self> {
        match predicate {
            Predicate::Compare { name, op, literal } => {
                let column = columns.position(name)?;
                match (columns.type_at(column), literal, op) {
                    (
                        ValueType::Text,
                        Value::Text(text),
                        CompareOp::Equal | CompareOp::NotEqual,
                    ) => Some(Self::Texts {
                        column,
                        texts: vec![text.to_string()],
                        inside: *op == CompareOp::Equal,
                    }),
                    (ty, literal, op) => {
                        let (floor, exact) = floor(literal, ty)?;
                        let (low, high) = range(*op, floor, exact);
                        Some(Self::Range { column, low, high, inside: *op != CompareOp::NotEqual })
                    }
                }
            }
            Predicate::Between { name, low, high } => {
                let column = columns.position(name)?;
                let (floor_low, exact_low) = floor(low, columns.type_at(column))?;
                let (floor_high, exact_high) = floor(high, columns.type_at(column))?;
                let (low, _) = range(CompareOp::GreaterOrEqual, floor_low, exact_low);
                let (_, high) = range(CompareOp::LessOrEqual, floor_high, exact_high);
                Some(Self::Range { column, low, high, inside: true })
            }
            Predicate::In { name, literals } => {
                let column = columns.position(name)?;
                let ty = columns.type_at(column);
                if ty == ValueType::Text {
                    let text = |l: &Value| {
                        if let Value::Text(text) = l { Some(text.to_string()) } else { None }
                    };
                    let mut texts: Vec<String> =
                        literals.iter().map(text).collect::<Option<_>>()?;
                    texts.sort_unstable();
                    return Some(Self::Texts { column, texts, inside: true });
                }
                let exact: Vec<(i128, bool)> =
                    literals.iter().map(|l| floor(l, ty)).collect::<Option<_>>()?;
                let mut numbers: Vec<i128> =
                    exact.into_iter().filter(|(_, exact)| *exact).map(|(n, _)| n).collect();
                numbers.sort_unstable();
                Some(Self::OneOf { column, numbers })
            }
            Predicate::Like { name, pattern } => {
                let column = columns.position(name)?;
                (columns.type_at(column) == ValueType::Text)
                    .then(|| Self::Like { column, pattern: pattern.clone() })
            }
            Predicate::IsSet { name } => Some(Self::IsSet { column: columns.position(name)? }),
            _ => None,
        }
    }

    /// Whether it holds for a row.
    pub(crate) fn holds(&self, rows: &Rows<'_>, row: usize) -> bool {
        match self {
            Self::All(operands) => operands.iter().all(|c| c.holds(rows, row)),
            Self::Any(operands) => operands.iter().any(|c| c.holds(rows, row)),
            Self::Not(inner) => !inner.holds(rows, row),
            Self::Range { column, low, high, inside } => rows
                .reader(*column)
                .number(row)
                .is_some_and(|v| (*low <= v && v <= *high) == *inside),
            Self::OneOf { column, numbers } => {
                rows.reader(*column).number(row).is_some_and(|v| numbers.binary_search(&v).is_ok())
            }
            Self::Texts { column, texts, inside } => {
                rows.reader(*column).text(row).is_some_and(|v| {
                    texts.binary_search_by(|text| text.as_str().cmp(v)).is_ok() == *inside
                })
            }
            Self::Like { column, pattern } => {
                rows.reader(*column).text(row).is_some_and(|v| like(pattern, v))
            }
            Self::IsSet { column } => rows.reader(*column).is_set(row),
            Self::Slow(predicate) => predicate.matches(&|name| rows.value(name, row)),
        }
    }
}

/// The greatest of the column's numbers that is not above the literal, and whether it equals it;
/// `None` if the two do not compare.
fn floor(literal: &Value, ty: ValueType) -> Option<(i128, bool)> {
    let scale = match ty {
        ValueType::Decimal { scale } => scale,
        _ => 0,
    };
    match (ty, literal) {
        (ValueType::Int | ValueType::Decimal { .. }, Value::Int(v)) => {
            floor_of(Decimal::from(*v), scale)
        }
        (ValueType::Int | ValueType::Decimal { .. }, Value::Decimal(v)) => floor_of(*v, scale),
        (ValueType::Bool, Value::Bool(v)) => Some((i128::from(*v), true)),
        (ValueType::Date, Value::Date(v)) => Some((i128::from(*v), true)),
        (ValueType::Time, Value::Time(v)) => Some((i128::from(*v), true)),
        _ => None,
    }
}

/// The numbers that compare so with a literal; for `NotEqual` those that do not.
fn range(op: CompareOp, floor: i128, exact: bool) -> (i128, i128) {
    match op {
        CompareOp::Equal | CompareOp::NotEqual if exact => (floor, floor),
        CompareOp::Equal | CompareOp::NotEqual => (1, 0),
        CompareOp::Less if exact => (i128::MIN, floor - 1),
        CompareOp::Less | CompareOp::LessOrEqual => (i128::MIN, floor),
        CompareOp::GreaterOrEqual if exact => (floor, i128::MAX),
        CompareOp::Greater | CompareOp::GreaterOrEqual => (floor + 1, i128::MAX),
    }
}
