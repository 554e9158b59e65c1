//! Rule: no crate, folder, file or module is called by a name that says nothing.

use super::RepositoryFile;
use super::rust_text::{blanked, line_of, word_places};

const BANNED: [&str; 10] = [
    "common",
    "utils",
    "util",
    "utilities",
    "helpers",
    "helper",
    "misc",
    "core",
    "types",
    "shared",
];

pub(crate) fn findings(sources: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for RepositoryFile { path, text } in sources {
        if let Some(part) = path
            .split('/')
            .map(|part| part.trim_end_matches(".rs"))
            .find(|part| BANNED.contains(part))
        {
            findings.push(format!("{path}: \"{part}\" says nothing"));
        }
        let text = blanked(text);
        for at in word_places(&text, "mod") {
            let name: String = text[at + 3..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if BANNED.contains(&name.as_str()) {
                findings.push(format!("{path}:{}: mod {name} says nothing", line_of(&text, at)));
            }
        }
    }
    findings
}

#[test]
fn banned_names_are_found() {
    let check = |path: &str, text: &str| {
        findings(&[RepositoryFile { path: path.into(), text: text.into() }]).len()
    };
    for (path, text, expected) in [
        ("crates/index/src/segment.rs", "mod typed; // mod utils\nuse std::sync::Arc;", 0),
        ("crates/index/src/utils.rs", "", 1),
        ("crates/core/src/lib.rs", "", 1),
        ("crates/index/src/misc/segment.rs", "", 1),
        ("crates/index/src/lib.rs", "pub(crate) mod  helpers {}", 1),
    ] {
        assert_eq!(check(path, text), expected, "{path}: {text}");
    }
}
