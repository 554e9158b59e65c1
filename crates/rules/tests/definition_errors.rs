//! What people see when definitions are wrong. The cases are in `definitions/wrong.txt`, the
//! answers in `golden/`; `INSTA_UPDATE=always` rewrites them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod definitions;

use definitions::{check, file, shown};
use proptest::prelude::*;
use taghouse_rules::{Definitions, Document, parse_definitions};

const BASE: &str = include_str!("definitions/wrong_base.yaml");
const CASES: &str = include_str!("definitions/wrong.txt");

#[test]
fn the_base_is_right() {
    assert!(check(BASE).is_ok(), "{}", shown(&check(BASE).unwrap_err()));
}

#[test]
fn wrong_definitions() {
    let mut golden = String::new();
    for case in CASES.split("\n== ").skip(1) {
        let (title, text) = case.split_once('\n').unwrap();
        let files = [file("base", BASE), file("wrong", text)];
        let files = if title.starts_with("alone") { &files[1..] } else { &files };
        let result = parse_definitions(files).and_then(|documents| Definitions::check(&documents));
        let errors = result.map_or_else(|e| shown(&e), |_| "it checks\n".to_owned());
        golden.push_str(&format!("── {title}\n{errors}"));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("definitions", golden));
}

/// Definitions from the catalog have no place; errors name them.
#[test]
fn stored_definitions_are_named() {
    let body = serde_json::json!({"kind": "crowd", "name": "a", "expression": "x == 1"});
    let broken = serde_json::json!({"kind": "crowd", "name": "b", "expression": 5, "more": 1});
    let documents = [
        Document::stored("crowd", "a", &body).unwrap(),
        Document::stored("crowd", "b", &broken).unwrap(),
    ];
    let errors = Definitions::check(&documents).unwrap_err();
    let shown = shown(&errors);
    assert!(shown.contains("crowd a: unknown name `x`"), "{shown}");
    assert!(shown.contains("crowd b: not a definition of a crowd: "), "{shown}");
    assert!(shown.contains("there is no app"), "{shown}");
    assert!(errors.iter().all(|e| e.kind() == taghouse_model::ErrorKind::Invalid));
}

/// The column is that of the place within the expression, where the expression stands on one line
/// as it is.
#[test]
fn places_within_expressions() {
    let cases = [
        ("expression: ordrs > 1", "expression: ".len()),
        ("expression: orders > 1 && ordrs > 1", "expression: orders > 1 && ".len()),
        ("expression: \"orders > 1 && ordrs > 1\"", "expression: \"orders > 1 && ".len()),
        ("expression: 'é' ", "expression: '".len()),
        // Escapes shift the columns, so the beginning of the text is shown.
        ("expression: \"orders > 1 \\u0026\\u0026 ordrs > 1\"", "expression: ".len()),
    ];
    for (line, before) in cases {
        let errors = check(&format!("{BASE}kind: crowd\nname: a\n{line}\n")).unwrap_err();
        let base_lines = BASE.lines().count();
        assert_eq!(
            (errors[0].line, errors[0].column),
            (base_lines + 3, before + 1),
            "{line}: {}",
            shown(&errors)
        );
    }
}

#[test]
fn a_long_chain_of_tags_is_no_stack_overflow() {
    let mut text = BASE.to_owned();
    for i in 0..3_000 {
        text.push_str(&format!(
            "kind: tag\nname: t{i}\ntype: int\nexpression: t{} + 1\n---\n",
            i + 1
        ));
    }
    let last = "kind: tag\nname: t3000\ntype: int\nexpression: ";
    let order = check(&format!("{text}{last}'1'\n")).unwrap().tag_order();
    assert_eq!(
        order.iter().filter(|n| n.as_str().starts_with('t')).map(|n| n.as_str()).next(),
        Some("t3000")
    );
    let errors = check(&format!("{text}{last}t0\n")).unwrap_err();
    assert!(
        errors.len() == 1 && errors[0].message.contains("t2999 → t3000 → t0"),
        "{}",
        shown(&errors[..1])
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = check(&text);
    }

    /// Lines of real definitions in any order, cut anywhere.
    #[test]
    fn no_lines_panic(order in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..60), 0..30)) {
        let lines: Vec<&str> = BASE.lines().chain(CASES.lines()).collect();
        let text: String = order.iter().map(|(at, length)| {
            let line: String = at.get(&lines).chars().take(*length).collect();
            line + "\n"
        }).collect();
        let errors = check(&text).err().into_iter().flatten();
        for error in errors {
            prop_assert!(!error.message.is_empty() && error.line <= text.lines().count() + 1);
        }
    }
}
