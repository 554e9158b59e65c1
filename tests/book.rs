//! Holds the book in `docs/` to what the program does: every example is run, page by page, as a
//! reader would, and what is shown must come out. `UPDATE_DOCS=1` writes what came out into the
//! pages; read the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "book/definitions.rs"]
mod definitions;
mod driver;
#[path = "book/elision.rs"]
mod elision;
#[path = "book/links.rs"]
mod links;
#[path = "book/operations.rs"]
mod operations;
#[path = "book/page.rs"]
mod page;
#[path = "book/reading.rs"]
mod reading;

use driver::House;
use page::{Example, Page};
use reading::Difference;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Pages read at the same time.
const READERS: usize = 3;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().unwrap()
}

fn updates() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

fn pages() -> Vec<Page> {
    let source = docs().join("src");
    let mut pages = Vec::new();
    let mut waiting = vec![source.clone()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let name = path.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
                let lines =
                    std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
                pages.push(Page { name, path, lines });
            }
        }
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(pages.len() > 10, "the book is not where the test looks");
    pages
}

/// Writes what came out into the page, from the bottom to the top, so that lines keep their
/// numbers.
fn update(page: &Page, differences: &[Difference]) {
    let mut lines = page.lines.clone();
    for difference in differences.iter().rev() {
        if let Some(span) = difference.span {
            lines.splice(
                span.start..span.end,
                difference.right.trim_end().lines().map(str::to_owned),
            );
        }
    }
    std::fs::write(&page.path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn every_example_comes_out_as_shown() {
    let only = std::env::var("BOOK_PAGE").ok();
    let waiting: Vec<Page> = pages()
        .into_iter()
        .filter(|page| only.as_ref().is_none_or(|only| page.name.contains(only)))
        .collect();
    let (waiting, wrong) = (Mutex::new(waiting), Mutex::new(Vec::<String>::new()));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                loop {
                    let Some(page) = waiting.lock().unwrap().pop() else { return };
                    match reading::follow(&page, &docs(), Path::new(env!("CARGO_BIN_EXE_taghouse")))
                    {
                        Ok(differences) if differences.is_empty() => {}
                        Ok(differences) if updates() => update(&page, &differences),
                        Ok(differences) => wrong
                            .lock()
                            .unwrap()
                            .extend(differences.into_iter().map(|difference| difference.message)),
                        Err(error) => wrong.lock().unwrap().push(error),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{}\n\nIf the pages are what is wrong, `make docs` writes them.",
        wrong.join("\n\n")
    );
}

/// A book that runs little of what it shows would pass the test above.
#[test]
fn few_blocks_are_not_run() {
    let pages = pages();
    let examples: Vec<Example> = pages.iter().flat_map(|page| page.examples().unwrap()).collect();
    // What another test runs, such as the examples of the clients, is run.
    let lines = pages.iter().flat_map(|page| &page.lines);
    let elsewhere = lines.filter(|line| line.starts_with("*Not run:")).filter_map(|line| {
        let test = line.split('`').find(|part| part.starts_with("tests/"))?;
        let found =
            [test.to_owned(), format!("{test}.rs")].map(|path| docs().join("..").join(path));
        Some(found.iter().any(|path| path.exists()))
    });
    let elsewhere: Vec<bool> = elsewhere.collect();
    assert!(elsewhere.iter().all(|exists| *exists), "a page names a test that is not there");
    let not_run = examples.iter().filter(|example| **example == Example::NotRun).count();
    let not_run = not_run - elsewhere.len();
    assert!(
        examples.len() > 100 && not_run * 20 < examples.len(),
        "{not_run} of {} are not run",
        examples.len()
    );
}

#[test]
fn links_lead_to_pages_and_all_pages_are_in_the_contents() {
    let wrong = links::findings(&pages());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a reader saves in the tutorial is what the other pages begin with.
#[test]
fn the_files_of_the_tutorial_are_those_of_the_shop() {
    let pages = pages();
    let tutorial = pages.iter().find(|page| page.name == "tutorial.md").unwrap();
    let mut compared = 0;
    for example in tutorial.examples().unwrap() {
        let Example::Save { path, text } = example else { continue };
        let Ok(there) = std::fs::read_to_string(docs().join(&path)) else { continue };
        assert_eq!(tutorial.text(text), there, "docs/{path}");
        compared += 1;
    }
    assert!(compared >= 4, "{compared} files compared");
}

/// A page that is made by a program is as the program makes it now.
fn generated(name: &str, right: &str) {
    let path = docs().join("src/reference").join(name);
    if updates() {
        std::fs::write(&path, right).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == right,
        "docs/src/reference/{name} is not what the program says now: run `make docs`, and commit what it writes"
    );
}

#[test]
fn generated_page_of_definitions_is_that_of_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&House::new().ok(&["schema"])).unwrap();
    generated("definitions.md", &definitions::page(&schema));
}

#[test]
fn generated_file_of_the_api_is_what_a_server_says() {
    let said = House::new().serve().call("GET", "/api/v1/openapi.json", None, b"").json();
    generated("openapi.json", &format!("{}\n", serde_json::to_string_pretty(&said).unwrap()));
    generated("operations.md", &operations::page(&said));
}

/// The words that programs look at stand in the page of errors, all of them and no others.
#[test]
fn the_page_of_errors_has_every_type_of_problem() {
    let description: serde_json::Value =
        serde_json::from_slice(&std::fs::read(docs().join("src/reference/openapi.json")).unwrap())
            .unwrap();
    let words = description["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
        .as_array()
        .unwrap();
    let page = std::fs::read_to_string(docs().join("src/reference/errors.md")).unwrap();
    let table = page.split("| type |").nth(1).unwrap().split("\n\n").next().unwrap();
    let in_table: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(in_table, words.iter().map(|word| word.as_str().unwrap()).collect());
}
