//! Rule: production code of a file has at most 500 lines, a function 70. What is longer is in the
//! list with its reason; what is in the list without need is a finding too, so that the list only
//! shrinks.

use super::RepositoryFile;
use super::rust_text::{blanked, block_end, line_of, test_lines, word_places};
use std::collections::BTreeMap;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// Whether all of a file is for tests.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// The files and functions (`path::name`) that are too long, with their lines.
fn long(file: &RepositoryFile) -> Vec<(String, usize)> {
    if is_test(&file.path) {
        return Vec::new();
    }
    let text = blanked(&file.text);
    let tests = test_lines(&text);
    let mut found = Vec::new();
    let production = file
        .text
        .lines()
        .count()
        .saturating_sub(tests.iter().map(|(first, last)| last - first + 1).sum());
    if production > FILE_LINES {
        found.push((file.path.clone(), production));
    }
    for at in word_places(&text, "fn") {
        let first = line_of(&text, at);
        if tests.iter().any(|span| (span.0..=span.1).contains(&first)) {
            continue;
        }
        let name = text[at + 2..]
            .trim_start()
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default();
        // A pointer type such as `fn(u8) -> u8` has no name and no body of its own.
        let Some(end) = block_end(&text, at).filter(|_| !name.is_empty()) else { continue };
        let lines = line_of(&text, end - 1) - first + 1;
        if lines > FUNCTION_LINES {
            found.push((format!("{}::{name}", file.path), lines));
        }
    }
    found
}

/// The list's lines `path: reason`, without comments.
fn reasons(list: &str) -> BTreeMap<&str, &str> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(path, reason)| (path, reason.trim()))
        .collect()
}

pub(crate) fn findings(sources: &[RepositoryFile], list: &str) -> Vec<String> {
    let mut reasons = reasons(list);
    let mut findings = Vec::new();
    for (what, lines) in sources.iter().flat_map(long) {
        match reasons.remove(what.as_str()) {
            None => findings.push(format!("{what} has {lines} lines")),
            Some("") => findings.push(format!("{what} is in the list without a reason")),
            Some(_) => (),
        }
    }
    findings.extend(
        reasons
            .keys()
            .map(|what| format!("{what} is in the list and is short, or gone: take it out")),
    );
    findings
}

#[test]
fn length_is_found() {
    let function =
        |lines: usize| format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    a();\n".repeat(lines - 2));
    let check = |path: &str, text: &str, list: &str| {
        findings(&[RepositoryFile { path: path.into(), text: text.into() }], list)
    };
    let long_file = "const A: u8 = 1;\n".repeat(501);
    let long_tests = format!("#[cfg(test)]\nmod tests {{\n{long_file}{}}}\n", function(80));

    assert!(check("crates/a/src/a.rs", &"const A: u8 = 1;\n".repeat(500), "").is_empty());
    assert_eq!(check("crates/a/src/a.rs", &long_file, ""), ["crates/a/src/a.rs has 501 lines"]);
    assert!(check("crates/a/tests/a.rs", &long_file, "").is_empty());
    assert!(check("crates/a/src/a/tests.rs", &long_file, "").is_empty());
    assert!(check("crates/a/src/a.rs", &long_tests, "").is_empty());
    assert_eq!(
        check("crates/a/src/a.rs", &format!("#[cfg(test)]\nmod tests;\n{long_file}"), "").len(),
        1,
        "production after a test module"
    );

    assert!(check("crates/a/src/a.rs", &function(70), "").is_empty());
    assert_eq!(
        check("crates/a/src/a.rs", &function(71), ""),
        ["crates/a/src/a.rs::f has 71 lines"]
    );
    assert_eq!(
        check(
            "crates/a/src/a.rs",
            &format!("const S: &str = \"}}\";\n{}", function(71).replace("a()", "'}'")),
            ""
        )
        .len(),
        1
    );

    let listed = "# why\n\ncrates/a/src/a.rs: a table of codes\n";
    assert!(check("crates/a/src/a.rs", &long_file, listed).is_empty());
    assert_eq!(check("crates/a/src/a.rs", &long_file, "crates/a/src/a.rs: ").len(), 1, "no reason");
    assert_eq!(check("crates/a/src/a.rs", "", listed).len(), 1, "no need");
}
