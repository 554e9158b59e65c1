//! Rule: `unsafe` and Roaring are in `bitmap` only, DataFusion in `lake` only.

use super::RepositoryFile;
use super::rust_text::{blanked, line_of, word_places};

/// A word of the code, and the crate in which it may stand.
const WORDS: [(&str, &str); 3] =
    [("unsafe", "bitmap"), ("croaring", "bitmap"), ("datafusion", "lake")];

/// The beginning of a dependency's name, and the crate that may have it.
const DEPENDENCIES: [(&str, &str); 3] =
    [("croaring", "bitmap"), ("roaring", "bitmap"), ("datafusion", "lake")];

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix("crates/")
        .and_then(|rest| rest.strip_prefix(folder))
        .is_some_and(|rest| rest.starts_with('/'))
}

pub(crate) fn words(sources: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for RepositoryFile { path, text } in sources {
        let text = blanked(text);
        for (word, folder) in WORDS.iter().filter(|(_, folder)| !is_in(path, folder)) {
            findings.extend(
                word_places(&text, word)
                    .iter()
                    .map(|&at| format!("{path}:{}: {word} outside {folder}", line_of(&text, at))),
            );
        }
    }
    findings
}

pub(crate) fn dependencies(manifests: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for RepositoryFile { path, text } in manifests {
        for (line, text) in text.lines().enumerate() {
            for (name, folder) in DEPENDENCIES.iter().filter(|(_, folder)| !is_in(path, folder)) {
                let (key, rest) = text.split_once('=').unwrap_or((text, ""));
                let renamed = rest.contains(&format!("package = \"{name}"));
                let section = text.contains(&format!("dependencies.{name}"));
                if key.trim().starts_with(name) || renamed || section {
                    findings.push(format!("{path}:{}: {name} outside {folder}", line + 1));
                }
            }
        }
    }
    findings
}

#[test]
fn misplaced_words_are_found() {
    let file = |path: &str, text: &str| [RepositoryFile { path: path.into(), text: text.into() }];
    for (path, text, expected) in [
        ("crates/bitmap/src/view.rs", "unsafe { croaring::Bitmap::new() }", 0),
        ("crates/index/src/view.rs", "// unsafe\n#![forbid(unsafe_code)] \"datafusion\"", 0),
        ("crates/index/src/view.rs", "unsafe { f() }", 1),
        ("crates/bitmaps/src/view.rs", "unsafe { f() }", 1),
        ("crates/index/src/view.rs", "use croaring::Bitmap;", 1),
        ("crates/produce/src/view.rs", "use taghouse_lake::datafusion::prelude::*;", 1),
        ("crates/lake/src/sql.rs", "use datafusion::prelude::*;", 0),
    ] {
        assert_eq!(words(&file(path, text)).len(), expected, "{path}: {text}");
    }
    for (path, text, expected) in [
        ("crates/lake/Cargo.toml", "datafusion = { workspace = true }", 0),
        ("crates/api/Cargo.toml", "datafusion = { workspace = true }", 1),
        ("crates/api/Cargo.toml", "datafusion-common = \"53\"", 1),
        ("crates/api/Cargo.toml", "df = { package = \"datafusion\", version = \"53\" }", 1),
        ("crates/api/Cargo.toml", "[dependencies.croaring]", 1),
        ("crates/index/Cargo.toml", "croaring.workspace = true", 1),
        ("crates/bitmap/Cargo.toml", "croaring.workspace = true", 0),
    ] {
        assert_eq!(dependencies(&file(path, text)).len(), expected, "{path}: {text}");
    }
}
