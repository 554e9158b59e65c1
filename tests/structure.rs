//! Holds the workspace to its map and its style: arrows between crates go down only, files and
//! functions stay short, banned names stay away, and what belongs to one crate stays in it. Each
//! rule stands in a file of `structure/` with cases that show it can fail.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "structure/arrows.rs"]
mod arrows;
#[path = "structure/lengths.rs"]
mod lengths;
#[path = "structure/names.rs"]
mod names;
#[path = "structure/places.rs"]
mod places;
#[path = "structure/rust_text.rs"]
mod rust_text;
#[path = "structure/words.rs"]
mod words;

use std::path::{Path, PathBuf};

/// A file of the repository: its path from the root, with `/`, and its text.
struct RepositoryFile {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files below these folders whose name ends so.
fn files(folders: &[&str], ending: &str) -> Vec<RepositoryFile> {
    let root = root();
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> =
        folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    waiting.push(path);
                }
            } else if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(RepositoryFile {
                    path: path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        !found.is_empty(),
        "no file *{ending} below {folders:?}: the test looks in the wrong place"
    );
    found
}

fn none(findings: &[String], what_to_do: &str) {
    assert!(
        findings.is_empty(),
        "{} findings:\n  {}\n{what_to_do}",
        findings.len(),
        findings.join("\n  ")
    );
}

#[test]
fn arrows_go_down_only() {
    let manifests = files(&["crates", "bench"], "Cargo.toml");
    assert!(manifests.len() >= arrows::LEVELS.len(), "a crate of the map is missing");
    none(
        &arrows::findings(&manifests),
        "Move what both need to a lower crate, or pass it in as a trait. The map is in ARCHITECTURE.md.",
    );
}

#[test]
fn files_and_functions_are_short() {
    let sources = files(&["crates", "bench"], ".rs");
    let reasons = std::fs::read_to_string(root().join("tests/structure/long_files.txt")).unwrap();
    none(
        &lengths::findings(&sources, &reasons),
        "Find the second noun or verb and move it out; or say in tests/structure/long_files.txt why it must be long.",
    );
}

#[test]
fn names_say_something() {
    let sources = files(&["crates", "bench", "tests"], ".rs");
    none(&names::findings(&sources), "Name it for what is in it.");
}

#[test]
fn words_are_plain() {
    let mut texts = files(&["crates", "bench", "tests", "fuzz/src"], ".rs");
    texts.extend(files(&["docs", "crates", "examples"], ".md"));
    texts.extend(files(&["bench", "tests"], ".py"));
    texts.extend(files(&["scripts"], ".sh"));
    texts.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "PLAN.md"].map(|name| {
        RepositoryFile {
            path: name.to_owned(),
            text: std::fs::read_to_string(root().join(name)).unwrap(),
        }
    }));
    none(
        &words::findings(&texts),
        "Say it in the words that a native engineer of this field would use.",
    );
}

#[test]
fn things_stay_in_their_crates() {
    let sources = files(&["crates", "bench", "tests"], ".rs");
    let manifests = files(&["crates", "bench"], "Cargo.toml");
    let findings = [places::words(&sources), places::dependencies(&manifests)].concat();
    none(&findings, "Ask the crate that owns it for what you need.");
}
