use super::{CheckError, Naming, Scope, described};
use crate::coerce::coerce;
use crate::{ArithmeticOp, Computed, Function, Literal, Scalar};
use jiff::tz::TimeZone;
use taghouse_model::{Value, ValueType};

/// The most digits after the point of a decimal type.
const MAX_SCALE: u8 = 12;

/// Digits after the point that a division of whole numbers is said to have.
const DIVISION_SCALE: u8 = 4;

/// A checked scalar and its type.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) scalar: Scalar<Value>,
    pub(crate) ty: ValueType,
    /// Its first leaf, to point at.
    pub(super) leaf: usize,
    /// The text, where it is a literal one: next to a date it may turn out to be a date.
    text: Option<Literal>,
}

type CheckResult = Result<Checked, CheckError>;

impl Scalar {
    /// The same value, its literals typed, and its type.
    ///
    /// int ⊕ int is int, but a division is a decimal of 4 digits (or its operands' if more);
    /// decimals add to the greater scale and multiply to the sum of scales, 12 at most. What is
    /// computed is exact, whatever the type says: it is rounded once, to the type that
    /// [`Scalar::value`] is asked for.
    ///
    /// # Errors
    /// The first unknown name, or operands that do not fit together.
    pub fn check(
        &self,
        types: &dyn Fn(&str) -> Option<ValueType>,
        zone: &TimeZone,
    ) -> Result<(Scalar<Value>, ValueType), CheckError> {
        let checked = self.check_in(
            Scope {
                naming: Naming::Tags,
                types,
                crowds: &|_| false,
                crowds_fit: false,
                zone,
                known: None,
                pending: None,
            },
            &mut 0,
        )?;
        Ok((checked.scalar, checked.ty))
    }

    pub(crate) fn check_in(&self, scope: Scope<'_>, leaf: &mut usize) -> CheckResult {
        let first = *leaf;
        match self {
            Self::Literal(literal) => {
                *leaf += 1;
                typed_literal(literal, scope, first)
            }
            Self::Name(name) => {
                *leaf += 1;
                Ok(Checked {
                    scalar: Scalar::Name(name.clone()),
                    ty: scope.type_of(name, first)?,
                    leaf: first,
                    text: None,
                })
            }
            Self::Negate(inner) => {
                let inner = inner.check_in(scope, leaf)?;
                number(&inner, "`-`", scope)?;
                Ok(Checked { scalar: Scalar::Negate(Box::new(inner.scalar)), text: None, ..inner })
            }
            Self::Binary { op, left, right } => {
                let left = left.check_in(scope, leaf)?;
                let right = right.check_in(scope, leaf)?;
                binary(*op, left, right, scope)
            }
            Self::Call { function, arguments } => {
                let arguments = arguments
                    .iter()
                    .map(|a| a.check_in(scope, leaf))
                    .collect::<Result<Vec<_>, _>>()?;
                call(*function, arguments, scope, first)
            }
            Self::If { condition, then, otherwise } => {
                let condition = condition.check_in(scope, leaf)?;
                let branches = vec![then.check_in(scope, leaf)?, otherwise.check_in(scope, leaf)?];
                let (mut branches, ty) = alike(branches, "`if`", scope)?;
                let (Some(otherwise), Some(then)) = (branches.pop(), branches.pop()) else {
                    return Err(CheckError::new(first, "`if` needs two values"));
                };
                let scalar = Scalar::If {
                    condition: Box::new(condition),
                    then: Box::new(then),
                    otherwise: Box::new(otherwise),
                };
                Ok(Checked { scalar, ty, leaf: first, text: None })
            }
        }
    }
}

fn typed_literal(literal: &Literal, scope: Scope<'_>, leaf: usize) -> CheckResult {
    let ty = match literal {
        Literal::Bool(_) => ValueType::Bool,
        Literal::Int(_) => ValueType::Int,
        Literal::Text(_) => ValueType::Text,
        Literal::Decimal(v) => ValueType::Decimal {
            scale: u8::try_from(v.scale()).unwrap_or(MAX_SCALE).min(MAX_SCALE),
        },
    };
    let value = coerce(literal, ty, scope.zone).map_err(|e| CheckError::new(leaf, e))?;
    let text = matches!(literal, Literal::Text(_)).then(|| literal.clone());
    Ok(Checked { scalar: Scalar::Literal(value), ty, leaf, text })
}

fn number(checked: &Checked, what: &str, scope: Scope<'_>) -> Result<(), CheckError> {
    match checked.ty {
        ValueType::Int | ValueType::Decimal { .. } => Ok(()),
        _ => Err(CheckError::new(
            checked.leaf,
            format!("{what} needs a number, and this is {}", checked.described(scope)),
        )),
    }
}

fn scale_of(ty: ValueType) -> u8 {
    if let ValueType::Decimal { scale } = ty { scale } else { 0 }
}

fn binary(op: ArithmeticOp, left: Checked, right: Checked, scope: Scope<'_>) -> CheckResult {
    let what = format!("`{}`", op.symbol());
    number(&left, &what, scope)?;
    number(&right, &what, scope)?;
    let ints = left.ty == ValueType::Int && right.ty == ValueType::Int;
    let (a, b) = (scale_of(left.ty), scale_of(right.ty));
    let scale = match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => a.max(b),
        ArithmeticOp::Multiply => (a + b).min(MAX_SCALE),
        ArithmeticOp::Divide => a.max(b).max(DIVISION_SCALE),
    };
    let ty = if ints && op != ArithmeticOp::Divide {
        ValueType::Int
    } else {
        ValueType::Decimal { scale }
    };
    let leaf = left.leaf;
    let scalar = Scalar::Binary { op, left: Box::new(left.scalar), right: Box::new(right.scalar) };
    Ok(Checked { scalar, ty, leaf, text: None })
}

fn call(function: Function, arguments: Vec<Checked>, scope: Scope<'_>, leaf: usize) -> CheckResult {
    let what = format!("`{}`", function.name());
    let done = |arguments: Vec<Scalar<Value>>, ty| Checked {
        scalar: Scalar::Call { function, arguments },
        ty,
        leaf,
        text: None,
    };
    let (least, most) = function.arity();
    if !(least..=most).contains(&arguments.len()) {
        return Err(CheckError::new(leaf, format!("expected `{}`", function.usage())));
    }
    match function {
        Function::Coalesce => {
            let (arguments, ty) = alike(arguments, &what, scope)?;
            Ok(done(arguments, ty))
        }
        Function::Least | Function::Greatest => {
            let (arguments, ty) = alike(arguments, &what, scope)?;
            if !ty.is_number() && ty != ValueType::Text {
                return Err(CheckError::new(
                    leaf,
                    format!(
                        "{what} needs numbers, dates or texts, and this is of type {}",
                        described(ty, scope.naming)
                    ),
                ));
            }
            Ok(done(arguments, ty))
        }
        Function::Abs => {
            arguments.iter().try_for_each(|a| number(a, &what, scope))?;
            let (arguments, ty) = alike(arguments, &what, scope)?;
            Ok(done(arguments, ty))
        }
        Function::Round => {
            let digits = match arguments.get(1).map(|a| (&a.scalar, a.leaf)) {
                Some((Scalar::Literal(Value::Int(digits @ 0..=12)), _)) => *digits,
                other => {
                    let at = other.map_or(leaf, |(_, leaf)| leaf);
                    return Err(CheckError::new(
                        at,
                        "`round` needs the number of digits as a literal from 0 to 12",
                    ));
                }
            };
            arguments.iter().try_for_each(|a| number(a, &what, scope))?;
            let ty = match arguments.first().map(|a| a.ty) {
                Some(ValueType::Decimal { .. }) if digits > 0 => {
                    ValueType::Decimal { scale: digits as u8 }
                }
                _ => ValueType::Int,
            };
            Ok(done(arguments.into_iter().map(|a| a.scalar).collect(), ty))
        }
        Function::Lower | Function::Upper | Function::Trim => match arguments
            .iter()
            .find(|a| a.ty != ValueType::Text)
        {
            Some(a) => Err(CheckError::new(
                a.leaf,
                format!("{what} needs text, and this is {}", a.described(scope)),
            )),
            None => Ok(done(arguments.into_iter().map(|a| a.scalar).collect(), ValueType::Text)),
        },
    }
}

/// The scalars brought to one type: ints are decimals next to decimals, literal texts dates next to
/// dates.
pub(super) fn alike(
    arguments: Vec<Checked>,
    what: &str,
    scope: Scope<'_>,
) -> Result<(Vec<Scalar<Value>>, ValueType), CheckError> {
    let mut common: Option<ValueType> = None;
    // Literal texts last: what stands beside them decides what they are.
    for argument in arguments
        .iter()
        .filter(|a| a.text.is_none())
        .chain(arguments.iter().filter(|a| a.text.is_some()))
    {
        common = Some(match (common, argument.ty) {
            (None, ty) => ty,
            (Some(a), b) if a == b => a,
            (Some(ValueType::Int), ty @ ValueType::Decimal { .. })
            | (Some(ty @ ValueType::Decimal { .. }), ValueType::Int) => ty,
            (Some(ValueType::Decimal { scale: a }), ValueType::Decimal { scale: b }) => {
                ValueType::Decimal { scale: a.max(b) }
            }
            (Some(ty @ (ValueType::Date | ValueType::Time)), ValueType::Text)
                if argument.text.is_some() =>
            {
                ty
            }
            (Some(a), _) => {
                let message = format!(
                    "{what} needs values of one type, and this is {}, not {}",
                    argument.described(scope),
                    described(a, scope.naming)
                );
                return Err(CheckError::new(argument.leaf, message));
            }
        });
    }
    let ty = common.unwrap_or(ValueType::Int);
    let scalars =
        arguments.into_iter().map(|a| a.brought_to(ty, scope)).collect::<Result<_, _>>()?;
    Ok((scalars, ty))
}

impl Checked {
    /// How messages describe it.
    fn described(&self, scope: Scope<'_>) -> String {
        if self.text.is_some() {
            "text in quotes".to_owned()
        } else {
            format!("of type {}", described(self.ty, scope.naming))
        }
    }

    fn brought_to(self, ty: ValueType, scope: Scope<'_>) -> Result<Scalar<Value>, CheckError> {
        match (&self.text, ty) {
            (Some(text), ValueType::Date | ValueType::Time) => Ok(Scalar::Literal(
                coerce(text, ty, scope.zone).map_err(|e| CheckError::new(self.leaf, e))?,
            )),
            _ => Ok(self.scalar),
        }
    }
}

/// What no name is in, worked out, where a decimal holds it exactly.
pub(super) fn number_without_names(scalar: Scalar<Value>) -> Scalar<Value> {
    if matches!(scalar, Scalar::Literal(_) | Scalar::Name(_))
        || !scalar.names().is_empty()
        || !scalar.crowds().is_empty()
    {
        return scalar;
    }
    match scalar.compute(&|_| None) {
        Computed::Number(number) => {
            number.decimal().map_or(scalar, |number| Scalar::Literal(Value::Decimal(number)))
        }
        Computed::Value(value) => Scalar::Literal(value),
        Computed::Nothing | Computed::Beyond(_) => scalar,
    }
}
