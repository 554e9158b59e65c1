use super::{Columns, Rows};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{ArithmeticOp, Computed, Scalar};

/// A scalar over columns by position; comes to the same as [`Scalar::compute`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// As it stands.
    Column(usize),
    /// Of two number columns. The digits of both together are at most those that an event's number
    /// keeps.
    Product { left: usize, right: usize, slow: Scalar<Value> },
    /// Whatever else, value by value.
    Slow(Scalar<Value>),
}

impl Expression {
    /// Names without a type have no value.
    pub(crate) fn compile(
        scalar: &Scalar<Value>,
        columns: &mut Columns,
        types: &dyn Fn(&str) -> Option<ValueType>,
    ) -> Self {
        for name in scalar.names() {
            if let Some(ty) = types(name) {
                columns.add(name, ty);
            }
        }
        let column = |scalar: &Scalar<Value>| {
            if let Scalar::Name(name) = scalar { columns.position(name) } else { None }
        };
        if let Some(column) = column(scalar) {
            return Self::Column(column);
        }
        if let Scalar::Binary { op: ArithmeticOp::Multiply, left, right } = scalar
            && let (Some(left), Some(right)) = (column(left), column(right))
            && let (Some(a), Some(b)) =
                (digits(columns.type_at(left)), digits(columns.type_at(right)))
            && a + b <= crate::MAX_EVENT_SCALE
        {
            return Self::Product { left, right, slow: scalar.clone() };
        }
        Self::Slow(scalar.clone())
    }

    /// What it comes to for a row.
    pub(crate) fn compute(&self, rows: &Rows<'_>, row: usize) -> Computed {
        match self {
            Self::Column(column) => {
                rows.reader(*column).value(row).map_or(Computed::Nothing, Into::into)
            }
            Self::Product { slow: scalar, .. } | Self::Slow(scalar) => {
                scalar.compute(&|name| rows.value(name, row))
            }
        }
    }

    /// The product of two columns' numbers, in units of the digits of both: `Ok(None)` where there
    /// is none, `Err` where only the slow way is sure.
    pub(crate) fn product(
        rows: &Rows<'_>,
        row: usize,
        left: usize,
        right: usize,
    ) -> Result<Option<i128>, ()> {
        let (Some(a), Some(b)) = (rows.reader(left).number(row), rows.reader(right).number(row))
        else {
            return Ok(None);
        };
        a.checked_mul(b).map(Some).ok_or(())
    }
}

fn digits(ty: ValueType) -> Option<u8> {
    match ty {
        ValueType::Int => Some(0),
        ValueType::Decimal { scale } => Some(scale),
        _ => None,
    }
}
