//! Literals into values of the names' types, or what does not fit.

mod condition;
mod names;
mod scalar;

pub(crate) use names::{Naming, Scope, described, listed};
pub(crate) use scalar::Checked;

use crate::coerce::coerce;
use crate::evaluate::in_order;
use crate::parse::scalar_with_leaves;
use crate::{
    CompareOp, Function, Happened, Length, Literal, Moving, ParsedPredicate, Predicate, Result,
    Scalar, SyntaxError, Test, When,
};
use condition::check_test;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use taghouse_model::{Value, ValueType};

/// A name that is unknown or a literal that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CheckError {
    /// What does not fit, and how to fix it.
    pub message: String,
    /// Which leaf (condition, name or literal) of the tree, counted from 0 from left to right.
    pub leaf: usize,
    /// The name, if it is one that is not known.
    pub unknown: Option<String>,
}

impl CheckError {
    pub(crate) fn new(leaf: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), leaf, unknown: None }
    }

    pub(crate) fn point_at(self, text: &str, leaves: &[std::ops::Range<usize>]) -> SyntaxError {
        SyntaxError::new(
            text,
            leaves.get(self.leaf).map_or(0, |leaf| leaf.start),
            self.message,
            &[],
        )
    }
}

impl Predicate {
    /// The same condition, its literals of the names' types.
    ///
    /// # Errors
    /// The first unknown name or crowd, an operator that the type does not have, a literal of
    /// another kind.
    pub fn check(
        &self,
        types: &dyn Fn(&str) -> Option<ValueType>,
        crowds: &dyn Fn(&str) -> bool,
        zone: &TimeZone,
    ) -> std::result::Result<Predicate<Value>, CheckError> {
        self.check_in(
            Scope {
                naming: Naming::Tags,
                types,
                crowds,
                crowds_fit: true,
                zone,
                known: None,
                pending: None,
            },
            &mut 0,
        )
    }

    pub(crate) fn check_in(
        &self,
        scope: Scope<'_>,
        leaf: &mut usize,
    ) -> std::result::Result<Predicate<Value>, CheckError> {
        let mut all = |operands: &[Self]| {
            operands
                .iter()
                .map(|p| p.check_in(scope, leaf))
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        match self {
            Self::And(operands) => Ok(Predicate::And(all(operands)?)),
            // A part may turn out to be an `Or` itself.
            Self::Or(operands) => Ok(Predicate::Or(
                all(operands)?
                    .into_iter()
                    .flat_map(|p| if let Predicate::Or(inner) = p { inner } else { vec![p] })
                    .collect(),
            )),
            Self::Not(inner) => Ok(Predicate::Not(Box::new(inner.check_in(scope, leaf)?))),
            Self::Differs(inner) => Ok(Predicate::Differs(Box::new(inner.check_in(scope, leaf)?))),
            Self::Test { value, test } => check_test(value, test, scope, leaf),
            condition => {
                let checked = condition.check_condition(scope, *leaf)?;
                *leaf += 1;
                Ok(checked)
            }
        }
    }

    fn check_condition(
        &self,
        scope: Scope<'_>,
        leaf: usize,
    ) -> std::result::Result<Predicate<Value>, CheckError> {
        if let Self::Crowd { name } = self {
            scope.require_crowd(name, leaf)?;
            return Ok(Predicate::Crowd { name: name.clone() });
        }
        if let Self::Happened(happened) = self {
            return check_happened(happened, scope, leaf);
        }
        let Some(name) = self.own_name() else {
            return Err(CheckError::new(leaf, "a condition without a name"));
        };
        let ty = scope.type_of(name, leaf)?;
        let misfit = |e: String| {
            let described = described(ty, scope.naming);
            CheckError::new(leaf, format!("`{name}` is of type {described}: {e}"))
        };
        let value = |literal: &Literal| coerce(literal, ty, scope.zone).map_err(misfit);
        let values = |literals: &[Literal]| -> std::result::Result<Vec<Value>, CheckError> {
            Ok(in_order(literals.iter().map(value).collect::<std::result::Result<_, _>>()?))
        };
        let needs = |fits: bool, what: &str, wants: &str| {
            if fits {
                Ok(())
            } else {
                Err(CheckError::new(
                    leaf,
                    format!(
                        "`{name}` is of type {}, and {what} needs {wants}",
                        described(ty, scope.naming)
                    ),
                ))
            }
        };
        let name = name.to_owned();
        Ok(match self {
            Self::Compare { op, literal, .. } => {
                let ordered = !matches!(op, CompareOp::Equal | CompareOp::NotEqual);
                needs(
                    !ordered || ty.is_number(),
                    &format!("`{}`", op.symbol()),
                    "a number or a date",
                )?;
                Predicate::Compare { op: *op, literal: value(literal)?, name }
            }
            Self::In { literals, .. } => Predicate::In { literals: values(literals)?, name },
            Self::Has { all, literals, .. } => {
                needs(ty == ValueType::Set, "`has`", "a set")?;
                Predicate::Has { all: *all, literals: values(literals)?, name }
            }
            Self::Between { low, high, .. } => {
                needs(ty.is_number(), "`between`", "a number or a date")?;
                Predicate::Between { low: value(low)?, high: value(high)?, name }
            }
            Self::Moving { moving, .. } => {
                let instants = check_moving(*moving, ty, scope).map_err(misfit)?;
                Predicate::Moving { moving: *moving, instants, name }
            }
            Self::Like { pattern, .. } => {
                needs(matches!(ty, ValueType::Text | ValueType::Set), "`like`", "text")?;
                Predicate::Like { pattern: pattern.clone(), name }
            }
            _ => Predicate::IsSet { name },
        })
    }
}

/// Whether the dates that it asks for are instants; or what does not fit.
fn check_moving(
    moving: Moving,
    ty: ValueType,
    scope: Scope<'_>,
) -> std::result::Result<bool, String> {
    if scope.naming == Naming::Properties {
        return Err("dates relative to now have their place in crowds, and in tags that are computed from tags".to_owned());
    }
    let by_days = matches!(moving.length, Length::Days(_));
    let too_long = matches!(moving.length, Length::Days(367..));
    match ty {
        ValueType::Date | ValueType::Time if moving.anniversary && (!by_days || too_long) => {
            Err("anniversaries are asked for by days, 1d to 366d".to_owned())
        }
        ValueType::Date | ValueType::Time if moving.anniversary && moving.when == When::Older => {
            Err("an anniversary is `within last` or `within next`".to_owned())
        }
        ValueType::Date if !by_days => Err("a day is asked for by days, such as 30d".to_owned()),
        ValueType::Date => Ok(false),
        ValueType::Time => Ok(true),
        _ => Err(format!("`{}` needs a date", moving.when.words())),
    }
}

/// A condition on what users did, as one on the anonymous tag that it stands for.
fn check_happened(
    happened: &Happened,
    scope: Scope<'_>,
    leaf: usize,
) -> std::result::Result<Predicate<Value>, CheckError> {
    if !scope.crowds_fit {
        let message = format!("`{happened}` has its place in crowds only: write a tag for it");
        return Err(CheckError::new(leaf, message));
    }
    let known = happened.tag_name().filter(|tag| (scope.types)(tag.as_str()).is_some());
    let Some(tag) = known else {
        let message = format!(
            "no crowd that was produced asks for `{happened}`, so there are no values for it: put it in a crowd and run `taghouse produce`, or write a tag for it"
        );
        return Err(CheckError::new(leaf, message));
    };
    let checked = happened.condition(&tag).check_in(scope, &mut 0);
    checked.map_err(|error| CheckError { leaf, ..error })
}

impl<L> Predicate<L> {
    fn own_name(&self) -> Option<&str> {
        match self {
            Self::Compare { name, .. }
            | Self::In { name, .. }
            | Self::Between { name, .. }
            | Self::Like { name, .. }
            | Self::Has { name, .. }
            | Self::Moving { name, .. }
            | Self::IsSet { name } => Some(name),
            Self::Happened(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::Differs(_)
            | Self::Test { .. }
            | Self::Crowd { .. } => None,
        }
    }

    /// All names (of tags or properties) in it; crowds are not among them.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.each_leaf(&mut |leaf| {
            names.extend(leaf.own_name());
            leaf.each_value(&mut |value| names.extend(value.names()));
        });
        names
    }

    /// All crowds in it.
    pub fn crowds(&self) -> BTreeSet<&str> {
        let mut crowds = BTreeSet::new();
        self.each_leaf(&mut |leaf| {
            if let Self::Crowd { name } = leaf {
                crowds.insert(name.as_str());
            }
            leaf.each_value(&mut |value| crowds.extend(value.crowds()));
        });
        crowds
    }

    fn each_leaf<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::And(operands) | Self::Or(operands) => {
                operands.iter().for_each(|p| p.each_leaf(see))
            }
            Self::Not(inner) | Self::Differs(inner) => inner.each_leaf(see),
            leaf => see(leaf),
        }
    }

    /// The values of a condition on computed ones.
    fn each_value<'a>(&'a self, see: &mut dyn FnMut(&'a Scalar<L>)) {
        let Self::Test { value, test } = self else { return };
        see(value);
        match test {
            Test::Compare { with, .. } => see(with),
            Test::Between { low, high } => [low, high].into_iter().for_each(|bound| see(bound)),
            Test::Holds | Test::IsSet | Test::In { .. } | Test::Like { .. } | Test::Has { .. } => {}
        }
    }
}

impl<L> Scalar<L> {
    /// All names (of tags or properties) in it, those in conditions too.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.each_part(&mut |name| _ = names.insert(name), &mut |_| ());
        names
    }

    /// All crowds in its conditions.
    pub fn crowds(&self) -> BTreeSet<&str> {
        let mut crowds = BTreeSet::new();
        self.each_part(&mut |_| (), &mut |condition| crowds.extend(condition.crowds()));
        crowds
    }

    /// The names without whose value it has none.
    pub fn required(&self) -> BTreeSet<&str> {
        match self {
            Self::Literal(_) => BTreeSet::new(),
            Self::Name(name) => BTreeSet::from([name.as_str()]),
            Self::Negate(inner) => inner.required(),
            Self::Binary { left, right, .. } => {
                left.required().into_iter().chain(right.required()).collect()
            }
            Self::Call {
                function: Function::Coalesce | Function::Least | Function::Greatest,
                arguments,
            } => required_by_all(arguments),
            Self::Call { arguments, .. } => arguments.iter().flat_map(Self::required).collect(),
            Self::If { then, otherwise, .. } => required_by_all([&**then, &**otherwise]),
        }
    }

    fn each_part<'a>(
        &'a self,
        name: &mut dyn FnMut(&'a str),
        condition: &mut dyn FnMut(&'a Predicate<L>),
    ) {
        match self {
            Self::Literal(_) => {}
            Self::Name(n) => name(n),
            Self::Negate(inner) => inner.each_part(name, condition),
            Self::Binary { left, right, .. } => {
                left.each_part(name, condition);
                right.each_part(name, condition);
            }
            Self::Call { arguments, .. } => {
                arguments.iter().for_each(|a| a.each_part(name, condition))
            }
            Self::If { condition: c, then, otherwise } => {
                c.names().into_iter().for_each(&mut *name);
                condition(c);
                then.each_part(name, condition);
                otherwise.each_part(name, condition);
            }
        }
    }
}

fn required_by_all<'a, L: 'a>(
    scalars: impl IntoIterator<Item = &'a Scalar<L>>,
) -> BTreeSet<&'a str> {
    let mut all = scalars.into_iter().map(Scalar::required);
    let first = all.next().unwrap_or_default();
    all.fold(first, |common, next| common.intersection(&next).copied().collect())
}

/// What the names in a question may stand for.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The types of tags that have values.
    pub types: &'a dyn Fn(&str) -> Option<ValueType>,
    /// Whether there is such a crowd.
    pub crowds: &'a dyn Fn(&str) -> bool,
    /// Whether there is such a tag, of which no values were produced yet.
    pub pending: &'a dyn Fn(&str) -> bool,
    /// In which days and times are read.
    pub zone: &'a TimeZone,
    /// The tags and crowds to suggest.
    pub known: &'a [&'a str],
}

impl<'a> Names<'a> {
    pub(crate) fn scope(self) -> Scope<'a> {
        Scope {
            pending: Some(self.pending),
            ..Scope::of_tags(self.types, self.crowds, self.zone, self.known)
        }
    }
}

/// Reads and checks a condition at once, so that what does not fit is shown with a caret too.
/// `known` are the tags and crowds to suggest.
///
/// # Errors
/// [`crate::Error::Syntax`], whether the text or a type is wrong.
pub fn parse_and_check_predicate(
    text: &str,
    types: &dyn Fn(&str) -> Option<ValueType>,
    crowds: &dyn Fn(&str) -> bool,
    zone: &TimeZone,
    known: &[&str],
) -> Result<(Predicate, Predicate<Value>)> {
    check_predicate(text, Scope::of_tags(types, crowds, zone, known))
}

/// The same in any scope.
pub(crate) fn check_predicate(
    text: &str,
    scope: Scope<'_>,
) -> Result<(Predicate, Predicate<Value>)> {
    let parsed = ParsedPredicate::parse(text)?;
    let checked = parsed.check_in(scope)?;
    Ok((parsed.into_tree(), checked))
}

/// The same for a computed value.
pub(crate) fn check_scalar(text: &str, scope: Scope<'_>) -> Result<Checked> {
    let (tree, leaves) = scalar_with_leaves(text)?;
    Ok(tree.check_in(scope, &mut 0).map_err(|e| e.point_at(text, &leaves))?)
}
