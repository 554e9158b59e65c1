//! A strict scanner of JSON text that copies nothing: it gives the spans of values, so that numbers
//! keep all their digits.

use memchr::memchr;
use std::borrow::Cow;

/// Deeper nesting is refused, so that hostile text cannot overflow the stack.
const MAX_DEPTH: usize = 128;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A JSON number.
    Number,
    /// A string without escapes: its inner text is the span without the quotes.
    PlainString,
    /// A string with escapes.
    EscapedString,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

/// A value: its kind and where its text (quotes included) begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonSpan {
    /// The type of the value.
    pub kind: JsonKind,
    /// Its first byte.
    pub start: usize,
    /// The offset after its last byte.
    pub end: usize,
}

impl JsonSpan {
    /// As it is written.
    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// The text of a string, unescaped; `None` if it is not a string or an escape is wrong (half a
    /// surrogate pair).
    pub fn string<'t>(&self, text: &'t str) -> Option<Cow<'t, str>> {
        match self.kind {
            JsonKind::PlainString => text.get(self.start + 1..self.end - 1).map(Cow::Borrowed),
            JsonKind::EscapedString => {
                serde_json::from_str::<String>(self.text(text)).ok().map(Cow::Owned)
            }
            _ => None,
        }
    }
}

/// A text with U+FFFD in the place of each half of a surrogate pair, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired<'t> {
    /// The text; places in it are those of the original.
    pub text: Cow<'t, str>,
    /// How many halves were replaced.
    pub replaced: u32,
}

/// Replaces escapes of half a surrogate pair, which name no character, by those of U+FFFD.
pub fn repair(text: &str) -> Repaired<'_> {
    let mut bytes = Cow::Borrowed(text.as_bytes());
    let (mut at, mut replaced) = (0, 0);
    while let Some(found) = memchr(b'\\', &text.as_bytes()[at..]) {
        at += found;
        let half = match surrogate(text.as_bytes(), at) {
            // What is escaped may be a backslash.
            None => {
                at = (at + 2).min(text.len());
                continue;
            }
            Some(half) => half,
        };
        let pair =
            half < 0xdc00 && surrogate(text.as_bytes(), at + 6).is_some_and(|low| low >= 0xdc00);
        if !pair {
            bytes.to_mut()[at + 2..at + 6].copy_from_slice(b"fffd");
            replaced += 1;
        }
        at += if pair { 12 } else { 6 };
    }
    let text = match bytes {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Only ASCII took the place of ASCII.
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned),
    };
    Repaired { text, replaced }
}

/// The half of a surrogate pair that is escaped at `at`, if one is.
fn surrogate(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..0xe000).contains(&code).then_some(code)
}

/// Walks over the members of the object at `*at` (its `{`) and leaves `*at` behind it. `visit` gets
/// each key's span and value's span. `None`: not an object, or not JSON.
pub fn members(
    text: &str,
    at: &mut usize,
    visit: &mut dyn FnMut(JsonSpan, JsonSpan) -> Option<()>,
) -> Option<()> {
    object(text.as_bytes(), at, 0, visit)
}

/// The whole of `text` as one value, blanks around it allowed.
pub fn whole(text: &str) -> Option<JsonSpan> {
    let bytes = text.as_bytes();
    let mut at = 0;
    skip_blanks(bytes, &mut at);
    let span = value(bytes, &mut at, 0)?;
    skip_blanks(bytes, &mut at);
    (at == bytes.len()).then_some(span)
}

/// The elements of the array in `span`.
pub fn elements(text: &str, span: JsonSpan) -> Option<Vec<JsonSpan>> {
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

fn object(
    bytes: &[u8],
    at: &mut usize,
    depth: usize,
    visit: &mut dyn FnMut(JsonSpan, JsonSpan) -> Option<()>,
) -> Option<()> {
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

fn array(
    bytes: &[u8],
    at: &mut usize,
    depth: usize,
    visit: &mut dyn FnMut(JsonSpan),
) -> Option<()> {
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

/// Moves `*at` over white space.
pub fn skip_blanks(bytes: &[u8], at: &mut usize) {
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
            assert_eq!(
                whole(text).is_some(),
                serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(whole(&"[".repeat(1_000_000)).is_none());
        let nested = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(whole(&nested).is_some());
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        let cases = [
            (r#"{"a":"hi \ud83d"}"#, r#"{"a":"hi \ufffd"}"#, 1),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#, 0),
            (
                r#"["\ude00\ud83d","\uD83D\uD83D\uDE00"]"#,
                r#"["\ufffd\ufffd","\ufffd\uD83D\uDE00"]"#,
                3,
            ),
            (r#""\\ud83d""#, r#""\\ud83d""#, 0),
            (r#""\\\ud83d\n""#, r#""\\\ufffd\n""#, 1),
            (r#""\ud83"#, r#""\ud83"#, 0),
            ("\\", "\\", 0),
            ("é\\", "é\\", 0),
        ];
        for (text, expected, replaced) in cases {
            assert_eq!(
                repair(text),
                Repaired { text: Cow::Borrowed(expected), replaced },
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_repaired_is_read(units in proptest::collection::vec(proptest::sample::select(vec![0xd83d_u32, 0xde00, 0x41, 0x5c, 0xe9]), 0..8)) {
            let text = format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>());
            let repaired = repair(&text);
            let expected = String::from_utf16_lossy(&units.iter().map(|unit| *unit as u16).collect::<Vec<_>>());
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&repaired.text).unwrap(), expected);
        }
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
        assert_eq!(
            seen,
            [
                ("a".to_owned(), "1.10".to_owned()),
                ("b\n".to_owned(), r#"["x","y\u0021"]"#.to_owned())
            ]
        );
        let array = whole(&seen[1].1).unwrap();
        let found: Vec<_> = elements(&seen[1].1, array)
            .unwrap()
            .iter()
            .map(|e| e.string(&seen[1].1).unwrap().into_owned())
            .collect();
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
