//! Globs on file names and paths: `*` (any text), `?` (one character), `[a-z]` and `[!a]` (one of,
//! none of), `{a,b}` (either), and `**` (any folders).

use glob::Pattern;

/// The most globs that one with `{a,b}` may stand for.
const MAX_ALTERNATIVES: usize = 1000;

/// The longest glob, in bytes: with the longest file name it is compared in a moment.
const MAX_GLOB_BYTES: usize = 1024;

/// A glob on a file's name, or on its path below the folder given.
#[derive(Debug, Clone)]
pub struct FileGlob {
    /// Each by the parts of a path.
    globs: Vec<Vec<GlobPart>>,
}

/// What one part of a path has to be.
#[derive(Debug, Clone)]
enum GlobPart {
    /// `**`: any number of folders.
    Folders,
    Name(Pattern),
}

impl FileGlob {
    /// Reads a source's `files`.
    ///
    /// # Errors
    /// What could only be a slip of the pen: brackets that are not closed, are empty or the wrong
    /// way round; one that is too long, or not relative.
    pub fn parse(glob: &str) -> Result<Self, String> {
        if glob.is_empty() || glob.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(
                "`files` is a glob on the file's name or on its path below the folder given, such as *.csv.gz or **/*.csv".to_owned()
            );
        }
        if glob.len() > MAX_GLOB_BYTES {
            return Err(format!(
                "the glob in `files` has {} bytes, more than {MAX_GLOB_BYTES}",
                glob.len()
            ));
        }
        let wrong = |e: String| format!("`{glob}` is not a valid glob: {e}");
        let parts = |glob: &String| glob.split('/').map(part).collect::<Result<Vec<_>, _>>();
        let globs = expanded(glob)
            .map_err(wrong)?
            .iter()
            .map(parts)
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        Ok(Self { globs })
    }

    /// Whether it is on paths, so that subfolders are to be looked into.
    pub fn names_folders(&self) -> bool {
        self.globs.iter().any(|parts| parts.len() > 1)
    }

    /// Whether a file of this name, which may be a path, is meant. A glob without folders is on the
    /// name alone. Time is at most glob × name: only the last `*` of a part, and the last `**`,
    /// is ever tried again.
    pub fn matches(&self, name: &str) -> bool {
        let path: Vec<&str> = name.split('/').collect();
        self.globs.iter().any(|parts| match parts.as_slice() {
            [GlobPart::Name(pattern)] => path.last().is_some_and(|name| pattern.matches(name)),
            [GlobPart::Folders] => true,
            parts => path_matches(parts, &path),
        })
    }
}

fn part(glob: &str) -> Result<GlobPart, String> {
    if glob == "**" {
        return Ok(GlobPart::Folders);
    }
    classes(glob)?;
    Pattern::new(&without_double_stars(glob)).map(GlobPart::Name).map_err(|e| e.to_string())
}

fn path_matches(parts: &[GlobPart], path: &[&str]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Behind the last `**`: the part there, and from where in the path it is tried again.
    let mut again = None;
    while next < path.len() {
        match parts.get(at) {
            Some(GlobPart::Folders) => {
                again = Some((at + 1, next));
                at += 1;
                // A `**` at the end stands for the file, too.
                if at == parts.len() {
                    return true;
                }
            }
            Some(GlobPart::Name(pattern)) if pattern.matches(path[next]) => {
                (at, next) = (at + 1, next + 1)
            }
            _ => match again {
                Some((part, from)) => {
                    again = Some((part, from + 1));
                    (at, next) = (part, from + 1);
                }
                None => return false,
            },
        }
    }
    at == parts.len()
}

/// `**` within a part is one `*`.
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
        let (inner, tail) =
            after.split_once('}').ok_or("`{` without `}`; for the character itself write `?`")?;
        if inner.contains('{') {
            return Err("`{…}` within `{…}`: write the alternatives one by one".to_owned());
        }
        let alternatives: Vec<&str> = inner.split(',').collect();
        if globs.len() * alternatives.len() > MAX_ALTERNATIVES {
            return Err(format!("its `{{…}}` stand for more than {MAX_ALTERNATIVES} globs"));
        }
        globs = globs
            .iter()
            .flat_map(|glob| alternatives.iter().map(move |either| format!("{glob}{head}{either}")))
            .collect();
        rest = tail;
    }
    Ok(globs.into_iter().map(|glob| glob + rest).collect())
}

fn classes(glob: &str) -> Result<(), String> {
    let mut rest = glob;
    while let Some((_, after)) = rest.split_once('[') {
        let (class, tail) =
            after.split_once(']').ok_or("`[` without `]`; for the character itself write `[[]`")?;
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
        let right = [
            "*",
            "*.csv.gz",
            "20??-*.csv",
            "part-[0-3]*",
            "part-[!0-3a]*",
            "*.{csv,jsonl}",
            "[[]",
            "a]}",
            "[a-]",
            "{[ab],c}",
            "a/*",
            "**/*.csv",
        ];
        for glob in right {
            assert!(FileGlob::parse(glob).is_ok(), "{glob}");
        }
        let wrong = [
            "",
            "/a",
            "a/",
            "a//b",
            "../*",
            "./*",
            "[",
            "a[0-9",
            "[]",
            "[!]",
            "[9-0]",
            "{a,b",
            "{a,{b,c}}",
            "{[a,b],c}",
        ];
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
            ("*.csv", "dt=1/a.csv", true),
            ("**", "a/b/c", true),
            ("**/*.csv", "a.csv", true),
            ("**/*.csv", "a/b/c.csv", true),
            ("**/*.csv", "a.csv/b", false),
            ("a/*.csv", "a/b.csv", true),
            ("a/*.csv", "a/b/c.csv", false),
            ("a/*.csv", "b.csv", false),
            ("a/**/b/*.csv", "a/b/c.csv", true),
            ("a/**/b/*.csv", "a/b/x/b/c.csv", true),
            ("a/**/b/*.csv", "a/b/x/c.csv", false),
            ("**/b/**", "a/b/c/d", true),
            ("**/b/**", "b/d", true),
            ("**/b/**", "a/c", false),
            ("{a,b}/*", "b/x", true),
            ("a/{b/c,d}.csv", "a/b/c.csv", true),
            ("*/*", "a", false),
        ];
        for (glob, name, expected) in cases {
            assert_eq!(FileGlob::parse(glob).unwrap().matches(name), expected, "{glob} on {name}");
        }
    }

    /// With a matcher that goes back to every star this takes longer than anybody waits.
    #[test]
    fn many_stars_take_no_time() {
        let (glob, path) = ("**/a/".repeat(200) + "b", "a/".repeat(400) + "c");
        assert!(!FileGlob::parse(&glob).unwrap().matches(&path));
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
