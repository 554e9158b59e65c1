//! Trees into canonical text: minimal brackets, double quotes, `&&` and `||`. `parse(print(x)) ==
//! x`.

use crate::parse::is_reserved;
use crate::{ArithmeticOp, CompareOp, Literal, Moving, Predicate, Scalar, Test};
use std::fmt::{Display, Formatter, Result, Write};

impl Display for Predicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::And(operands) => {
                joined(f, operands, " && ", |p| matches!(p, Self::And(_) | Self::Or(_)))
            }
            Self::Or(operands) => joined(f, operands, " || ", |p| matches!(p, Self::Or(_))),
            Self::Not(inner) => match &**inner {
                Self::IsSet { name } => write!(f, "{} is not set", Named(name)),
                Self::Test { value, test: Test::IsSet } => write!(f, "{value} is not set"),
                // Brackets around a comparison are not needed to read it back, but `!x == 1`
                // misleads people.
                Self::Crowd { .. } | Self::Happened(_) | Self::Test { test: Test::Holds, .. } => {
                    write!(f, "!{inner}")
                }
                _ => write!(f, "!({inner})"),
            },
            Self::Differs(inner) => differs(f, inner),
            Self::Compare { name, op, literal } => {
                write!(f, "{} {} {literal}", Named(name), op.symbol())
            }
            Self::In { name, literals } => write!(f, "{} in ({})", Named(name), Listed(literals)),
            Self::Between { name, low, high } => {
                write!(f, "{} between {low} and {high}", Named(name))
            }
            Self::Like { name, pattern } => write!(f, "{} like {}", Named(name), Quoted(pattern)),
            Self::IsSet { name } => write!(f, "{} is set", Named(name)),
            Self::Has { name, all, literals } => {
                write!(f, "{} has {} ({})", Named(name), any_or_all(*all), Listed(literals))
            }
            Self::Crowd { name } => write!(f, "crowd({})", Quoted(name)),
            Self::Happened(happened) => happened.fmt(f),
            Self::Moving { name, moving: Moving { anniversary, when, length }, .. } => {
                match anniversary {
                    true => write!(f, "anniversary({})", Named(name))?,
                    false => Named(name).fmt(f)?,
                }
                write!(f, " {} {length}", when.words())
            }
            Self::Test { value, test } => {
                value.fmt(f)?;
                test.fmt(f)
            }
        }
    }
}

/// What follows the value.
impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Holds => Ok(()),
            Self::IsSet => f.write_str(" is set"),
            Self::Compare { op, with } => write!(f, " {} {with}", op.symbol()),
            Self::Between { low, high } => write!(f, " between {low} and {high}"),
            Self::In { literals } => write!(f, " in ({})", Listed(literals)),
            Self::Like { pattern } => write!(f, " like {}", Quoted(pattern)),
            Self::Has { all, literals } => {
                write!(f, " has {} ({})", any_or_all(*all), Listed(literals))
            }
        }
    }
}

fn differs(f: &mut Formatter<'_>, inner: &Predicate) -> Result {
    match inner {
        Predicate::In { name, literals } => {
            write!(f, "{} not in ({})", Named(name), Listed(literals))
        }
        Predicate::Between { name, low, high } => {
            write!(f, "{} not between {low} and {high}", Named(name))
        }
        Predicate::Like { name, pattern } => {
            write!(f, "{} not like {}", Named(name), Quoted(pattern))
        }
        Predicate::Test { value, test } => write!(f, "{value} not{test}"),
        other => write!(f, "!({other})"),
    }
}

fn any_or_all(all: bool) -> &'static str {
    if all { "all" } else { "any" }
}

/// Literals behind one another.
struct Listed<'a>(&'a [Literal]);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, literal) in self.0.iter().enumerate() {
            write!(f, "{}{literal}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn joined(
    f: &mut Formatter<'_>,
    operands: &[Predicate],
    between: &str,
    bracket: fn(&Predicate) -> bool,
) -> Result {
    for (i, operand) in operands.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        if bracket(operand) { write!(f, "({operand})") } else { write!(f, "{operand}") }?;
    }
    Ok(())
}

impl CompareOp {
    /// The text by which the language knows it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl ArithmeticOp {
    /// The text by which the language knows it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    pub(crate) fn binds(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide => 2,
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            // The point says that it is a decimal, digits or not.
            Self::Decimal(v) if v.scale() == 0 => write!(f, "{v}."),
            Self::Decimal(v) => v.fmt(f),
            Self::Text(v) => Quoted(v).fmt(f),
        }
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Literal(literal) => literal.fmt(f),
            Self::Name(name) => Named(name).fmt(f),
            Self::Negate(inner) => match &**inner {
                // Without brackets the minus would be read as the literal's sign.
                Self::Literal(Literal::Int(_) | Literal::Decimal(_)) => write!(f, "-({inner})"),
                Self::Binary { .. } | Self::Negate(_) => write!(f, "-({inner})"),
                _ => write!(f, "-{inner}"),
            },
            Self::Binary { op, left, right } => {
                operand(f, left, op.binds())?;
                write!(f, " {} ", op.symbol())?;
                // Reading goes from the left, so an equal operator on the right needs brackets.
                operand(f, right, op.binds() + 1)
            }
            Self::Call { function, arguments } => {
                write!(f, "{}(", function.name())?;
                for (i, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(')')
            }
            Self::If { condition, then, otherwise } => {
                write!(f, "if({condition}, {then}, {otherwise})")
            }
        }
    }
}

fn operand(f: &mut Formatter<'_>, scalar: &Scalar, binds: u8) -> Result {
    match scalar {
        Scalar::Binary { op, .. } if op.binds() < binds => write!(f, "({scalar})"),
        _ => write!(f, "{scalar}"),
    }
}

/// A name, in backquotes where it is a word of the language.
pub(crate) struct Named<'a>(pub(crate) &'a str);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if is_reserved(self.0) { write!(f, "`{}`", self.0) } else { f.write_str(self.0) }
    }
}

/// A text in double quotes; controls as escapes, so that an expression stays one line.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\""),
                '\\' => f.write_str("\\\\"),
                '\n' => f.write_str("\\n"),
                '\r' => f.write_str("\\r"),
                '\t' => f.write_str("\\t"),
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c)),
                c => f.write_char(c),
            }?;
        }
        f.write_char('"')
    }
}
