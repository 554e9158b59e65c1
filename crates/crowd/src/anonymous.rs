//! Conditions on computed values, which no bitmap can answer. They are evaluated as tags without a
//! name: user by user, and only for the users that the rest of the expression leaves.

use crate::gathered::Gathered;
use crate::leaves::OtherCrowds;
use crate::{Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{Query, Snapshot};
use taghouse_model::Value;
use taghouse_rules::{Predicate, Test};

/// Each may be evaluated for every user: an expression of a megabyte could keep a core busy for a
/// day.
const MAX_COMPUTED: usize = 1000;

/// The first character of names of anonymous tags. No crowd's name begins with it.
const ANONYMOUS: char = '#';

/// Evaluates an expression on a snapshot. `within`: the answer is needed only for these users.
///
/// Not for a thread that answers requests: conditions on computed values are answered here.
pub(crate) fn query(
    snapshot: &Snapshot,
    expression: &Predicate<Value>,
    others: &OtherCrowds,
    within: Option<&Arc<Bitmap>>,
) -> Result<Query> {
    if !expression.is_computed() {
        return Ok(snapshot.evaluate(expression, &|name| others.set(name))?);
    }
    Error::limit("conditions on computed values", expression.computed_conditions(), MAX_COMPUTED)?;
    let mut anonymous = Anonymous { snapshot, others, found: Vec::new() };
    let plain = anonymous.plain(expression, within.unwrap_or(snapshot.users()))?;
    anonymous.evaluate(&plain)
}

/// The same with every condition on a computed value replaced by the constant that makes the result
/// largest (or smallest): bounds that cost no more than those of bitmaps.
pub(crate) fn bounding_query(
    snapshot: &Snapshot,
    expression: &Predicate<Value>,
    others: &OtherCrowds,
    greatest: bool,
) -> Result<Query> {
    let found = vec![Arc::new(Bitmap::new()), Arc::clone(snapshot.users())];
    let anonymous = Anonymous { snapshot, others, found };
    anonymous.evaluate(&assumed(expression, greatest))
}

struct Anonymous<'a> {
    snapshot: &'a Snapshot,
    others: &'a OtherCrowds,
    /// The answers so far, as crowds without names.
    found: Vec<Arc<Bitmap>>,
}

impl Anonymous<'_> {
    fn evaluate(&self, plain: &Predicate<Value>) -> Result<Query> {
        let set = |name: &str| match name.strip_prefix(ANONYMOUS) {
            Some(number) => {
                number.parse::<usize>().ok().and_then(|number| self.found.get(number).cloned())
            }
            None => self.others.set(name),
        };
        Ok(self.snapshot.evaluate(plain, &set)?)
    }

    fn members(&self, plain: &Predicate<Value>) -> Result<Bitmap> {
        Ok(self.evaluate(plain)?.bitmap()?)
    }

    /// The same expression with its conditions on computed values answered. Outside of `within`
    /// these answers are undefined; the expression around them does not depend on them.
    fn plain(
        &mut self,
        expression: &Predicate<Value>,
        within: &Arc<Bitmap>,
    ) -> Result<Predicate<Value>> {
        match expression {
            Predicate::And(operands) => Ok(Predicate::And(self.operands(operands, within, true)?)),
            Predicate::Or(operands) => Ok(Predicate::Or(self.operands(operands, within, false)?)),
            Predicate::Not(inner) => Ok(Predicate::Not(Box::new(self.plain(inner, within)?))),
            plain if !plain.is_computed() => Ok(plain.clone()),
            computed => {
                self.found.push(Arc::new(self.matching(computed, within)?));
                Ok(anonymous(self.found.len() - 1))
            }
        }
    }

    /// Plain operands first. Users who are not in all of them (or, in an OR, are in one of them)
    /// are decided, and not evaluated further.
    fn operands(
        &mut self,
        operands: &[Predicate<Value>],
        within: &Arc<Bitmap>,
        all: bool,
    ) -> Result<Vec<Predicate<Value>>> {
        let (computed, mut done): (Vec<_>, Vec<_>) =
            operands.iter().cloned().partition(Predicate::is_computed);
        let mut left = Arc::clone(within);
        if !done.is_empty() {
            let settled = self.members(&if all {
                Predicate::And(done.clone())
            } else {
                Predicate::Or(done.clone())
            })?;
            left = Arc::new(if all { left.and(&settled) } else { left.and_not(&settled) });
        }
        for operand in computed {
            let plain = self.plain(&operand, &left)?;
            let answer = self.members(&plain)?;
            left = Arc::new(if all { left.and(&answer) } else { left.and_not(&answer) });
            done.push(plain);
        }
        Ok(done)
    }

    /// The users in `within` who match a condition on a computed value.
    fn matching(&self, condition: &Predicate<Value>, within: &Arc<Bitmap>) -> Result<Bitmap> {
        let mut asked = Arc::clone(within);
        for name in required(condition) {
            // The condition is false for users without a value that it requires.
            if let Some(tag) = self.snapshot.tag(name)? {
                asked = Arc::new(asked.and(tag.existence()?.to_bitmap()?.as_ref()));
            }
        }
        let mut gathered = Gathered::of(self.snapshot, &condition.names(), &asked)?;
        let mut matching = Vec::new();
        for ordinal in asked.iter() {
            gathered.go_to(ordinal)?;
            let values = |name: &str| match name.strip_prefix("crowd:") {
                Some(crowd) => Some(Value::Bool(
                    self.others.set(crowd).is_some_and(|members| members.contains(ordinal)),
                )),
                None => gathered.value(name),
            };
            if condition.matches(&values) {
                matching.push(ordinal);
            }
        }
        Ok(Bitmap::from_sorted(&matching))
    }
}

fn anonymous(number: usize) -> Predicate<Value> {
    Predicate::Crowd { name: format!("{ANONYMOUS}{number}") }
}

fn assumed(expression: &Predicate<Value>, greatest: bool) -> Predicate<Value> {
    let all = |operands: &[Predicate<Value>]| {
        operands.iter().map(|operand| assumed(operand, greatest)).collect()
    };
    match expression {
        Predicate::And(operands) => Predicate::And(all(operands)),
        Predicate::Or(operands) => Predicate::Or(all(operands)),
        Predicate::Not(inner) => Predicate::Not(Box::new(assumed(inner, !greatest))),
        plain if !plain.is_computed() => plain.clone(),
        _ => anonymous(usize::from(greatest)),
    }
}

/// The tags that the condition requires: without a value of them, it is false.
fn required(condition: &Predicate<Value>) -> Vec<&str> {
    match condition {
        Predicate::Differs(inner) => required(inner),
        Predicate::Test { value, test } => {
            let mut names = value.required();
            match test {
                Test::Compare { with, .. } => names.extend(with.required()),
                Test::Between { low, high } => {
                    names.extend(low.required().into_iter().chain(high.required()))
                }
                Test::Holds
                | Test::IsSet
                | Test::In { .. }
                | Test::Like { .. }
                | Test::Has { .. } => {}
            }
            names.into_iter().collect()
        }
        _ => Vec::new(),
    }
}
