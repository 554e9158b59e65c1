//! Values as Iceberg's literals, in the type of the column they are compared with.

use iceberg::spec::{Datum, PrimitiveType, Type};
use rust_decimal::Decimal;
use taghouse_model::Value;

/// The value in the column's own type, so that it compares with bounds; `None` if no value of that
/// type equals it.
pub(crate) fn datum(value: &Value, ty: &Type) -> Option<Datum> {
    let ty = ty.as_primitive_type()?;
    match (value, ty) {
        (Value::Bool(v), PrimitiveType::Boolean) => Some(Datum::bool(*v)),
        (Value::Int(v), PrimitiveType::Long) => Some(Datum::long(*v)),
        (Value::Int(v), PrimitiveType::Int) => i32::try_from(*v).ok().map(Datum::int),
        (Value::Text(v), PrimitiveType::String) => Some(Datum::string(v)),
        (Value::Date(v), PrimitiveType::Date) => Some(Datum::date(*v)),
        (Value::Time(ms), PrimitiveType::Timestamptz) => {
            ms.checked_mul(1000).map(Datum::timestamptz_micros)
        }
        (Value::Decimal(v), PrimitiveType::Decimal { scale, .. }) => {
            decimal(units(*v, *scale)?, ty.clone())
        }
        (Value::Int(v), PrimitiveType::Decimal { scale, .. }) => {
            decimal(units(Decimal::from(*v), *scale)?, ty.clone())
        }
        _ => None,
    }
}

/// A decimal's bound from its units of 10^-scale.
pub(crate) fn decimal(units: i128, ty: PrimitiveType) -> Option<Datum> {
    Datum::try_from_bytes(&units.to_be_bytes(), ty).ok()
}

fn units(value: Decimal, scale: u32) -> Option<i128> {
    let value = value.normalize();
    let more = scale.checked_sub(value.scale())?;
    value.mantissa().checked_mul(10i128.checked_pow(more)?)
}
