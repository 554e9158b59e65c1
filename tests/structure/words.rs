//! Rule: plain modern English. Some words have a plainer one, which everybody knows.

use super::RepositoryFile;

/// A word, and what to say instead.
const WORDS: [(&str, &str); 11] = [
    ("anew", "again"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("lest", "so that … not"),
    ("thereof", "of it"),
    ("stranger", "unknown user"),
    ("strangers", "unknown users"),
    ("twin", "reference model"),
    ("twins", "reference models"),
    ("dear", "expensive"),
];

/// What "is no" may stand before; elsewhere it is "is not a".
const FOLLOWS: [&str; 16] = [
    "longer",
    "more",
    "larger",
    "less",
    "value",
    "values",
    "need",
    "reason",
    "trouble",
    "way",
    "other",
    "such",
    "error",
    "room",
    "different",
    "limit",
];

/// "is no" as in "this is no number", but not "there is no number".
fn says_is_no(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(3).enumerate().any(|(at, three)| {
        let there =
            at.checked_sub(1).is_some_and(|before| words[before].to_lowercase().ends_with("there"));
        let next = three[2].trim_matches(|c: char| !c.is_alphabetic());
        three[0] == "is"
            && three[1] == "no"
            && !there
            && !next.is_empty()
            && !FOLLOWS.contains(&next)
    })
}

pub(crate) fn findings(texts: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    // The words stand here.
    for RepositoryFile { path, text } in
        texts.iter().filter(|file| !file.path.ends_with("structure/words.rs"))
    {
        for (number, line) in text.lines().enumerate() {
            if says_is_no(line) {
                findings.push(format!("{path}:{}: \"is no\": say is not a", number + 1));
            }
            for word in line.split(|c: char| !c.is_alphabetic()) {
                if let Some((_, plain)) =
                    WORDS.iter().find(|(old, _)| word.eq_ignore_ascii_case(old))
                {
                    findings.push(format!("{path}:{}: \"{word}\": say {plain}", number + 1));
                }
            }
        }
    }
    findings
}

#[test]
fn old_words_are_found() {
    let check = |text: &str| {
        findings(&[RepositoryFile { path: "README.md".into(), text: text.into() }]).len()
    };
    for (old, _) in WORDS {
        assert_eq!(check(&format!("So {old} it,\nor {}: x", old.to_uppercase())), 2, "{old}");
        assert_eq!(check(&format!("un{old}ed")), 0, "within another word");
    }
    for (text, expected) in [
        ("amended, again; the latest", 0),
        ("`x` is no number", 1),
        ("there is no number; it is no longer", 0),
    ] {
        assert_eq!(check(text), expected, "{text}");
    }
}
