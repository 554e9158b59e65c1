//! Suggests a known user for an unknown id: one that differs only in blanks, case, or by one typo.

use crate::{Error, Result};
use std::collections::BTreeSet;
use taghouse_dictionary::Dictionary;
use taghouse_model::{AppId, MAX_USER_ID_BYTES};

/// Ids longer than this are not tried letter by letter: there would be too many.
const TRIED_CHARS: usize = 64;
/// What people put in an id by mistake, or leave out, beside what stands in it.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_.@";

/// `; did you mean "u42"?`, or nothing. One lookup, however many users there are.
pub(crate) fn hint(dictionary: &Dictionary, app: &AppId, id: &str) -> Result<String> {
    let tried: Vec<String> = slips(id)
        .into_iter()
        .filter(|other| !other.is_empty() && other.len() <= MAX_USER_ID_BYTES)
        .collect();
    let texts: Vec<&str> = tried.iter().map(String::as_str).collect();
    let known = dictionary.lookup(app, &texts).map_err(Error::from)?;
    let found = tried.iter().zip(known).find(|(_, ordinal)| ordinal.is_some());
    Ok(found.map(|(meant, _)| format!("; did you mean \"{meant}\"?")).unwrap_or_default())
}

/// The likeliest first.
fn slips(id: &str) -> Vec<String> {
    let mut all = vec![
        id.trim().to_owned(),
        id.to_lowercase(),
        id.to_uppercase(),
        id.trim_start_matches('0').to_owned(),
    ];
    all.retain(|other| other != id);
    let chars: Vec<char> = id.chars().collect();
    if chars.len() > TRIED_CHARS {
        return all;
    }
    let letters: BTreeSet<char> = LETTERS.chars().chain(chars.iter().copied()).collect();
    let with = |from: usize, until: usize, between: &[char]| -> String {
        chars[..from].iter().chain(between).chain(&chars[until..]).collect()
    };
    for at in 0..chars.len().saturating_sub(1) {
        all.push(with(at, at + 2, &[chars[at + 1], chars[at]]));
    }
    all.extend((0..chars.len()).map(|at| with(at, at + 1, &[])));
    for letter in letters {
        all.extend((0..=chars.len()).map(|at| with(at, at, &[letter])));
        all.extend((0..chars.len()).map(|at| with(at, at + 1, &[letter])));
    }
    all.retain(|other| other != id);
    all
}

#[cfg(test)]
mod tests {
    use super::slips;

    #[test]
    fn one_slip_away() {
        for (typed, meant) in [
            ("u24", "u42"),
            ("u4", "u42"),
            ("u422", "u42"),
            ("U42", "u42"),
            (" u42", "u42"),
            ("x42", "u42"),
            ("0042", "42"),
            ("müler", "müller"),
        ] {
            assert!(slips(typed).iter().any(|slip| slip == meant), "{typed}");
        }
        assert!(!slips("u42").iter().any(|slip| slip == "u42"), "not itself");
        assert_eq!(slips(&"x".repeat(500)), ["X".repeat(500)], "blanks, case and zeros only");
    }
}
