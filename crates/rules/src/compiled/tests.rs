use super::{Condition, Place};
use crate::reader::Parsed;
use crate::{CompareOp, Predicate};
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use taghouse_model::{Value, ValueType};

const OPS: [CompareOp; 6] = [
    CompareOp::Equal,
    CompareOp::NotEqual,
    CompareOp::Less,
    CompareOp::LessOrEqual,
    CompareOp::Greater,
    CompareOp::GreaterOrEqual,
];

const NAMES: [(&str, ValueType); 7] = [
    ("int", ValueType::Int),
    ("decimal", ValueType::Decimal { scale: 2 }),
    ("text", ValueType::Text),
    ("bool", ValueType::Bool),
    ("date", ValueType::Date),
    ("time", ValueType::Time),
    ("set", ValueType::Set),
];

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse::<Decimal>().unwrap())
}

fn literals() -> Vec<Value> {
    let numbers = ["0", "1.5", "1.50", "-0.004", "-3", "79228162514264337593543950335"];
    let mut literals: Vec<Value> = numbers.iter().map(|text| decimal(text)).collect();
    literals.extend([0, 1, -3, i64::MAX, i64::MIN].map(Value::Int));
    literals.extend(["", "a", "ab", "b"].map(Value::text));
    literals.extend([Value::Bool(true), Value::Bool(false), Value::Date(1), Value::Time(1)]);
    literals
}

/// A row for each value of a name; the other names have none.
fn rows() -> Vec<Vec<Parsed<'static>>> {
    let members =
        |of: &[&str]| Parsed::Set(of.iter().map(|m| (*m).into()).collect::<BTreeSet<_>>());
    let of_type: [Vec<Parsed<'static>>; 7] = [
        [0, 1, -3, i64::MAX, i64::MIN].map(Parsed::Int).to_vec(),
        [0, 150, 151, -1, -300, 10_i128.pow(28)]
            .map(|units| Parsed::Decimal { units, scale: 2 })
            .to_vec(),
        ["", "a", "ab", "b", "B"].map(|text| Parsed::Text(text.into())).to_vec(),
        vec![Parsed::Bool(true), Parsed::Bool(false)],
        vec![Parsed::Day(0), Parsed::Day(1), Parsed::Day(2)],
        vec![Parsed::Time(0), Parsed::Time(1), Parsed::Time(2)],
        vec![members(&["a"]), members(&["a", "b"])],
    ];
    let mut rows = vec![vec![Parsed::None; NAMES.len()]];
    for (at, values) in of_type.into_iter().enumerate() {
        for value in values {
            let mut row = vec![Parsed::None; NAMES.len()];
            row[at] = value;
            rows.push(row);
        }
    }
    rows
}

/// Holds a compiled predicate against its meaning, for every row.
fn check(predicate: &Predicate<Value>) {
    let place = |name: &str| NAMES.iter().position(|(known, _)| *known == name);
    let compiled = Condition::compile(predicate, |name| {
        let at = place(name)?;
        Some(Place { at, value_type: NAMES[at].1 })
    });
    for row in rows() {
        let expected = predicate.matches(&|name| row[place(name)?].value());
        assert_eq!(compiled.holds(row.as_slice()), expected, "{predicate:?} of {row:?}");
    }
}

/// The leaf alone, and under everything that can stand over it.
fn check_all(leaf: &Predicate<Value>) {
    let other = Predicate::IsSet { name: "text".to_owned() };
    check(leaf);
    check(&Predicate::Not(Box::new(leaf.clone())));
    check(&Predicate::Differs(Box::new(leaf.clone())));
    check(&Predicate::And(vec![leaf.clone(), other.clone()]));
    check(&Predicate::Or(vec![leaf.clone(), Predicate::Not(Box::new(other))]));
}

#[test]
fn comparisons_hold_for_the_rows_that_the_predicate_holds_for() {
    for (name, _) in NAMES.into_iter().chain([("unknown", ValueType::Int)]) {
        let name = name.to_owned();
        check_all(&Predicate::IsSet { name: name.clone() });
        for literal in literals() {
            for op in OPS {
                check_all(&Predicate::Compare { name: name.clone(), op, literal: literal.clone() });
            }
            for high in literals() {
                let low = literal.clone();
                check_all(&Predicate::Between { name: name.clone(), low, high });
            }
        }
        for pattern in ["a%", "%b", "a", "%", "", "_"] {
            check_all(&Predicate::Like { name: name.clone(), pattern: pattern.to_owned() });
        }
    }
}

#[test]
fn lists_hold_for_the_rows_that_the_predicate_holds_for() {
    let all = literals();
    for (name, _) in NAMES {
        for from in 0..all.len() {
            for to in from..all.len().min(from + 4) {
                let literals = crate::evaluate::in_order(all[from..to].to_vec());
                check_all(&Predicate::In { name: name.to_owned(), literals });
            }
        }
    }
}
