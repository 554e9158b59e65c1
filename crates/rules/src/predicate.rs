use rust_decimal::Decimal;

/// A condition on named things (tags in a crowd expression, properties in `where`), in which `L` is what a literal is:
/// [`Literal`] as written, `model::Value` once checked against the types.
///
/// Missing values: a condition on a name that has no value is false, whatever the operator (`!=` too), and so `Not` of it is true.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate<L = Literal> {
    /// All hold. Two or more operands, none of them an `And`.
    And(Vec<Predicate<L>>),
    /// At least one holds. Two or more operands, none of them an `Or`.
    Or(Vec<Predicate<L>>),
    /// It does not hold.
    Not(Box<Predicate<L>>),
    /// `name op literal`. On a set, `==` asks whether the literal is in it.
    Compare {
        /// Whose value.
        name: String,
        /// How.
        op: CompareOp,
        /// With what.
        literal: L,
    },
    /// `name in (a, b)`.
    In {
        /// Whose value.
        name: String,
        /// Any of these; at least one.
        literals: Vec<L>,
    },
    /// `name between low and high`, both included.
    Between {
        /// Whose value.
        name: String,
        /// From.
        low: L,
        /// To.
        high: L,
    },
    /// `name like 'a%b_'`: `%` any text, `_` one character, `\` takes the next character as it is.
    Like {
        /// Whose value.
        name: String,
        /// The pattern.
        pattern: String,
    },
    /// `name is set`.
    IsSet {
        /// Whose value.
        name: String,
    },
    /// `crowd("name")`: membership in another crowd's current version.
    Crowd {
        /// The other crowd.
        name: String,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`: has a value, and another one.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A literal as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Literal {
    /// `true`, `false`
    Bool(bool),
    /// `12`
    Int(i64),
    /// `1.50`, digits kept
    Decimal(Decimal),
    /// `"text"` or `'text'`; dates are written as text
    Text(String),
}
