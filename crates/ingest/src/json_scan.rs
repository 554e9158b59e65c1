//! A strict scanner of JSON text that copies nothing: it gives the spans of values, so that numbers keep all their digits.

/// Deeper nesting is refused, so that hostile text cannot overflow the stack.
const MAX_DEPTH: usize = 128;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Null,
    Bool,
    Number,
    /// A string without escapes: its inner text is the span without the quotes.
    PlainString,
    /// A string with escapes.
    EscapedString,
    Array,
    Object,
}

/// A value: its kind and where its text (quotes included) begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonSpan {
    pub(crate) kind: JsonKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl JsonSpan {
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// The text of a string, unescaped; `None` if it is no string or an escape is wrong (half a surrogate pair).
    pub(crate) fn string<'t>(&self, text: &'t str) -> Option<std::borrow::Cow<'t, str>> {
        match self.kind {
            JsonKind::PlainString => text.get(self.start + 1..self.end - 1).map(std::borrow::Cow::Borrowed),
            JsonKind::EscapedString => serde_json::from_str::<String>(self.text(text)).ok().map(std::borrow::Cow::Owned),
            _ => None,
        }
    }
}

/// Walks over the members of the object at `*at` (its `{`) and leaves `*at` behind it. `visit` gets each key's span and value's span.
/// `None`: not an object, or not JSON.
pub(crate) fn members(text: &str, at: &mut usize, visit: &mut dyn FnMut(JsonSpan, JsonSpan) -> Option<()>) -> Option<()> {
    object(text.as_bytes(), at, 0, visit)
}

/// The whole of `text` as one value, blanks around it allowed.
pub(crate) fn whole(text: &str) -> Option<JsonSpan> {
    let bytes = text.as_bytes();
    let mut at = 0;
    skip_blanks(bytes, &mut at);
    let span = value(bytes, &mut at, 0)?;
    skip_blanks(bytes, &mut at);
    (at == bytes.len()).then_some(span)
}

/// The elements of the array in `span`.
pub(crate) fn elements(text: &str, span: JsonSpan) -> Option<Vec<JsonSpan>> {
    if span.kind != JsonKind::Array {
        return None;
    }
    let (bytes, mut at, mut found) = (text.as_bytes(), span.start, Vec::new());
    array(bytes, &mut at, 0, &mut |element| found.push(element))?;
    Some(found)
}

fn value(bytes: &[u8], at: &mut usize, depth: usize) -> Option<JsonSpan> {
    let start = *at;
    let kind = match bytes.get(start)? {
        b'"' => string(bytes, at)?,
        b'{' if depth < MAX_DEPTH => {
            object(bytes, at, depth + 1, &mut |_, _| Some(()))?;
            JsonKind::Object
        }
        b'[' if depth < MAX_DEPTH => {
            array(bytes, at, depth + 1, &mut |_| ())?;
            JsonKind::Array
        }
        b't' => word(bytes, at, b"true", JsonKind::Bool)?,
        b'f' => word(bytes, at, b"false", JsonKind::Bool)?,
        b'n' => word(bytes, at, b"null", JsonKind::Null)?,
        b'-' | b'0'..=b'9' => number(bytes, at)?,
        _ => return None,
    };
    Some(JsonSpan { kind, start, end: *at })
}

fn object(bytes: &[u8], at: &mut usize, depth: usize, visit: &mut dyn FnMut(JsonSpan, JsonSpan) -> Option<()>) -> Option<()> {
    byte(bytes, at, b'{')?;
    skip_blanks(bytes, at);
    if byte(bytes, at, b'}').is_some() {
        return Some(());
    }
    loop {
        let start = *at;
        let key = JsonSpan { kind: string(bytes, at)?, start, end: *at };
        skip_blanks(bytes, at);
        byte(bytes, at, b':')?;
        skip_blanks(bytes, at);
        let value = value(bytes, at, depth)?;
        visit(key, value)?;
        skip_blanks(bytes, at);
        if byte(bytes, at, b'}').is_some() {
            return Some(());
        }
        byte(bytes, at, b',')?;
        skip_blanks(bytes, at);
    }
}

fn array(bytes: &[u8], at: &mut usize, depth: usize, visit: &mut dyn FnMut(JsonSpan)) -> Option<()> {
    byte(bytes, at, b'[')?;
    skip_blanks(bytes, at);
    if byte(bytes, at, b']').is_some() {
        return Some(());
    }
    loop {
        visit(value(bytes, at, depth)?);
        skip_blanks(bytes, at);
        if byte(bytes, at, b']').is_some() {
            return Some(());
        }
        byte(bytes, at, b',')?;
        skip_blanks(bytes, at);
    }
}

fn string(bytes: &[u8], at: &mut usize) -> Option<JsonKind> {
    byte(bytes, at, b'"')?;
    let mut kind = JsonKind::PlainString;
    loop {
        match bytes.get(*at)? {
            b'"' => {
                *at += 1;
                return Some(kind);
            }
            b'\\' => {
                kind = JsonKind::EscapedString;
                *at += 2;
                match bytes.get(*at - 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let digits = bytes.get(*at..*at + 4)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        *at += 4;
                    }
                    _ => return None,
                }
            }
            0..=0x1f => return None,
            _ => *at += 1,
        }
    }
}

fn number(bytes: &[u8], at: &mut usize) -> Option<JsonKind> {
    let _ = byte(bytes, at, b'-');
    if byte(bytes, at, b'0').is_none() {
        digits(bytes, at)?;
    }
    if byte(bytes, at, b'.').is_some() {
        digits(bytes, at)?;
    }
    if let Some(b'e' | b'E') = bytes.get(*at) {
        *at += 1;
        if let Some(b'+' | b'-') = bytes.get(*at) {
            *at += 1;
        }
        digits(bytes, at)?;
    }
    Some(JsonKind::Number)
}

fn digits(bytes: &[u8], at: &mut usize) -> Option<()> {
    let start = *at;
    while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
        *at += 1;
    }
    (*at > start).then_some(())
}

fn word(bytes: &[u8], at: &mut usize, word: &[u8], kind: JsonKind) -> Option<JsonKind> {
    let end = *at + word.len();
    (bytes.get(*at..end)? == word).then(|| {
        *at = end;
        kind
    })
}

fn byte(bytes: &[u8], at: &mut usize, wanted: u8) -> Option<()> {
    (*bytes.get(*at)? == wanted).then(|| *at += 1)
}

pub(crate) fn skip_blanks(bytes: &[u8], at: &mut usize) {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(*at) {
        *at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_serde_json() {
        let cases = [
            "{}",
            "[]",
            "null",
            "true",
            "-0.5e+10",
            "\"a\\u00e9\\n\"",
            "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
            " { \"a\" : 1 } ",
            "{\"a\":1,}",
            "[1,]",
            "01",
            "1.",
            ".5",
            "+1",
            "\"a",
            "\"\\x\"",
            "{\"a\" 1}",
            "{a:1}",
            "tru",
            "truex",
            "1 2",
            "",
            "\"\u{1}\"",
            "{\"a\":1}}",
            "-",
            "1e",
            "[[[]]]",
            "\"é\"",
            "{\"\":0}",
        ];
        for text in cases {
            assert_eq!(whole(text).is_some(), serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(whole(&"[".repeat(1_000_000)).is_none());
        let nested = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(whole(&nested).is_some());
    }

    #[test]
    fn members_and_elements() {
        let text = r#"{"a":1.10,"b\n":["x","y\u0021"]}"#;
        let mut seen = Vec::new();
        members(text, &mut 0, &mut |key, value| {
            seen.push((key.string(text)?.into_owned(), value.text(text).to_owned()));
            Some(())
        })
        .unwrap();
        assert_eq!(seen, [("a".to_owned(), "1.10".to_owned()), ("b\n".to_owned(), r#"["x","y\u0021"]"#.to_owned())]);
        let array = whole(&seen[1].1).unwrap();
        let found: Vec<_> = elements(&seen[1].1, array).unwrap().iter().map(|e| e.string(&seen[1].1).unwrap().into_owned()).collect();
        assert_eq!(found, ["x", "y!"]);
    }

    proptest::proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(text in "[\\[\\]{}\",:0-9a-e\\\\.tru n-]{0,24}") {
            let strict = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            // serde_json also refuses halves of surrogate pairs, which the pattern cannot make.
            proptest::prop_assert_eq!(whole(&text).is_some(), strict);
        }
    }
}
