use crate::MAX_EVENT_SCALE;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{ArithmeticOp, Function, Scalar};

/// The most digits after the point that a scalar's numbers have; `None` where they have any number
/// of them, as a quotient has.
pub(crate) fn digits_of(
    scalar: &Scalar<Value>,
    types: &dyn Fn(&str) -> Option<ValueType>,
) -> Option<u32> {
    match scalar {
        Scalar::Literal(Value::Decimal(v)) => Some(v.scale()),
        Scalar::Literal(_) => Some(0),
        Scalar::Name(name) => Some(types(name).map_or(0, digits)),
        Scalar::Negate(inner) => digits_of(inner, types),
        Scalar::Binary { op, left, right } => {
            let (left, right) = (digits_of(left, types)?, digits_of(right, types)?);
            match op {
                ArithmeticOp::Divide => None,
                ArithmeticOp::Multiply => Some(left.saturating_add(right)),
                ArithmeticOp::Add | ArithmeticOp::Subtract => Some(left.max(right)),
            }
        }
        Scalar::Call { function: Function::Round, arguments } => match arguments.get(1) {
            Some(Scalar::Literal(Value::Int(digits))) => u32::try_from(*digits).ok(),
            _ => None,
        },
        Scalar::Call { arguments, .. } => {
            arguments.iter().try_fold(0, |most, next| Some(digits_of(next, types)?.max(most)))
        }
        Scalar::If { then, otherwise, .. } => {
            Some(digits_of(then, types)?.max(digits_of(otherwise, types)?))
        }
    }
}

/// The type of a checked scalar's values; `None` if a name has none. The scale of a decimal is the
/// most digits that its values have, or [`MAX_EVENT_SCALE`] if they may have more.
pub(crate) fn type_of(
    scalar: &Scalar<Value>,
    types: &dyn Fn(&str) -> Option<ValueType>,
) -> Option<ValueType> {
    match scalar {
        Scalar::Literal(value) => Some(match value {
            Value::Bool(_) => ValueType::Bool,
            Value::Int(_) => ValueType::Int,
            Value::Decimal(v) => decimal(v.scale()),
            Value::Text(_) => ValueType::Text,
            Value::Set(_) => ValueType::Set,
            Value::Date(_) => ValueType::Date,
            Value::Time(_) => ValueType::Time,
        }),
        Scalar::Name(name) => types(name),
        Scalar::Negate(inner) => type_of(inner, types),
        Scalar::Binary { op, left, right } => {
            let (left, right) = (type_of(left, types)?, type_of(right, types)?);
            Some(match op {
                ArithmeticOp::Divide => decimal(MAX_EVENT_SCALE.into()),
                _ if left == ValueType::Int && right == ValueType::Int => ValueType::Int,
                ArithmeticOp::Multiply => decimal(digits(left) + digits(right)),
                ArithmeticOp::Add | ArithmeticOp::Subtract => {
                    decimal(digits(left).max(digits(right)))
                }
            })
        }
        Scalar::Call { function, arguments } => match function {
            Function::Lower | Function::Upper | Function::Trim => Some(ValueType::Text),
            Function::Round => match (type_of(arguments.first()?, types)?, arguments.get(1)) {
                (ValueType::Int, _) | (_, Some(Scalar::Literal(Value::Int(0)))) => {
                    Some(ValueType::Int)
                }
                _ => Some(decimal(MAX_EVENT_SCALE.into())),
            },
            Function::Abs | Function::Coalesce | Function::Least | Function::Greatest => {
                common(arguments.iter(), types)
            }
        },
        Scalar::If { then, otherwise, .. } => common([&**then, &**otherwise].into_iter(), types),
    }
}

fn decimal(digits: u32) -> ValueType {
    ValueType::Decimal {
        scale: u8::try_from(digits).unwrap_or(MAX_EVENT_SCALE).min(MAX_EVENT_SCALE),
    }
}

fn digits(ty: ValueType) -> u32 {
    if let ValueType::Decimal { scale } = ty { scale.into() } else { 0 }
}

/// Ints among decimals are decimals.
fn common<'a>(
    scalars: impl Iterator<Item = &'a Scalar<Value>>,
    types: &dyn Fn(&str) -> Option<ValueType>,
) -> Option<ValueType> {
    let mut common: Option<ValueType> = None;
    for scalar in scalars {
        let ty = type_of(scalar, types)?;
        common = Some(match (common, ty) {
            (None | Some(ValueType::Int), ty) => ty,
            (Some(ValueType::Decimal { scale: a }), ValueType::Decimal { scale: b }) => {
                ValueType::Decimal { scale: a.max(b) }
            }
            (Some(first), _) => first,
        });
    }
    common
}
