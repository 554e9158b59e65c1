//! The query's conditions by which files can be passed over. Anything else is left to DataFusion,
//! which filters the rows in any case.

use crate::datum::decimal;
use crate::prune::{Comparison, Condition};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use iceberg::spec::{Datum, PrimitiveType, Schema};

/// The condition on one column, if it is one.
pub(super) fn condition(filter: &Expr, schema: &Schema) -> Option<Condition> {
    match filter {
        Expr::BinaryExpr(binary) => match (binary.left.as_ref(), binary.right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => {
                any_of(&column.name, comparison(binary.op)?, &[value], schema)
            }
            (Expr::Literal(value, _), Expr::Column(column)) => {
                any_of(&column.name, comparison(binary.op.swap()?)?, &[value], schema)
            }
            _ => None,
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = list.expr.as_ref() else { return None };
            let literal = |e: &'_ Expr| match e {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            };
            let values = list.list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            any_of(&column.name, Comparison::Equal, &values.iter().collect::<Vec<_>>(), schema)
        }
        Expr::IsNotNull(inner) => match inner.as_ref() {
            Expr::Column(column) => {
                Some(Condition::IsSet { field_id: schema.field_id_by_name(&column.name)? })
            }
            _ => None,
        },
        _ => None,
    }
}

fn any_of(
    column: &str,
    comparison: Comparison,
    values: &[&ScalarValue],
    schema: &Schema,
) -> Option<Condition> {
    let field = schema.field_by_id(schema.field_id_by_name(column)?)?;
    let ty = field.field_type.as_primitive_type()?;
    let values = values.iter().map(|v| datum(v, ty)).collect::<Option<Vec<_>>>()?;
    Some(Condition::AnyOf { field_id: field.id, comparison, values })
}

fn comparison(op: Operator) -> Option<Comparison> {
    match op {
        Operator::Eq => Some(Comparison::Equal),
        Operator::Lt => Some(Comparison::Less),
        Operator::LtEq => Some(Comparison::LessOrEqual),
        Operator::Gt => Some(Comparison::Greater),
        Operator::GtEq => Some(Comparison::GreaterOrEqual),
        _ => None,
    }
}

/// The literal in the column's type; `None` where it is null or of another type, which prunes
/// nothing.
fn datum(value: &ScalarValue, ty: &PrimitiveType) -> Option<Datum> {
    match (value, ty) {
        (ScalarValue::Boolean(Some(v)), PrimitiveType::Boolean) => Some(Datum::bool(*v)),
        (ScalarValue::Int64(Some(v)), PrimitiveType::Long) => Some(Datum::long(*v)),
        (ScalarValue::Date32(Some(v)), PrimitiveType::Date) => Some(Datum::date(*v)),
        (ScalarValue::TimestampMicrosecond(Some(v), Some(_)), PrimitiveType::Timestamptz) => {
            Some(Datum::timestamptz_micros(*v))
        }
        (
            ScalarValue::Utf8(Some(v))
            | ScalarValue::Utf8View(Some(v))
            | ScalarValue::LargeUtf8(Some(v)),
            PrimitiveType::String,
        ) => Some(Datum::string(v)),
        (ScalarValue::Decimal128(Some(v), _, of), PrimitiveType::Decimal { scale, .. })
            if i64::from(*of) == i64::from(*scale) =>
        {
            decimal(*v, ty.clone())
        }
        _ => None,
    }
}
