//! Globs on file names: `*` (any text), `?` (one character), `[a-z]` and `[!a]` (one of, none of) and `{a,b}` (either).

use glob::Pattern;

/// The most globs that one with `{a,b}` may stand for.
const MAX_ALTERNATIVES: usize = 1000;

/// The longest glob, in bytes: with the longest file name it is compared in a moment.
const MAX_GLOB_BYTES: usize = 1024;

/// A glob on a file's name, without its folder.
#[derive(Debug, Clone)]
pub struct FileGlob(Vec<Pattern>);

impl FileGlob {
    /// Reads a source's `files`.
    ///
    /// # Errors
    /// What could only be a slip of the pen: brackets that are not closed, are empty or the wrong way round; one that is too long.
    pub fn parse(glob: &str) -> Result<Self, String> {
        if glob.is_empty() || glob.contains('/') {
            return Err("`files` is a glob on the file name, such as *.csv.gz: not empty and without folders".to_owned());
        }
        if glob.len() > MAX_GLOB_BYTES {
            return Err(format!("the glob in `files` has {} bytes, more than {MAX_GLOB_BYTES}", glob.len()));
        }
        let wrong = |e: String| format!("`{glob}` is no glob: {e}");
        let pattern = |glob: &String| {
            classes(glob)?;
            Pattern::new(&without_double_stars(glob)).map_err(|e| e.to_string())
        };
        expanded(glob).map_err(wrong)?.iter().map(pattern).collect::<Result<_, _>>().map(Self).map_err(wrong)
    }

    /// Whether a file of this name is meant. Time is at most glob × name: only the last `*` is ever tried again.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// `**` is one `*` in a name; only in paths it is more.
fn without_double_stars(glob: &str) -> String {
    let mut single = String::with_capacity(glob.len());
    let mut in_class = false;
    for c in glob.chars() {
        if c == '*' && !in_class && single.ends_with('*') {
            continue;
        }
        in_class = if in_class { c != ']' } else { c == '[' };
        single.push(c);
    }
    single
}

/// The globs that `{a,b}` stands for.
fn expanded(glob: &str) -> Result<Vec<String>, String> {
    let mut globs = vec![String::new()];
    let mut rest = glob;
    while let Some((head, after)) = rest.split_once('{') {
        let (inner, tail) = after.split_once('}').ok_or("`{` without `}`; for the character itself write `?`")?;
        if inner.contains('{') {
            return Err("`{…}` within `{…}`: write the alternatives one by one".to_owned());
        }
        let alternatives: Vec<&str> = inner.split(',').collect();
        if globs.len() * alternatives.len() > MAX_ALTERNATIVES {
            return Err(format!("its `{{…}}` stand for more than {MAX_ALTERNATIVES} globs"));
        }
        globs = globs.iter().flat_map(|glob| alternatives.iter().map(move |either| format!("{glob}{head}{either}"))).collect();
        rest = tail;
    }
    Ok(globs.into_iter().map(|glob| glob + rest).collect())
}

fn classes(glob: &str) -> Result<(), String> {
    let mut rest = glob;
    while let Some((_, after)) = rest.split_once('[') {
        let (class, tail) = after.split_once(']').ok_or("`[` without `]`; for the character itself write `[[]`")?;
        let members: Vec<char> = class.strip_prefix('!').unwrap_or(class).chars().collect();
        if members.is_empty() {
            return Err(format!("`[{class}]` names no character"));
        }
        let mut members = members.as_slice();
        while let [first, others @ ..] = members {
            members = match others {
                ['-', last, others @ ..] if first <= last => others,
                ['-', last, ..] => return Err(format!("`{first}-{last}` is the wrong way round")),
                others => others,
            };
        }
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let right = ["*", "*.csv.gz", "20??-*.csv", "part-[0-3]*", "part-[!0-3a]*", "*.{csv,jsonl}", "[[]", "a]}", "[a-]", "{[ab],c}"];
        for glob in right {
            assert!(FileGlob::parse(glob).is_ok(), "{glob}");
        }
        let wrong = ["", "a/*", "[", "a[0-9", "[]", "[!]", "[9-0]", "{a,b", "{a,{b,c}}", "{[a,b],c}"];
        for glob in wrong {
            assert!(FileGlob::parse(glob).is_err(), "{glob}");
        }
        assert!(FileGlob::parse(&"{a,b}".repeat(9)).is_ok());
        assert!(FileGlob::parse(&"{a,b}".repeat(10)).is_err());
        assert!(FileGlob::parse(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn names() {
        let cases = [
            ("*.csv.gz", "2010-12-01.csv.gz", true),
            ("*.csv.gz", "2010-12-01.csv", false),
            ("20??-*.csv", "2010-12.csv", true),
            ("part-[0-3]*", "part-2a", true),
            ("part-[!0-3]*", "part-2a", false),
            ("*.{csv,jsonl}", "a.jsonl", true),
            ("{[ab],c}x", "bx", true),
            ("*", "anything", true),
            ("**.csv", "a.csv", true),
            ("[*][*]a", "**a", true),
            ("[[]a]}", "[a]}", true),
            ("?.csv", "é.csv", true),
            (".*", ".hidden", true),
            ("*", ".hidden", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ];
        for (glob, name, expected) in cases {
            assert_eq!(FileGlob::parse(glob).unwrap().matches(name), expected, "{glob} on {name}");
        }
    }

    /// With a matcher that goes back to every star this takes longer than anybody waits.
    #[test]
    fn many_stars_take_no_time() {
        let name = "a".repeat(255);
        for glob in [
            "*a".repeat(14) + "b",
            "*a".repeat(500) + "b",
            "*a?".repeat(300) + "*b",
            "{*a*a*a*a*a*a*a*a,*a*a*a*a*a*a*a*a}*a*a*a*a*b".to_owned(),
        ] {
            assert!(!FileGlob::parse(&glob).unwrap().matches(&name), "{glob}");
        }
    }
}
