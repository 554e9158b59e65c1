//! `did(…)` and `sequence(…)`: conditions of crowds on what users did, without a tag of their own
//! name. Each stands for an anonymous tag, which equal ones share.

use crate::{AggregateFunction, CompareOp, Function, Literal, Predicate, Scalar, Test};
use std::fmt::{Display, Formatter, Result};
use taghouse_model::Name;
use xxhash_rust::xxh3::xxh3_64;

/// What names of anonymous tags begin with; no other tag's does.
pub const ANONYMOUS_TAG: &str = "__";

/// A condition on what a user did.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// `did("purchase", count >= 3, within 30d, where amount > 10)`
    Did(Did),
    /// `sequence("view" same sku, not "buy" same sku for 2h, within 7d)`
    Sequence(WrittenSequence),
}

/// A comparison of an aggregate over events.
#[derive(Debug, Clone, PartialEq)]
pub struct Did {
    /// Events of these names; at least one.
    pub events: Vec<String>,
    /// What is computed of them.
    pub measure: Measure,
    /// How it compares.
    pub op: CompareOp,
    /// With what.
    pub literal: Literal,
    /// The window, such as `30d`; `None`: lifetime.
    pub within: Option<String>,
    /// Over properties.
    pub filter: Option<Predicate>,
}

/// What is computed of events.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// How many there are.
    Count,
    /// A function of a value over properties.
    Of {
        /// The function.
        function: AggregateFunction,
        /// The value.
        value: Scalar,
    },
}

/// Events that follow one another, as written in a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenSequence {
    /// One after the other.
    pub steps: Vec<WrittenStep>,
    /// The most time from the first to the last, such as `7d`.
    pub within: Option<String>,
    /// The window, such as `30d`; `None`: lifetime.
    pub window: Option<String>,
}

/// A step of it.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenStep {
    /// There is no such event.
    pub absent: bool,
    /// Events of these names; at least one.
    pub events: Vec<String>,
    /// Over properties.
    pub filter: Option<Predicate>,
    /// A property with the same value in all steps that name it.
    pub same: Option<String>,
    /// How often; 1 or more.
    pub times: u32,
    /// For how long there is none, such as `2h`.
    pub wait: Option<String>,
}

impl Happened {
    /// The name of the tag that it stands for.
    ///
    pub fn tag_name(&self) -> Option<Name> {
        let (word, text) = match self {
            Self::Did(did) => {
                // Comparisons of one aggregate share its tag.
                let whole =
                    Did { op: CompareOp::GreaterOrEqual, literal: Literal::Int(1), ..did.clone() };
                ("did", whole.to_string())
            }
            Self::Sequence(sequence) => ("sequence", sequence.to_string()),
        };
        Name::new(&format!("{ANONYMOUS_TAG}{word}_{:016x}", xxh3_64(text.as_bytes()))).ok()
    }

    /// The condition on that tag. Of counts and sums no event means 0.
    pub(crate) fn condition(&self, tag: &Name) -> Predicate {
        let name = tag.to_string();
        let did = match self {
            Self::Did(did) => did,
            Self::Sequence(_) => {
                let (op, literal) = (CompareOp::Equal, Literal::Bool(true));
                return Predicate::Compare { name, op, literal };
            }
        };
        let (op, literal) = (did.op, did.literal.clone());
        use AggregateFunction as F;
        match &did.measure {
            Measure::Count | Measure::Of { function: F::Count | F::CountDistinct | F::Sum, .. } => {
                let arguments = vec![Scalar::Name(name), Scalar::Literal(Literal::Int(0))];
                let value = Scalar::Call { function: Function::Coalesce, arguments };
                let with = Box::new(Scalar::Literal(literal));
                Predicate::of(value, Test::Compare { op, with })
            }
            Measure::Of { .. } => Predicate::Compare { name, op, literal },
        }
    }
}

impl<L> Predicate<L> {
    /// All that users did that it asks for.
    pub fn happened(&self) -> Vec<&Happened> {
        match self {
            Self::And(operands) | Self::Or(operands) => {
                operands.iter().flat_map(Self::happened).collect()
            }
            Self::Not(inner) | Self::Differs(inner) => inner.happened(),
            Self::Happened(happened) => vec![happened],
            _ => Vec::new(),
        }
    }
}

impl Display for Happened {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Did(did) => did.fmt(f),
            Self::Sequence(sequence) => sequence.fmt(f),
        }
    }
}

impl Display for Did {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("did(")?;
        texts(f, &self.events, ", ")?;
        let plain = self.measure == Measure::Count
            && self.op == CompareOp::GreaterOrEqual
            && self.literal == Literal::Int(1);
        if !plain {
            f.write_str(", ")?;
            match &self.measure {
                Measure::Count => f.write_str("count")?,
                Measure::Of { function, value } => write!(f, "{}({value})", function.as_str())?,
            }
            write!(f, " {} {}", self.op.symbol(), self.literal)?;
        }
        if let Some(within) = &self.within {
            write!(f, ", within {within}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, ", where {filter}")?;
        }
        f.write_str(")")
    }
}

impl Display for WrittenSequence {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("sequence(")?;
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            step.fmt(f)?;
        }
        if let Some(within) = &self.within {
            write!(f, ", within {within}")?;
        }
        if let Some(window) = &self.window {
            write!(f, ", window {window}")?;
        }
        f.write_str(")")
    }
}

impl Display for WrittenStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.absent {
            f.write_str("not ")?;
        }
        texts(f, &self.events, " or ")?;
        if let Some(same) = &self.same {
            write!(f, " same {}", crate::print::Named(same))?;
        }
        if self.times != 1 {
            write!(f, " times {}", self.times)?;
        }
        if let Some(wait) = &self.wait {
            write!(f, " for {wait}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " where ({filter})")?;
        }
        Ok(())
    }
}

fn texts(f: &mut Formatter<'_>, all: &[String], between: &str) -> Result {
    for (i, text) in all.iter().enumerate() {
        write!(f, "{}{}", if i == 0 { "" } else { between }, crate::print::Quoted(text))?;
    }
    Ok(())
}
