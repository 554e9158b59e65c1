//! What people see when an expression is wrong. The answers are in `golden/`; `INSTA_UPDATE=always`
//! rewrites them.
#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::tz::TimeZone;
use serde_json::json;
use taghouse_model::ValueType;
use taghouse_rules::{Predicate, Scalar, parse_and_check_predicate, parse_predicate, parse_scalar};

const SYNTAX: &[&str] = &[
    "",
    "   ",
    "orders_30d",
    "orders_30d >=",
    "orders_30d >= && spend > 1",
    "orders_30d = 1",
    "orders_30d >= 1 & spend > 1",
    "orders_30d >= 1 | spend > 1",
    "orders_30d >= 1 spend > 1",
    "orders_30d >= 1)",
    "(orders_30d >= 1",
    "(orders_30d >= 1 &&",
    "country == Germany",
    "country == \"Germany",
    "country == 'it''s'",
    "country == \"a\\q\"",
    "country == \"\\u{110000}\"",
    "country == \"\\u{zz}\"",
    "country in \"DE\"",
    "country in ()",
    "country in (\"DE\" \"FR\")",
    "country in (\"DE\", )",
    "spend between 1, 2",
    "spend between 1 or 2",
    "name like 5",
    "name is null",
    "set == 1",
    "and == 1",
    "&& a == 1",
    "a == 1 and",
    "not",
    "!",
    "30d_orders > 1",
    "a == 12abc",
    "a == 1.2.3",
    "a == .",
    "a == 99999999999999999999",
    "a == -9223372036854775809",
    "a == 0.12345678901234567890123456789",
    "a == 1e5",
    "a # b",
    "ä == 1",
    "`a b` == 1",
    "`a == 1",
    "a_name_that_is_much_too_long_to_be_one_because_it_has_more_than_64_bytes_in_it == 1",
    "crowd(big_spenders)",
    "crowd(\"no name\")",
    "did(\"purchase\", count >= 3)",
    "a == 1 && did(\"purchase\", count >= 3, within 30d)",
    "DID (#",
    "did",
    "`did` == 1",
    "MORE(a, 1)",
    "LESS(a 1)",
    "BETWEEN(a, 1)",
    "a == 1 &&\n\tb == 2 &&\r\n  c = 3",
    "a == - 1 && b == --1",
    "a == \"a\nb\" && c",
];

const SCALARS: &[&str] = &[
    "",
    "a +",
    "a + * b",
    "(a + b",
    "a b",
    "round(a)",
    "abs(a, b)",
    "rund(a, 2)",
    "if(a, 1, 2)",
    "if(a == 1, 1)",
    "a && b",
    "a > 1",
    "in + 1",
    "coalesce()",
];

const TYPES: &[&str] = &[
    "ordrs_30d >= 1",
    "country == Germany",
    "orders_30d > ordrs_30d",
    "orders_30d",
    "orders_30d / 2",
    "spend / orders_30d > country",
    "countries > orders_30d",
    "countries == orders_30d",
    "signup < last_seen",
    "orders_30d + 1 in ('a')",
    "lower(country) > 'a'",
    "spend - 1 like 'a%'",
    "country has any ('DE')",
    "countries has all (1)",
    "countries has none ('DE')",
    "orders_30d not 5",
    "vip && signup",
    "country in ('DE') && ordrs_30d >= 1",
    "countries == 'DE' || quite_another == 1",
    "country >= 5",
    "country == 5",
    "country >= 'D'",
    "vip >= 1",
    "vip == 2",
    "vip == 'yes'",
    "orders_30d == '5'",
    "orders_30d like '5%'",
    "orders_30d in (1, 2.5, true)",
    "spend between 'a' and 2",
    "countries > 'DE'",
    "signup == 20111201",
    "signup == '2011-13-01'",
    "signup == '2011-12-01T10:00'",
    "signup between '2011-12-01' and 'tomorrow'",
    "last_seen >= '2011-12-01 25:00'",
    "last_seen >= '2011-12-01T10'",
    "last_seen >= '2011-12-01T10:00:00.1234'",
    "last_seen >= '2011-12-01T10:00+99:00'",
    "crowd('big_spender')",
    "a == 1 && crowd('nobody')",
    "vip == true && crowd('nobody')",
    "big_spenders >= 1",
    "big_spender >= 1",
    "crowd('vip')",
];

fn type_of(name: &str) -> Option<ValueType> {
    Some(match name {
        "country" => ValueType::Text,
        "countries" => ValueType::Set,
        "orders_30d" => ValueType::Int,
        "spend" => ValueType::Decimal { scale: 2 },
        "vip" => ValueType::Bool,
        "signup" => ValueType::Date,
        "last_seen" => ValueType::Time,
        _ => return None,
    })
}

fn golden(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn syntax_errors() {
    let cases = SYNTAX.iter().map(|text| match parse_predicate(text) {
        Ok(tree) => format!("── {text}\nreads as {tree}\n"),
        Err(e) => format!("── {text}\n{}:{} (byte {}): {e}\n", e.line, e.column, e.offset),
    });
    golden("syntax", cases.collect());
}

#[test]
fn scalar_syntax_errors() {
    let cases = SCALARS.iter().map(|text| match parse_scalar(text) {
        Ok(tree) => format!("── {text}\nreads as {tree}\n"),
        Err(e) => format!("── {text}\n{e}\n"),
    });
    golden("scalar_syntax", cases.collect());
}

#[test]
fn type_errors() {
    let known = [
        "country",
        "countries",
        "orders_30d",
        "spend",
        "vip",
        "signup",
        "last_seen",
        "big_spenders",
    ];
    let cases = TYPES.iter().map(|text| {
        match parse_and_check_predicate(
            text,
            &type_of,
            &|name| name == "big_spenders",
            &TimeZone::UTC,
            &known,
        ) {
            Ok((tree, _)) => format!("── {text}\nfits: {tree}\n"),
            Err(e) => format!("── {text}\n{e}\n"),
        }
    });
    golden("types", cases.collect());
}

#[test]
fn json_errors() {
    let cases = [
        json!(null),
        json!({}),
        json!({"and": []}),
        json!({"and": [{"is_set": {"name": "a"}}, {"is_sett": {"name": "a"}}]}),
        json!({"and": [], "or": []}),
        json!({"compare": {"name": "a", "op": "=", "literal": 1}}),
        json!({"compare": {"name": "a", "op": "==", "litteral": 1}}),
        json!({"compare": {"name": "a", "op": "=="}}),
        json!({"compare": {"name": "a b", "op": "==", "literal": 1}}),
        json!({"compare": {"name": "a", "op": "==", "literal": null}}),
        json!({"compare": {"name": "a", "op": "==", "literal": u64::MAX}}),
        json!({"compare": {"name": "a", "op": "==", "literal": 1e300}}),
        json!({"compare": {"name": "a", "op": "==", "literal": {"decimal": "1,5"}}}),
        json!({"compare": {"name": "a", "op": "==", "literal": {"decimal": 1.5}}}),
        json!({"not": {"not": {"like": {"name": "a", "pattern": 5}}}}),
        json!({"in": {"name": "a", "literals": [1, [2]]}}),
        json!({"in": {"name": "a", "literals": []}}),
        json!({"crowd": {"name": 5}}),
    ];
    let shown = cases.iter().map(|json| match Predicate::from_json(json) {
        Ok(tree) => format!("── {json}\nreads as {tree}\n"),
        Err(e) => format!("── {json}\n{e}\n"),
    });
    let scalars = [
        json!({"add": [{"name": "a"}]}),
        json!({"round": [{"name": "a"}]}),
        json!({"nam": "a"}),
        json!({"if": {"then": {"name": "a"}}}),
    ];
    let scalars =
        scalars.iter().map(|json| format!("── {json}\n{}\n", Scalar::from_json(json).unwrap_err()));
    golden("json", shown.chain(scalars).collect());
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!(
        "{} && b = 1 && {}",
        vec!["a == 1"; 50].join(" && "),
        vec!["a == 1"; 50].join(" && ")
    );
    let error = parse_predicate(&text).unwrap_err();
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].chars().count() < 140, "{shown}");
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().nth(caret), Some('='), "{shown}");
    assert_eq!(lines[1].chars().nth(caret - 2), Some('b'), "{shown}");
}
