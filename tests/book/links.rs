//! Links between pages: each leads to a file that is there, and to a heading of it; each page is in
//! the contents.

use super::page::Page;

struct Link {
    target: String,
    line: usize,
}

fn links(page: &Page) -> Vec<Link> {
    let mut links = Vec::new();
    let mut within = false;
    for (line, text) in page.lines.iter().enumerate() {
        within ^= text.starts_with("```");
        if within {
            continue;
        }
        for rest in text.split("](").skip(1) {
            links.extend(
                rest.split_once(')').map(|(target, _)| Link { target: target.to_owned(), line }),
            );
        }
    }
    links
}

/// A heading as a link's end names it: lower case, blanks as hyphens, no other marks.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// What is wrong with the links of these pages.
pub fn findings(pages: &[Page]) -> Vec<String> {
    let mut wrong = Vec::new();
    for page in pages {
        for Link { target, line } in links(page) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target
                .split_once('#')
                .map_or((target.as_str(), None), |(file, heading)| (file, Some(heading)));
            let path =
                if file.is_empty() { page.path.clone() } else { page.path.with_file_name(file) };
            let found = match (path.exists(), heading) {
                (exists, None) => exists,
                (true, Some(heading)) => {
                    std::fs::read_to_string(&path).is_ok_and(|text| has_anchor(&text, heading))
                }
                (false, Some(_)) => false,
            };
            if !found {
                wrong.push(format!("{}: the link {target} leads nowhere", page.place(line)));
            }
        }
    }
    let contents =
        pages.iter().find(|page| page.name == "SUMMARY.md").map(links).unwrap_or_default();
    for page in pages.iter().filter(|page| page.name != "SUMMARY.md") {
        if !contents.iter().any(|link| link.target == page.name) {
            wrong.push(format!("docs/src/SUMMARY.md does not name {}", page.name));
        }
    }
    wrong
}

#[test]
fn anchors_are_those_of_forges() {
    let cases = [
        ("`30d`: this day", "30d-this-day"),
        ("A source", "a-source"),
        ("not in, is not set", "not-in-is-not-set"),
    ];
    for (heading, expected) in cases {
        assert_eq!(anchor(heading), expected);
    }
}

#[test]
fn dead_links_and_lonely_pages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Page { name: name.to_owned(), path, lines: text.lines().map(str::to_owned).collect() }
    };
    let pages = [
        page("SUMMARY.md", "- [A](a.md)\n"),
        page(
            "a.md",
            "# One\n[b](b.md#two-words) [c](c.md) [d](#one) [e](b.md#three)\n```sh\n[x](y.md)\n```\n",
        ),
        page("b.md", "## Two words\n"),
    ];
    let expected = [
        "docs/src/a.md:2: the link c.md leads nowhere",
        "docs/src/a.md:2: the link b.md#three leads nowhere",
        "docs/src/SUMMARY.md does not name b.md",
    ];
    assert_eq!(findings(&pages), expected);
}
