//! Random conditions over the tags of a reference model: every operator, nested.

use crate::counts::Counts;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};
use taghouse_testkit::Dice;
use taghouse_testkit::literal;
use taghouse_testkit::{CROWDS, ReferenceModel};

/// The operators of conditions, by the names under which they are counted.
pub(crate) const OPERATORS: [&str; 15] = [
    "and",
    "or",
    "not",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "between",
    "like",
    "is set",
    "crowd",
    "== of a set",
];

const COMPARISONS: [CompareOp; 6] = [
    CompareOp::Equal,
    CompareOp::NotEqual,
    CompareOp::Less,
    CompareOp::LessOrEqual,
    CompareOp::Greater,
    CompareOp::GreaterOrEqual,
];
const PATTERNS: [&str; 9] = ["a%", "%1", "ab_", "a\\%%", "%", "", "_", "ä%", "%b%2%"];

/// Random conditions.
pub(crate) trait RandomPredicate {
    /// A condition with at most this many levels above its leaves.
    fn predicate(&self, depth: u32, dice: &mut Dice, counts: &mut Counts) -> Predicate<Value>;
}

impl RandomPredicate for ReferenceModel {
    fn predicate(&self, depth: u32, dice: &mut Dice, counts: &mut Counts) -> Predicate<Value> {
        let several = |dice: &mut Dice, counts: &mut Counts| -> Vec<Predicate<Value>> {
            (0..2 + dice.below(4)).map(|_| self.predicate(depth - 1, dice, counts)).collect()
        };
        let inner = match (depth, dice.below(4)) {
            (0, _) | (_, 0) => leaf(self, dice, counts),
            (_, 1) => {
                counts.operator("or");
                Predicate::Or(several(dice, counts))
            }
            _ => {
                counts.operator("and");
                Predicate::And(several(dice, counts))
            }
        };
        if dice.one_in(3) {
            counts.operator("not");
            return Predicate::Not(Box::new(inner));
        }
        inner
    }
}

fn leaf(model: &ReferenceModel, dice: &mut Dice, counts: &mut Counts) -> Predicate<Value> {
    let at = dice.below(model.tags.len() as u64) as usize;
    let Some((name, tag)) = model.tags.iter().nth(at) else { return Predicate::And(Vec::new()) };
    let (name, ty, values) = (name.to_string(), tag.value_type, tag.values);
    let texts = matches!(ty, ValueType::Text | ValueType::Set);
    let literal = |dice: &mut Dice| literal(ty, values, dice);
    let (operator, leaf) = match dice.below(10) {
        0..4 => {
            let op = COMPARISONS[dice.below(6) as usize];
            let operator = if ty == ValueType::Set && op == CompareOp::Equal {
                "== of a set"
            } else {
                op.symbol()
            };
            (operator, Predicate::Compare { name, op, literal: literal(dice) })
        }
        4 | 5 => (
            "in",
            Predicate::In { name, literals: (0..=dice.below(4)).map(|_| literal(dice)).collect() },
        ),
        6 => ("between", Predicate::Between { name, low: literal(dice), high: literal(dice) }),
        7 if texts => {
            ("like", Predicate::Like { name, pattern: PATTERNS[dice.below(9) as usize].to_owned() })
        }
        8 => ("crowd", Predicate::Crowd { name: CROWDS[dice.below(2) as usize].to_owned() }),
        _ => ("is set", Predicate::IsSet { name }),
    };
    counts.operator(operator);
    leaf
}
