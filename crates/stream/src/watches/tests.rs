use super::*;
use std::collections::BTreeSet;
use taghouse_model::ValueType as Type;
use taghouse_rules::{CompareOp, Scalar, Test};
use taghouse_testkit::Dice;

const TYPES: [Type; 6] =
    [Type::Int, Type::Decimal { scale: 2 }, Type::Bool, Type::Text, Type::Set, Type::Date];

fn inputs() -> Vec<(String, usize)> {
    (0..TYPES.len()).map(|tag| (format!("t{tag}"), tag)).collect()
}

fn value(dice: &mut Dice, value_type: Type) -> Value {
    let number = dice.below(7) as i64 - 3;
    let text = |number: i64| ["a", "b", "ba", "c"][number.rem_euclid(4) as usize];
    match value_type {
        Type::Int => Value::Int(number),
        Type::Decimal { .. } => {
            Value::Decimal(format!("{number}.{}", dice.below(2) * 50).parse().unwrap())
        }
        Type::Bool => Value::Bool(number > 0),
        Type::Text => Value::text(text(number)),
        Type::Set => Value::Set([number, number / 2].map(|number| text(number).into()).into()),
        Type::Date => Value::Date(number as i32),
        Type::Time => Value::Time(number),
    }
}

fn leaf(dice: &mut Dice) -> Predicate<Value> {
    const OPS: [CompareOp; 6] = [
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Less,
        CompareOp::LessOrEqual,
        CompareOp::Greater,
        CompareOp::GreaterOrEqual,
    ];
    let tag = dice.below(TYPES.len() as u64) as usize;
    let (name, value_type) = (format!("t{tag}"), TYPES[tag]);
    let mut literal = || value(dice, if value_type == Type::Set { Type::Text } else { value_type });
    let (one, two) = (literal(), literal());
    let ordered = !matches!(value_type, Type::Set | Type::Bool);
    let leaf = match dice.below(8) {
        0 => return Predicate::IsSet { name },
        1 => Predicate::In { name, literals: vec![one, two] },
        2 if ordered => Predicate::Between { name, low: one, high: two },
        3 if value_type == Type::Text => Predicate::Like { name, pattern: "b%".to_owned() },
        4 if value_type == Type::Set => {
            return Predicate::Has { name, all: dice.one_in(2), literals: vec![one, two] };
        }
        5 => {
            // Two tags together.
            let other = Box::new(Scalar::Name("t0".to_owned()));
            let value = Box::new(Scalar::Name("t1".to_owned()));
            return Predicate::Test {
                value,
                test: Test::Compare { op: CompareOp::Less, with: other },
            };
        }
        _ => {
            let op = if ordered { *dice.pick(&OPS).unwrap() } else { CompareOp::Equal };
            return Predicate::Compare { name, op, literal: one };
        }
    };
    if dice.one_in(3) { Predicate::Differs(Box::new(leaf)) } else { leaf }
}

fn rule(dice: &mut Dice, depth: u64) -> Predicate<Value> {
    match dice.below(3 + depth) {
        0 if depth > 0 => Predicate::And((0..2).map(|_| rule(dice, depth - 1)).collect()),
        1 if depth > 0 => Predicate::Or((0..3).map(|_| rule(dice, depth - 1)).collect()),
        2 => Predicate::Not(Box::new(rule(dice, depth.saturating_sub(1)))),
        _ => leaf(dice),
    }
}

#[test]
fn whoever_enters_or_leaves_is_looked_at() {
    let mut dice = Dice::new(11);
    let (mut moved, mut looked_at, mut all) = (0, 0, 0);
    for _ in 0..150 {
        let rules: Vec<Predicate<Value>> = (0..40).map(|_| rule(&mut dice, 2)).collect();
        let mut watches = Watches::default();
        for (crowd, rule) in rules.iter().enumerate() {
            watches.add(crowd, rule, &inputs(), &TYPES);
        }
        watches.finish();
        let holds = |crowd: usize, values: &[Option<Value>]| {
            let of = |name: &str| values[name[1..].parse::<usize>().unwrap()].clone();
            rules[crowd].matches(&of)
        };
        let mut values: Vec<Option<Value>> = vec![None; TYPES.len()];
        let by_default: Vec<usize> = (0..40).filter(|crowd| holds(*crowd, &values)).collect();
        assert_eq!(watches.by_default(), by_default);
        for _ in 0..60 {
            let before = values.clone();
            for tag in 0..TYPES.len() {
                if dice.one_in(3) {
                    values[tag] = (!dice.one_in(6)).then(|| value(&mut dice, TYPES[tag]));
                }
            }
            let mut concerned = BTreeSet::new();
            for tag in 0..TYPES.len() {
                if before[tag] != values[tag] {
                    watches.concerned(tag, Some(&before[tag]), &values[tag], |crowd| {
                        concerned.insert(crowd);
                    });
                }
            }
            for (crowd, rule) in rules.iter().enumerate() {
                let watched = watches.rule(crowd).unwrap();
                assert_eq!(watched.holds(&values), holds(crowd, &values), "{rule:?}");
                if holds(crowd, &before) != holds(crowd, &values) {
                    assert!(concerned.contains(&crowd), "{rule:?}: {before:?}, {values:?}");
                    moved += 1;
                }
            }
            looked_at += concerned.len();
            all += 40;
        }
    }
    assert!(moved > 10_000 && looked_at < all * 9 / 10, "{moved} of {looked_at} of {all}");
}

#[test]
fn a_number_concerns_those_whose_bound_it_passes() {
    let mut watches = Watches::default();
    let count = [("t0".to_owned(), 7)];
    for bound in 0..1000 {
        let (name, literal) = ("t0".to_owned(), Value::Int(bound));
        let at_least = Predicate::Compare { name, op: CompareOp::GreaterOrEqual, literal };
        watches.add(bound as usize, &at_least, &count, &[Type::Int]);
    }
    watches.finish();
    let concerned = |before: Option<i64>, now: Option<i64>| {
        let mut seen = Vec::new();
        let [before, now] = [before, now].map(|number| number.map(Value::Int));
        watches.concerned(7, Some(&before), &now, |crowd| seen.push(crowd));
        seen
    };
    assert_eq!(concerned(Some(5), Some(6)), [6]);
    assert_eq!(concerned(Some(8), Some(6)), [7, 8]);
    assert_eq!(concerned(None, Some(2)), [0, 1, 2]);
    assert_eq!(concerned(Some(1), None), [0, 1]);
    let mut unknown = 0;
    watches.concerned(7, None, &Some(Value::Int(3)), |_| unknown += 1);
    assert_eq!(unknown, 1000);
}
