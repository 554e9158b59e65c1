use super::{Columns, Rows};
use crate::units::MAX_DECIMAL_UNITS;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{ArithmeticOp, Function, Scalar};

/// A scalar over columns by position; gives the same values as [`Scalar::value`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// As it stands.
    Column(usize),
    /// Of two number columns. The digits of both together are at most those that an event's number keeps.
    Product {
        left: usize,
        right: usize,
        /// Digits after the point of the product.
        scale: u8,
        /// Both are ints, and so must the product be.
        ints: bool,
        slow: Scalar<Value>,
    },
    /// Whatever else, value by value.
    Slow(Scalar<Value>),
}

impl Expression {
    /// Names without a type have no value.
    pub(crate) fn compile(scalar: &Scalar<Value>, columns: &mut Columns, types: &dyn Fn(&str) -> Option<ValueType>) -> Self {
        for name in scalar.names() {
            if let Some(ty) = types(name) {
                columns.add(name, ty);
            }
        }
        let column = |scalar: &Scalar<Value>| if let Scalar::Name(name) = scalar { columns.position(name) } else { None };
        if let Some(column) = column(scalar) {
            return Self::Column(column);
        }
        if let Scalar::Binary { op: ArithmeticOp::Multiply, left, right } = scalar
            && let (Some(left), Some(right)) = (column(left), column(right))
            && let (Some(a), Some(b)) = (digits(columns.type_at(left)), digits(columns.type_at(right)))
            && a + b <= crate::MAX_EVENT_SCALE
        {
            let ints = columns.type_at(left) == ValueType::Int && columns.type_at(right) == ValueType::Int;
            return Self::Product { left, right, scale: a + b, ints, slow: scalar.clone() };
        }
        Self::Slow(scalar.clone())
    }

    /// A row's value.
    pub(crate) fn value(&self, rows: &Rows<'_>, row: usize) -> Option<Value> {
        match self {
            Self::Column(column) => rows.reader(*column).value(row),
            Self::Product { slow: scalar, .. } | Self::Slow(scalar) => scalar.value(&|name| rows.value(name, row)),
        }
    }

    /// Whether a row without a value has none because a number on the way to it was out of range, and not because something was missing
    /// or divided by zero.
    pub(crate) fn overflows(&self, rows: &Rows<'_>, row: usize) -> bool {
        match self {
            Self::Column(_) => false,
            Self::Product { slow: scalar, .. } | Self::Slow(scalar) => overflows(scalar, &|name| rows.value(name, row)),
        }
    }

    /// The product in units of 10^-scale of two columns' numbers: `Ok(None)` where there is none, `Err` where only the slow way is sure.
    pub(crate) fn product(rows: &Rows<'_>, row: usize, left: usize, right: usize, ints: bool) -> Result<Option<i128>, ()> {
        let (Some(a), Some(b)) = (rows.reader(left).number(row), rows.reader(right).number(row)) else { return Ok(None) };
        let product = a.checked_mul(b).ok_or(())?;
        let limit = if ints { i128::from(i64::MAX) } else { MAX_DECIMAL_UNITS };
        if product.abs() <= limit { Ok(Some(product)) } else { Err(()) }
    }
}

/// Of a scalar that has no value. Costs about as much as the value did.
fn overflows(scalar: &Scalar<Value>, values: &dyn Fn(&str) -> Option<Value>) -> bool {
    let zero = |value: &Value| matches!(value, Value::Int(0)) || matches!(value, Value::Decimal(v) if v.is_zero());
    let missing = |scalar: &Scalar<Value>| scalar.value(values).is_none();
    match scalar {
        Scalar::Literal(_) | Scalar::Name(_) => false,
        Scalar::Negate(inner) => {
            if missing(inner) {
                overflows(inner, values)
            } else {
                true
            }
        }
        Scalar::Binary { op, left, right } => match (left.value(values), right.value(values)) {
            (Some(_), Some(divisor)) => !(*op == ArithmeticOp::Divide && zero(&divisor)),
            (left_value, right_value) => {
                (left_value.is_none() && overflows(left, values)) || (right_value.is_none() && overflows(right, values))
            }
        },
        Scalar::Call { function, arguments } => {
            let mut without = arguments.iter().filter(|argument| missing(argument)).peekable();
            match without.peek() {
                // All there and yet no number: over 64 bits.
                None => matches!(function, Function::Abs | Function::Round),
                Some(_) => without.any(|argument| overflows(argument, values)),
            }
        }
        Scalar::If { condition, then, otherwise } => overflows(if condition.holds(values) { then } else { otherwise }, values),
    }
}

fn digits(ty: ValueType) -> Option<u8> {
    match ty {
        ValueType::Int => Some(0),
        ValueType::Decimal { scale } => Some(scale),
        _ => None,
    }
}
