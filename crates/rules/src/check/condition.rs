//! Conditions on computed values, and those that turn out to be plain ones.

use super::scalar::{Checked, alike, number_without_names};
use super::{CheckError, Scope, described};
use crate::coerce::coerce;
use crate::evaluate::in_order;
use crate::{CompareOp, Literal, Predicate, Scalar, Test};
use taghouse_model::{Value, ValueType};

type Checking<T> = Result<T, CheckError>;

/// Checks a condition on a computed value.
pub(super) fn check_test(
    value: &Scalar,
    test: &Test,
    scope: Scope<'_>,
    leaf: &mut usize,
) -> Checking<Predicate<Value>> {
    let first = *leaf;
    let value = value.check_in(scope, leaf)?;
    let ty = value.ty;
    let error = |what: &str| {
        Err(CheckError::new(
            first,
            format!(
                "{what}, and this is of type {}: compare it, or ask whether it is set",
                described(ty, scope.naming)
            ),
        ))
    };
    match test {
        Test::Holds => match (ty, value.scalar) {
            (ValueType::Bool, Scalar::Name(name)) => {
                Ok(Predicate::Compare { name, op: CompareOp::Equal, literal: Value::Bool(true) })
            }
            (ValueType::Bool, scalar) => Ok(Predicate::of(scalar, Test::Holds)),
            _ => error("a value alone is a condition only if it is true or false"),
        },
        Test::IsSet => Ok(Predicate::of(value.scalar, Test::IsSet)),
        Test::Like { .. } if !matches!(ty, ValueType::Text | ValueType::Set) => {
            error("`like` needs text")
        }
        Test::Like { pattern } => {
            Ok(Predicate::of(value.scalar, Test::Like { pattern: pattern.clone() }))
        }
        Test::Has { .. } if ty != ValueType::Set => error("`has` needs a set"),
        Test::Has { all, literals } => {
            let literals = typed(literals, ty, scope, first)?;
            Ok(Predicate::of(value.scalar, Test::Has { all: *all, literals }))
        }
        Test::In { literals } => {
            let literals = typed(literals, ty, scope, first)?;
            Ok(Predicate::of(value.scalar, Test::In { literals }))
        }
        Test::Compare { op, with } => {
            let with = with.check_in(scope, leaf).map_err(|e| quoted(e, with))?;
            compare(value, *op, with, scope)
        }
        Test::Between { low, high } => {
            let (low, high) = (low.check_in(scope, leaf)?, high.check_in(scope, leaf)?);
            let (scalars, ty) = alike(vec![value, low, high], "`between`", scope)?;
            if !ty.is_number() {
                return error("`between` needs numbers or dates");
            }
            let mut scalars = scalars.into_iter().map(number_without_names);
            match (scalars.next(), scalars.next(), scalars.next()) {
                (Some(value), Some(low), Some(high)) => Ok(Predicate::of(
                    value,
                    Test::Between { low: Box::new(low), high: Box::new(high) },
                )),
                _ => error("`between` needs two bounds"),
            }
        }
    }
}

/// `country == Germany` means `"Germany"` more often than a tag.
fn quoted(mut error: CheckError, with: &Scalar) -> CheckError {
    if let (Scalar::Name(name), Some(unknown)) = (with, &error.unknown)
        && name == unknown
    {
        error.message.push_str(&format!("; text stands in quotes: \"{name}\""));
    }
    error
}

fn typed(
    literals: &[Literal],
    ty: ValueType,
    scope: Scope<'_>,
    leaf: usize,
) -> Checking<Vec<Value>> {
    let value = |literal: &Literal| {
        coerce(literal, ty, scope.zone).map_err(|e| {
            CheckError::new(leaf, format!("this is of type {}: {e}", described(ty, scope.naming)))
        })
    };
    Ok(in_order(literals.iter().map(value).collect::<Checking<_>>()?))
}

fn compare(
    left: Checked,
    op: CompareOp,
    right: Checked,
    scope: Scope<'_>,
) -> Checking<Predicate<Value>> {
    let what = format!("`{}`", op.symbol());
    let (left, right, op) = match (left.ty, right.ty) {
        (ValueType::Text, ValueType::Set) => (right, left, op.flipped()),
        _ => (left, right, op),
    };
    let first = left.leaf;
    let ordered = !matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    if left.ty == ValueType::Set {
        if ordered || right.ty != ValueType::Text {
            let message = format!(
                "{what} cannot compare a set with this: ask for a member with == or !=, or write `has any (…)` or `has all (…)`"
            );
            return Err(CheckError::new(first, message));
        }
        return Ok(Predicate::of(left.scalar, Test::Compare { op, with: Box::new(right.scalar) }));
    }
    let (scalars, ty) = alike(vec![left, right], &what, scope)?;
    if ordered && !ty.is_number() {
        return Err(CheckError::new(
            first,
            format!(
                "{what} needs numbers or dates, and this is of type {}",
                described(ty, scope.naming)
            ),
        ));
    }
    let mut scalars = scalars.into_iter().map(number_without_names);
    match (scalars.next(), scalars.next()) {
        (Some(left), Some(right)) => Ok(with_default(left, op, right)),
        _ => Err(CheckError::new(first, format!("{what} needs two values"))),
    }
}

/// `coalesce(x, 0) > 1` is what bitmaps hold, written otherwise: `x > 1`, and where the default
/// compares so also `x is not set`.
fn with_default(left: Scalar<Value>, op: CompareOp, right: Scalar<Value>) -> Predicate<Value> {
    use crate::Function::Coalesce;
    let plain = |name: &String, default: &Value, op: CompareOp, literal: &Value| {
        let compare = Predicate::Compare { name: name.clone(), op, literal: literal.clone() };
        let default_matches =
            Predicate::Compare { name: name.clone(), op, literal: literal.clone() }
                .matches(&|_| Some(default.clone()));
        if !default_matches {
            return compare;
        }
        Predicate::Or(vec![
            compare,
            Predicate::Not(Box::new(Predicate::IsSet { name: name.clone() })),
        ])
    };
    let (computed, other, asked) = if matches!(left, Scalar::Literal(_)) {
        (&right, &left, op.flipped())
    } else {
        (&left, &right, op)
    };
    if let (Scalar::Call { function: Coalesce, arguments }, Scalar::Literal(literal)) =
        (computed, other)
        && let [Scalar::Name(name), Scalar::Literal(default)] = arguments.as_slice()
    {
        return plain(name, default, asked, literal);
    }
    Predicate::of(left, Test::Compare { op, with: Box::new(right) })
}
