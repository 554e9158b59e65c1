//! Rule: plain modern English. Some words have a plainer one, which everybody knows.

use super::RepositoryFile;

/// A word, and what to say instead.
const WORDS: [(&str, &str); 6] =
    [("anew", "again"), ("mend", "fix"), ("mends", "fixes"), ("mended", "fixed"), ("lest", "so that … not"), ("thereof", "of it")];

pub(crate) fn findings(texts: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    // The words stand here.
    for RepositoryFile { path, text } in texts.iter().filter(|file| !file.path.ends_with("structure/words.rs")) {
        for (number, line) in text.lines().enumerate() {
            for word in line.split(|c: char| !c.is_alphabetic()) {
                if let Some((_, plain)) = WORDS.iter().find(|(old, _)| word.eq_ignore_ascii_case(old)) {
                    findings.push(format!("{path}:{}: \"{word}\": say {plain}", number + 1));
                }
            }
        }
    }
    findings
}

#[test]
fn old_words_are_found() {
    let check = |text: &str| findings(&[RepositoryFile { path: "README.md".into(), text: text.into() }]).len();
    for (text, expected) in [("It is made anew.", 1), ("Mend it,\nlest it breaks", 2), ("amended, again; the latest", 0)] {
        assert_eq!(check(text), expected, "{text}");
    }
}
