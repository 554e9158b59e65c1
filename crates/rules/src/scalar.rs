use crate::{Literal, Predicate};

/// A computed value: arithmetic and functions over named values. No value in, no value out, except
/// for `coalesce`, `least`, `greatest` and `if`; division by zero gives no value. Numbers are exact
/// quotients, and rounded once, at the end: half away from zero.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<L = Literal> {
    /// A literal of the expression.
    Literal(L),
    /// The value of a property or tag.
    Name(String),
    /// `-x`
    Negate(Box<Scalar<L>>),
    /// `a + b` and the like, exact.
    Binary {
        /// The arithmetic operator.
        op: ArithmeticOp,
        /// The left operand.
        left: Box<Scalar<L>>,
        /// The right operand.
        right: Box<Scalar<L>>,
    },
    /// `function(a, b)`
    Call {
        /// The function that is applied.
        function: Function,
        /// The arguments, in order.
        arguments: Vec<Scalar<L>>,
    },
    /// `if(condition, then, otherwise)`
    If {
        /// A condition over the same names.
        condition: Box<Predicate<L>>,
        /// The value when it holds.
        then: Box<Scalar<L>>,
        /// The value when it does not.
        otherwise: Box<Scalar<L>>,
    },
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A function of the scalar language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `coalesce(a, b, …)`: the first that has a value.
    Coalesce,
    /// `abs(x)`
    Abs,
    /// `round(x, digits)`: half away from zero.
    Round,
    /// `least(a, b, …)` of those that have a value.
    Least,
    /// `greatest(a, b, …)` of those that have a value.
    Greatest,
    /// `lower(text)`
    Lower,
    /// `upper(text)`
    Upper,
    /// `trim(text)`
    Trim,
}
