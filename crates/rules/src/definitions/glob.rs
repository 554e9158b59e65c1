//! Whether a glob on file names is one: `*`, `?`, `[a-z]`, `[!a]` and `{a,b}`, as ingestion matches them.

/// The most globs that one with `{a,b}` may stand for.
const MAX_ALTERNATIVES: usize = 1000;

/// Refuses what could only be a slip of the pen: brackets that are not closed, are empty or the wrong way round.
pub(super) fn check(glob: &str) -> Result<(), String> {
    if glob.is_empty() || glob.contains('/') {
        return Err("`files` is a glob on the file name, such as *.csv.gz: not empty and without folders".to_owned());
    }
    let wrong = |e: String| format!("`{glob}` is no glob: {e}");
    expanded(glob).map_err(wrong)?.iter().try_for_each(|glob| classes(glob).map_err(wrong))
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
            assert_eq!(check(glob), Ok(()), "{glob}");
        }
        let wrong = ["", "a/*", "[", "a[0-9", "[]", "[!]", "[9-0]", "{a,b", "{a,{b,c}}", "{[a,b],c}"];
        for glob in wrong {
            assert!(check(glob).is_err(), "{glob}");
        }
        assert!(check(&"{a,b}".repeat(9)).is_ok());
        assert!(check(&"{a,b}".repeat(10)).is_err());
    }
}
