use crate::{Happened, Moving, Scalar};
use rust_decimal::Decimal;

/// A condition on named things (tags in a crowd expression, properties in `where`), in which `L` is
/// what a literal is: [`Literal`] as written, `model::Value` once checked against the types.
///
/// Missing values: a condition on a name that has no value is false, whatever the operator (`!=`
/// and `not in` too), and so `Not` of it is true.
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
        /// Tag whose value is tested.
        name: String,
        /// The operator, or what is done to the value.
        op: CompareOp,
        /// The right-hand side.
        literal: L,
    },
    /// `name in (a, b)`. Of a set, any member.
    In {
        /// Tag whose value is tested.
        name: String,
        /// Any of these; at least one. Checked ones are in order, each once.
        literals: Vec<L>,
    },
    /// `name between low and high`, both included.
    Between {
        /// Tag whose value is tested.
        name: String,
        /// The lower bound, included.
        low: L,
        /// The upper bound, included.
        high: L,
    },
    /// `name like 'a%b_'`: `%` any text, `_` one character, `\` takes the next character as it is.
    Like {
        /// Tag whose value is tested.
        name: String,
        /// The pattern, with % and _ as wildcards.
        pattern: String,
    },
    /// `name is set`.
    IsSet {
        /// Tag whose value is tested.
        name: String,
    },
    /// `name has any (a, b)`, `name has all (a, b)`, of a set.
    Has {
        /// Tag whose value is tested.
        name: String,
        /// All of them, or at least one.
        all: bool,
        /// Members; at least one.
        literals: Vec<L>,
    },
    /// `name not in (a, b)`, `not between`, `not like`: there is a value, and the condition does
    /// not hold. Of `In`, `Between`, `Like`, or `Test` with one of these.
    Differs(Box<Predicate<L>>),
    /// A condition on a computed value, or one of several names: what no bitmap holds. Build it
    /// with [`Predicate::of`].
    Test {
        /// The expression whose value is tested.
        value: Box<Scalar<L>>,
        /// What is asked of it.
        test: Test<L>,
    },
    /// `date within last 30d` and the like: a condition on a date relative to now.
    Moving {
        /// The tag with the date.
        name: String,
        /// What is asked of it.
        moving: Moving,
        /// Whether it holds instants, not days; known once it is checked.
        instants: bool,
    },
    /// `did(…)`, `sequence(…)`: a condition on an anonymous tag. Not in checked ones.
    Happened(Box<Happened>),
    /// `crowd("name")`: membership in another crowd's current version.
    Crowd {
        /// The other crowd.
        name: String,
    },
}

/// What a condition asks of a computed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test<L = Literal> {
    /// It is true.
    Holds,
    /// It is there.
    IsSet,
    /// `value op with`
    Compare {
        /// The operator, or what is done to the value.
        op: CompareOp,
        /// The right-hand side.
        with: Box<Scalar<L>>,
    },
    /// `value between low and high`
    Between {
        /// The lower bound, included.
        low: Box<Scalar<L>>,
        /// The upper bound, included.
        high: Box<Scalar<L>>,
    },
    /// `value in (a, b)`
    In {
        /// Any of these.
        literals: Vec<L>,
    },
    /// `value like 'a%'`
    Like {
        /// The pattern, with % and _ as wildcards.
        pattern: String,
    },
    /// `value has any (a, b)`, `value has all (a, b)`
    Has {
        /// All of them, or at least one.
        all: bool,
        /// The members, each once.
        literals: Vec<L>,
    },
}

/// The operator of a comparison.
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

impl<L> Predicate<L> {
    /// A condition on a value, in its plain form where it is one on a single name: that is the form
    /// that bitmaps answer.
    pub fn of(value: Scalar<L>, test: Test<L>) -> Self {
        let name = match value {
            Scalar::Name(name) => name,
            value => return flipped(value, test),
        };
        match test {
            Test::IsSet => Self::IsSet { name },
            Test::In { literals } => Self::In { name, literals },
            Test::Like { pattern } => Self::Like { name, pattern },
            Test::Has { all, literals } => Self::Has { name, all, literals },
            Test::Compare { op, with } => match *with {
                Scalar::Literal(literal) => Self::Compare { name, op, literal },
                with => computed(Scalar::Name(name), Test::Compare { op, with: Box::new(with) }),
            },
            Test::Between { low, high } => match (*low, *high) {
                (Scalar::Literal(low), Scalar::Literal(high)) => Self::Between { name, low, high },
                (low, high) => computed(
                    Scalar::Name(name),
                    Test::Between { low: Box::new(low), high: Box::new(high) },
                ),
            },
            Test::Holds => computed(Scalar::Name(name), Test::Holds),
        }
    }

    /// Whether it holds a condition on a computed value.
    pub fn is_computed(&self) -> bool {
        match self {
            Self::And(operands) | Self::Or(operands) => operands.iter().any(Self::is_computed),
            Self::Not(inner) | Self::Differs(inner) => inner.is_computed(),
            Self::Test { .. } => true,
            _ => false,
        }
    }

    /// How many conditions on computed values it holds.
    pub fn computed_conditions(&self) -> usize {
        match self {
            Self::And(operands) | Self::Or(operands) => {
                operands.iter().map(Self::computed_conditions).sum()
            }
            Self::Not(inner) | Self::Differs(inner) => inner.computed_conditions(),
            Self::Test { .. } => 1,
            _ => 0,
        }
    }
}

/// `5 < name` is `name > 5`.
fn flipped<L>(value: Scalar<L>, test: Test<L>) -> Predicate<L> {
    match (value, test) {
        (Scalar::Literal(literal), Test::Compare { op, with }) => match *with {
            Scalar::Name(name) => Predicate::Compare { name, op: op.flipped(), literal },
            with => computed(Scalar::Literal(literal), Test::Compare { op, with: Box::new(with) }),
        },
        (value, test) => computed(value, test),
    }
}

fn computed<L>(value: Scalar<L>, test: Test<L>) -> Predicate<L> {
    Predicate::Test { value: Box::new(value), test }
}

impl CompareOp {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// The same with its sides changed over.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}
