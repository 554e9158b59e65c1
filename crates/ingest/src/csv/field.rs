//! One field of a CSV text: where it ends, and its text without quotes and escapes.

use memchr::{memchr2, memchr3};

/// The characters that shape a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    /// Changes the meaning of the next character, in and out of quotes.
    pub(crate) escape: Option<u8>,
}

/// How databases write that there is no value. With an escape before it, it stays as written, so
/// that it can be one of `null_values`.
const ESCAPED_NULL: u8 = b'N';

/// Where a field's bytes are: in the buffer, or unescaped beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) unescaped: bool,
}

/// A field, and where the text goes on.
pub(super) struct ScannedField {
    pub(super) field: Field,
    /// The offset of the delimiter or line end after the field.
    pub(super) after: usize,
}

/// Why no field can be read.
pub(super) enum NoField {
    /// The record is malformed, for this reason.
    Broken(&'static str),
    /// The field may continue after the bytes in the buffer.
    Incomplete,
}

/// Finds the fields in the bytes of a buffer.
pub(super) struct FieldScanner<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) dialect: Dialect,
    /// No bytes of the text follow those in the buffer.
    pub(super) ended: bool,
    /// Receives the text of fields that is not in the buffer as it stands.
    pub(super) unescaped: &'b mut Vec<u8>,
}

impl FieldScanner<'_> {
    /// The field that starts at `start`.
    #[inline]
    pub(super) fn field(&mut self, start: usize) -> Result<ScannedField, NoField> {
        let open = self.after_blanks(start);
        if self.bytes.get(open) == Some(&b'"') {
            return self.quoted(open);
        }
        match self.dialect.escape {
            Some(escape) => self.escaped(start, escape),
            None => self.plain(start),
        }
    }

    /// The offset after blanks, which some programs write around quotes.
    fn after_blanks(&self, mut at: usize) -> usize {
        while let Some(byte @ (b' ' | b'\t')) = self.bytes.get(at)
            && *byte != self.dialect.delimiter
        {
            at += 1;
        }
        at
    }

    /// A field with neither quotes nor escapes.
    #[inline]
    fn plain(&self, start: usize) -> Result<ScannedField, NoField> {
        let end = match memchr3(self.dialect.delimiter, b'\n', b'\r', &self.bytes[start..]) {
            Some(length) => start + length,
            None if self.ended => self.bytes.len(),
            None => return Err(NoField::Incomplete),
        };
        Ok(ScannedField { field: Field { start, end, unescaped: false }, after: end })
    }

    /// A field without quotes that may contain escapes.
    fn escaped(&mut self, start: usize, escape: u8) -> Result<ScannedField, NoField> {
        let delimiter = self.dialect.delimiter;
        let ends =
            |byte: &u8| *byte == delimiter || *byte == escape || matches!(byte, b'\n' | b'\r');
        let copied_from = self.unescaped.len();
        let mut at = start;
        // What is not copied yet begins here.
        let mut piece = start;

        loop {
            let Some(length) = self.bytes[at..].iter().position(ends) else {
                if !self.ended {
                    return Err(NoField::Incomplete);
                }
                at = self.bytes.len();
                break;
            };
            at += length;
            if self.bytes[at] != escape {
                break;
            }
            let Some(next) = self.bytes.get(at + 1) else {
                return Err(self.cut_off("an escape stands at the end of the file"));
            };
            if *next != ESCAPED_NULL {
                self.unescaped.extend_from_slice(&self.bytes[piece..at]);
                self.unescaped.push(unescape(*next));
                piece = at + 2;
            }
            at += 2;
        }

        if piece == start {
            return Ok(ScannedField {
                field: Field { start, end: at, unescaped: false },
                after: at,
            });
        }
        self.unescaped.extend_from_slice(&self.bytes[piece..at]);
        Ok(ScannedField { field: self.copied_since(copied_from), after: at })
    }

    /// The field whose opening quote is at `open`.
    fn quoted(&mut self, open: usize) -> Result<ScannedField, NoField> {
        const NOT_CLOSED: &str = "a quote is not closed";
        let copied_from = self.unescaped.len();
        let start = open + 1;
        // What is not copied yet begins here.
        let mut piece = start;

        // 1. Find the closing quote, and copy what stands before quotes and escapes within.
        let close = loop {
            // Without an escape the quote is searched twice, which costs nothing.
            let escape = self.dialect.escape.unwrap_or(b'"');
            let Some(length) = memchr2(b'"', escape, &self.bytes[piece..]) else {
                return Err(self.cut_off(NOT_CLOSED));
            };
            let at = piece + length;
            match (self.bytes[at], self.bytes.get(at + 1)) {
                (b'"', Some(b'"')) => self.unescaped.extend_from_slice(&self.bytes[piece..=at]),
                (b'"', None) if !self.ended => return Err(NoField::Incomplete),
                (b'"', _) => break at,
                (_, Some(next)) => {
                    self.unescaped.extend_from_slice(&self.bytes[piece..at]);
                    self.unescaped.push(unescape(*next));
                }
                (_, None) => return Err(self.cut_off(NOT_CLOSED)),
            }
            piece = at + 2;
        };

        // 2. Only blanks may stand between the quote and the end of the field.
        let after = self.after_blanks(close + 1);
        match self.bytes.get(after) {
            None if !self.ended => return Err(NoField::Incomplete),
            None | Some(b'\n' | b'\r') => {}
            Some(byte) if *byte == self.dialect.delimiter => {}
            Some(_) => return Err(NoField::Broken("text stands behind a closing quote")),
        }

        // 3. The text is in the buffer, unless something was copied.
        if piece == start {
            return Ok(ScannedField {
                field: Field { start, end: close, unescaped: false },
                after,
            });
        }
        self.unescaped.extend_from_slice(&self.bytes[piece..close]);
        Ok(ScannedField { field: self.copied_since(copied_from), after })
    }

    /// What a field is that the end of the buffer cuts off.
    fn cut_off(&self, problem: &'static str) -> NoField {
        if self.ended { NoField::Broken(problem) } else { NoField::Incomplete }
    }

    fn copied_since(&self, start: usize) -> Field {
        Field { start, end: self.unescaped.len(), unescaped: true }
    }
}

/// What an escaped character stands for: itself, or what databases write for control characters.
fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'0' => 0,
        other => other,
    }
}
