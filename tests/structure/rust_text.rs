//! Just enough of Rust's syntax to count braces and find words: text whose comments and literals
//! are blanked.

/// The text with every comment, string and character literal overwritten with blanks; lines and
/// columns (in bytes) stay as they were.
pub(crate) fn blanked(text: &str) -> String {
    let mut out: Vec<u8> = text.bytes().collect();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_end(bytes, at) {
            Some(end) => end.min(bytes.len()),
            None => {
                at += 1;
                continue;
            }
        };
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).unwrap()
}

/// Where the comment or literal that begins at `at` ends; `None` if none begins there.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => {
            Some(at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()))
        }
        [b'/', b'*', ..] => Some(at + comment_bytes(rest)),
        [b'"', ..] => Some(at + string_bytes(rest)),
        [b'r', next, ..] if !word_before && (*next == b'"' || *next == b'#') => {
            raw_string_bytes(&rest[1..]).map(|bytes| at + 1 + bytes)
        }
        [b'b' | b'c', b'r', ..] if !word_before => {
            raw_string_bytes(&rest[2..]).map(|bytes| at + 2 + bytes)
        }
        [b'\'', ..] => character_bytes(rest).map(|bytes| at + bytes),
        _ => None,
    }
}

fn comment_bytes(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_bytes(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// From the hashes on: `#"…"#`. `None` for a raw identifier.
fn raw_string_bytes(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().position(|&byte| byte != b'#')?;
    if rest[hashes] != b'"' {
        return None;
    }
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &rest[hashes + 1..];
    let end = body
        .windows(close.len())
        .position(|window| window == close)
        .map_or(body.len(), |at| at + close.len());
    Some(hashes + 1 + end)
}

/// `'x'`, `'\n'`, `'é'`; `None` for a lifetime.
fn character_bytes(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|&byte| byte == b'\'').map(|at| at + 4);
    }
    let text = std::str::from_utf8(&rest[1..])
        .ok()
        .or_else(|| rest.get(1..6).and_then(|head| std::str::from_utf8(head).ok()))?;
    let width = text.chars().next()?.len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where `word` stands as a whole word, in bytes. The text is blanked.
pub(crate) fn word_places(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let whole = |at: usize| {
        (at == 0 || !is_word(bytes[at - 1]))
            && bytes.get(at + word.len()).is_none_or(|&byte| !is_word(byte))
    };
    text.match_indices(word).map(|(at, _)| at).filter(|&at| whole(at)).collect()
}

/// Where the block that begins at or after `from` ends: just behind its closing brace. `None` if a
/// `;` comes first.
pub(crate) fn block_end(text: &str, from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' if braces == 1 => return Some(at + 1),
            b'}' => braces -= 1,
            b';' if braces == 0 && brackets == 0 => return None,
            _ => (),
        }
    }
    Some(text.len())
}

/// The line of a place, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count()
}

/// The lines, as (first, last), of items that are only built for tests. The text is blanked.
pub(crate) fn test_lines(text: &str) -> Vec<(usize, usize)> {
    let attribute = "#[cfg(test)]";
    let span = |at: usize| {
        let after = at + attribute.len();
        let end = block_end(text, after).unwrap_or_else(|| {
            text[after..].find(';').map_or(text.len(), |semicolon| after + semicolon)
        });
        (line_of(text, at), line_of(text, end))
    };
    text.match_indices(attribute).map(|(at, _)| span(at)).collect()
}

#[test]
fn literals_are_blanked() {
    // By turns what stays and what goes.
    let cases: [&[&str]; 8] = [
        &["a ", "// { \"", "\nb"],
        &["a ", "/* { /* } */ */", " b"],
        &["f(", r#""}\"{""#, ") {"],
        &["", "r#\"}\"{\"#", " }"],
        &["", "br\"}\"", " r#type"],
        &["", "'{'", " ", "'\\''", " ", "'é'", " &'a str"],
        &["var", "\"}\"", ""],
        &["", "'\\u{7d}'", " }"],
    ];
    for parts in cases {
        let text = parts.concat();
        let expected: String = parts
            .iter()
            .enumerate()
            .map(|(at, part)| if at % 2 == 0 { (*part).into() } else { " ".repeat(part.len()) })
            .collect();
        assert_eq!(blanked(&text), expected, "{text}");
    }
}

#[test]
fn words_and_blocks_are_found() {
    assert_eq!(word_places("unsafe_code unsafe{ not_unsafe unsafe", "unsafe"), [12, 31]);
    assert_eq!(block_end("fn a(x: [u8; 2]) { { } } x", 0), Some(24));
    assert_eq!(block_end("fn a(x: [u8; 2]);", 0), None);
    assert_eq!(
        test_lines("a\n#[cfg(test)]\nmod tests {\n}\nb\n#[cfg(test)]\nmod x;\n"),
        [(2, 4), (6, 7)]
    );
}
