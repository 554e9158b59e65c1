//! Text ⇄ tree ⇄ JSON is lossless for every tree there can be, and no text and no JSON makes the
//! reader panic.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use taghouse_rules::{
    AggregateFunction, ArithmeticOp, CompareOp, Did, Function, Happened, Length, Literal,
    MAX_DEPTH, MAX_EXPRESSION_BYTES, Measure, Moving, Predicate, Scalar, Test, When,
    WrittenSequence, WrittenStep, parse_predicate, parse_scalar,
};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z_][A-Za-z0-9_]{0,8}",
        2 => prop::sample::select(vec![
            "and", "OR", "Not", "in", "between", "LIKE", "is", "set", "true", "False", "crowd", "less", "did", "if", "abs", "coalesce",
        ])
        .prop_map(str::to_owned),
        1 => "[a-z]{64}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<String>(),
        2 => "[\"'\\\\`%_nru{}0-9 \n\r\t\u{0}-\u{9f}]{0,12}",
        1 => Just("\\u{41}".to_owned()),
        1 => Just("ß𝄞\u{200b}\u{feff}\u{85}".to_owned()),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    let decimal = (
        -79_228_162_514_264_337_593_543_950_335_i128..=79_228_162_514_264_337_593_543_950_335,
        0_u32..=28,
    );
    prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        prop::sample::select(vec![i64::MIN, i64::MAX, 0, -1]).prop_map(Literal::Int),
        decimal.prop_map(|(units, scale)| Literal::Decimal(Decimal::from_i128_with_scale(
            units, scale
        ))),
        (-999_i128..1000, 0_u32..5).prop_map(|(units, scale)| Literal::Decimal(
            Decimal::from_i128_with_scale(units, scale)
        )),
        text().prop_map(Literal::Text),
    ]
}

fn compare_op() -> impl Strategy<Value = CompareOp> {
    use CompareOp::*;
    prop::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual])
}

fn duration() -> impl Strategy<Value = String> {
    "[0-9]{1,4}[smhd]"
}

/// A condition over properties, and a value.
fn plain() -> impl Strategy<Value = Predicate> {
    (name(), compare_op(), literal()).prop_map(|(name, op, literal)| Predicate::Compare {
        name,
        op,
        literal,
    })
}

fn moving() -> impl Strategy<Value = Predicate> {
    let when = prop::sample::select(vec![When::Last, When::Next, When::Older]);
    let length = prop_oneof![
        (1..=3660_u32).prop_map(Length::Days),
        (1..=8784_u32).prop_map(Length::Hours),
        (1..=1440_u32).prop_map(Length::Minutes),
    ];
    (name(), any::<bool>(), when, length).prop_map(|(name, anniversary, when, length)| {
        let moving = Moving { anniversary, when, length };
        Predicate::Moving { name, moving, instants: false }
    })
}

fn happened() -> impl Strategy<Value = Predicate> {
    let texts = || prop::collection::vec(text(), 1..3);
    let function = prop::sample::select(vec![
        AggregateFunction::Count,
        AggregateFunction::Sum,
        AggregateFunction::CountDistinct,
        AggregateFunction::Last,
    ]);
    let measure = prop_oneof![
        Just(Measure::Count),
        (function, name()).prop_map(|(function, name)| Measure::Of {
            function,
            value: Scalar::Negate(Box::new(Scalar::Name(name))),
        }),
    ];
    let did = (
        texts(),
        measure,
        compare_op(),
        literal(),
        prop::option::of(duration()),
        prop::option::of(plain()),
    )
        .prop_map(|(events, measure, op, literal, within, filter)| {
            Happened::Did(Did { events, measure, op, literal, within, filter })
        });
    let step = (
        any::<bool>(),
        texts(),
        prop::option::of(plain()),
        prop::option::of(name()),
        1..9_u32,
        prop::option::of(duration()),
    )
        .prop_map(|(absent, events, filter, same, times, wait)| WrittenStep {
            absent,
            events,
            filter,
            same,
            times,
            wait,
        });
    let sequence = (
        prop::collection::vec(step, 1..4),
        prop::option::of(duration()),
        prop::option::of(duration()),
    )
        .prop_map(|(steps, within, window)| {
            Happened::Sequence(WrittenSequence { steps, within, window })
        });
    prop_oneof![did, sequence].prop_map(|happened| Predicate::Happened(Box::new(happened)))
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let leaf = prop_oneof![
        happened(),
        moving(),
        (name(), compare_op(), literal()).prop_map(|(name, op, literal)| Predicate::Compare {
            name,
            op,
            literal
        }),
        (name(), prop::collection::vec(literal(), 1..4))
            .prop_map(|(name, literals)| Predicate::In { name, literals }),
        (name(), literal(), literal()).prop_map(|(name, low, high)| Predicate::Between {
            name,
            low,
            high
        }),
        (name(), text()).prop_map(|(name, pattern)| Predicate::Like { name, pattern }),
        name().prop_map(|name| Predicate::IsSet { name }),
        name().prop_map(|name| Predicate::Crowd { name }),
        (name(), any::<bool>(), prop::collection::vec(literal(), 1..4))
            .prop_map(|(name, all, literals)| Predicate::Has { name, all, literals }),
        name().prop_map(|name| Predicate::of(Scalar::Name(name), Test::Holds)),
    ];
    leaf.prop_map(differing).prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| flat(all, true)),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| flat(all, false)),
            inner.prop_map(|p| Predicate::Not(Box::new(p))),
        ]
    })
}

/// Sometimes `not in` instead of `in`.
fn differing(condition: Predicate) -> Predicate {
    let other = match &condition {
        Predicate::In { literals, .. } => literals.len() == 2,
        Predicate::Between { low, high, .. } => low == high || matches!(low, Literal::Text(_)),
        Predicate::Like { pattern, .. } => pattern.len() % 2 == 1,
        Predicate::Test { test: Test::In { literals }, .. } => literals.len() == 2,
        Predicate::Test { test: Test::Like { pattern }, .. } => pattern.len() % 2 == 1,
        Predicate::Test { test: Test::Between { low, .. }, .. } => matches!(**low, Scalar::Name(_)),
        _ => false,
    };
    if other { Predicate::Differs(Box::new(condition)) } else { condition }
}

/// A condition on values, in the form in which it is read.
fn test() -> impl Strategy<Value = Predicate> {
    let operand = || scalar().prop_map(Box::new);
    let literals = || prop::collection::vec(literal(), 1..4);
    let test = prop_oneof![
        (compare_op(), operand()).prop_map(|(op, with)| Test::Compare { op, with }),
        (operand(), operand()).prop_map(|(low, high)| Test::Between { low, high }),
        literals().prop_map(|literals| Test::In { literals }),
        text().prop_map(|pattern| Test::Like { pattern }),
        (any::<bool>(), literals()).prop_map(|(all, literals)| Test::Has { all, literals }),
        Just(Test::IsSet),
        Just(Test::Holds),
    ];
    (scalar(), test).prop_map(|(value, test)| {
        let holds = matches!(
            &value,
            Scalar::Name(_)
                | Scalar::Call { .. }
                | Scalar::If { .. }
                | Scalar::Literal(Literal::Bool(_))
        );
        let test = if matches!(test, Test::Holds) && !holds { Test::IsSet } else { test };
        differing(Predicate::of(value, test))
    })
}

/// `And` holds no `And`, `Or` no `Or`.
fn flat(all: Vec<Predicate>, and: bool) -> Predicate {
    let mut operands = Vec::new();
    for operand in all {
        match operand {
            Predicate::And(inner) if and => operands.extend(inner),
            Predicate::Or(inner) if !and => operands.extend(inner),
            other => operands.push(other),
        }
    }
    if and { Predicate::And(operands) } else { Predicate::Or(operands) }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    use ArithmeticOp::*;
    let leaf = prop_oneof![literal().prop_map(Scalar::Literal), name().prop_map(Scalar::Name)];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let many = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|s| Scalar::Negate(Box::new(s))),
            (
                prop::sample::select(vec![Add, Subtract, Multiply, Divide]),
                inner.clone(),
                inner.clone()
            )
                .prop_map(|(op, left, right)| Scalar::Binary {
                    op,
                    left: Box::new(left),
                    right: Box::new(right)
                }),
            (prop::sample::select(Function::ALL.to_vec()), many).prop_map(
                |(function, mut arguments)| {
                    match function {
                        Function::Round => {
                            arguments.truncate(1);
                            arguments.push(Scalar::Literal(Literal::Int(2)));
                        }
                        Function::Abs | Function::Lower | Function::Upper | Function::Trim => {
                            arguments.truncate(1)
                        }
                        Function::Coalesce | Function::Least | Function::Greatest => {}
                    }
                    Scalar::Call { function, arguments }
                }
            ),
            (predicate(), inner.clone(), inner).prop_map(|(condition, then, otherwise)| {
                Scalar::If {
                    condition: Box::new(condition),
                    then: Box::new(then),
                    otherwise: Box::new(otherwise),
                }
            }),
        ]
    })
}

/// Trees that are equal and print alike: `Decimal`'s own equality does not see `1.5` and `1.50`
/// apart.
fn same_predicate(a: &Predicate, b: &Predicate) -> Result<(), TestCaseError> {
    prop_assert_eq!(a, b);
    prop_assert_eq!(a.to_string(), b.to_string());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn predicates_survive_text_and_json(tree in predicate()) {
        let text = tree.to_string();
        same_predicate(&tree, &parse_predicate(&text).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
        prop_assert!(!text.contains('\n'), "canonical text is one line: {text:?}");
        same_predicate(&tree, &Predicate::from_json(&tree.to_json()).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
        // Also as JSON text, and through serde.
        let json = serde_json::to_string(&tree).unwrap();
        same_predicate(&tree, &serde_json::from_str::<Predicate>(&json).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
    }

    #[test]
    fn conditions_on_values_survive_text_and_json(left in test(), right in test()) {
        for tree in [left.clone(), flat(vec![left.clone(), Predicate::Not(Box::new(right.clone()))], true), flat(vec![left, right], false)] {
            let text = tree.to_string();
            same_predicate(&tree, &parse_predicate(&text).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
            same_predicate(&tree, &Predicate::from_json(&tree.to_json()).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
        }
    }

    #[test]
    fn scalars_survive_text_and_json(tree in scalar()) {
        let text = tree.to_string();
        let read = parse_scalar(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&tree, &read);
        prop_assert_eq!(&text, &read.to_string());
        let read = Scalar::from_json(&tree.to_json()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&tree, &read);
        prop_assert_eq!(&text, &read.to_string());
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = (parse_predicate(&text).map_err(|e| e.to_string()), parse_scalar(&text).map_err(|e| e.to_string()));
    }

    /// Pieces of the language in any order get further than noise does.
    #[test]
    fn no_pieces_panic(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..30)) {
        let text = pieces.join(" ");
        if let Ok(tree) = parse_predicate(&text) {
            same_predicate(&tree, &parse_predicate(&tree.to_string()).unwrap())?;
        }
        if let Ok(tree) = parse_scalar(&text) {
            prop_assert_eq!(&tree, &parse_scalar(&tree.to_string()).unwrap());
        }
        for error in [parse_predicate(&text).err(), parse_scalar(&text).err()].into_iter().flatten() {
            prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn no_json_panics(json in any_json()) {
        if let Ok(tree) = Predicate::from_json(&json) {
            same_predicate(&tree, &Predicate::from_json(&tree.to_json()).unwrap())?;
        }
        if let Ok(tree) = Scalar::from_json(&json) {
            prop_assert_eq!(&tree, &Scalar::from_json(&tree.to_json()).unwrap());
        }
    }
}

const PIECES: &[&str] = &[
    "a", "b2", "`in`", "and", "or", "not", "in", "between", "like", "is", "set", "true", "(", ")",
    "(", ")", ",", "&&", "||", "!", "==", "!=", "<", ">=", "1", "-", "2.50", ".5", "7.", "\"x\"",
    "'%'", "crowd", "LESS", "round", "if", "abs", "+", "*", "/", "\\", "é", "`", "\"", "did",
    "has", "any", "all", "coalesce", "/", ">",
];

fn any_json() -> impl Strategy<Value = Json> {
    const KEYS: &[&str] = &[
        "and",
        "or",
        "not",
        "compare",
        "in",
        "between",
        "like",
        "is_set",
        "has_any",
        "not_in",
        "not_like",
        "holds",
        "value",
        "left",
        "right",
        "crowd",
        "name",
        "op",
        "literal",
        "literals",
        "low",
        "high",
        "pattern",
        "decimal",
        "negate",
        "add",
        "divide",
        "round",
        "if",
        "condition",
        "then",
        "otherwise",
        "coalesce",
        "else",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        prop::sample::select(vec!["x", "==", "1.50", "in", "", "a b"]).prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 60, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            (prop::sample::select(KEYS.to_vec()), inner.clone())
                .prop_map(|(key, value)| json!({key: value})),
            prop::collection::vec((prop::sample::select(KEYS.to_vec()), inner), 0..4).prop_map(
                |all| Json::Object(
                    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )
            ),
        ]
    })
}

#[test]
fn deep_trees_are_read_up_to_the_limit_and_refused_beyond() {
    // Each level is `!(…)`, the deepest a leaf.
    let text = |levels: usize| format!("{}a == 1{}", "!(".repeat(levels), ")".repeat(levels));
    let deepest = parse_predicate(&text(MAX_DEPTH - 1)).unwrap();
    assert_eq!(parse_predicate(&deepest.to_string()).unwrap(), deepest);
    assert_eq!(Predicate::from_json(&deepest.to_json()).unwrap(), deepest);
    assert!(
        parse_predicate(&text(MAX_DEPTH))
            .unwrap_err()
            .message
            .contains("nested more than 128 deep")
    );
    let mut json = deepest.to_json();
    json = json!({"not": json});
    assert!(
        Predicate::from_json(&json).unwrap_err().to_string().contains("nested more than 128 deep")
    );
    // The same through values.
    let text = |levels: usize| format!("{}a{} > 1", "abs(".repeat(levels), ")".repeat(levels));
    let deepest = parse_predicate(&text(MAX_DEPTH - 2)).unwrap();
    assert_eq!(parse_predicate(&deepest.to_string()).unwrap(), deepest);
    assert_eq!(Predicate::from_json(&deepest.to_json()).unwrap(), deepest);
    assert!(
        parse_predicate(&text(MAX_DEPTH - 1))
            .unwrap_err()
            .message
            .contains("nested more than 128 deep")
    );
}

#[test]
fn hostile_texts_are_errors() {
    let too_deep = [
        "(".repeat(60_000),
        "!".repeat(60_000),
        "not ".repeat(15_000),
        format!("{}a == 1{}", "(".repeat(30_000), ")".repeat(30_000)),
        "(a == 1 || b == 1 && ".repeat(3_000),
        "crowd(".repeat(10_000),
    ];
    for text in too_deep {
        assert!(parse_predicate(&text).is_err());
    }
    for text in [
        "-".repeat(60_000),
        "abs(".repeat(15_000),
        "if(a == 1, ".repeat(5_000),
        "a+".repeat(30_000) + "a",
        "(".repeat(60_000),
    ] {
        assert!(parse_scalar(&text).is_err());
    }
    let long = parse_predicate(&" ".repeat(MAX_EXPRESSION_BYTES + 1)).unwrap_err();
    assert_eq!(long.message, "the expression has 2097153 bytes, more than 2097152");
    // Wide is fine: one condition after the other.
    let wide = vec!["a == 1"; 6_000].join(" && ");
    assert!(matches!(parse_predicate(&wide).unwrap(), Predicate::And(all) if all.len() == 6_000));
    let list =
        format!("a in ({})", (0..170_000).map(|i| i.to_string()).collect::<Vec<_>>().join(","));
    assert!(list.len() > 1_000_000);
    let read = parse_predicate(&list).unwrap();
    assert_eq!(Predicate::from_json(&read.to_json()).unwrap(), read);
    assert!(matches!(read, Predicate::In { literals, .. } if literals.len() == 170_000));
    let wide = vec!["a == 1 and b / c > 1"; 48_000].join(" or ");
    assert!(wide.len() > 1_000_000);
    assert!(matches!(parse_predicate(&wide).unwrap(), Predicate::Or(any) if any.len() == 48_000));
}

#[test]
fn hostile_json_is_an_error_and_not_a_stack_overflow() {
    // By hand, for `json!` itself walks what it is given.
    let wrapped =
        |key: &str, inner: Json| Json::Object([(key.to_owned(), inner)].into_iter().collect());
    let json = (0..2_000).fold(json!({"is_set": {"name": "a"}}), |inner, _| wrapped("not", inner));
    assert!(
        Predicate::from_json(&json).unwrap_err().to_string().contains("nested more than 128 deep")
    );
    let json = wrapped(
        "holds",
        (0..2_000).fold(json!({"name": "a"}), |inner, _| wrapped("abs", Json::Array(vec![inner]))),
    );
    assert!(
        Predicate::from_json(&json).unwrap_err().to_string().contains("nested more than 128 deep")
    );
    let json = (0..2_000).fold(json!({"name": "a"}), |inner, _| wrapped("negate", inner));
    assert!(
        Scalar::from_json(&json).unwrap_err().to_string().contains("nested more than 128 deep")
    );
}
