use std::fmt;

/// Characters of the source line shown on each side of the place, so that a line of 64 KiB stays
/// readable.
const SHOWN_CHARS: usize = 60;

/// Text that is not an expression: what is wrong, where, and what was expected there.
///
/// `Display` gives the message, the source line with a caret beneath the place, and the
/// expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, in one line.
    pub message: String,
    /// Bytes from the beginning of the text.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// Characters from the beginning of the line, from 1.
    pub column: usize,
    /// What could stand there; may be empty.
    pub expected: Vec<String>,
    source_line: String,
}

impl SyntaxError {
    /// An error at `offset` bytes into `text` (moved back to the nearest character).
    pub fn new(text: &str, offset: usize, message: impl Into<String>, expected: &[&str]) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (before, after) = text.split_at(offset);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = after.find('\n').map_or(text.len(), |at| offset + at);
        Self {
            message: message.into(),
            offset,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            expected: expected.iter().map(|&e| e.to_owned()).collect(),
            source_line: text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.column - 1;
        let first = at.saturating_sub(SHOWN_CHARS);
        // Tabs and other controls take one cell here, so that the caret stands beneath its
        // character.
        let cell = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String =
            self.source_line.chars().skip(first).take(2 * SHOWN_CHARS).map(cell).collect();
        let cut_left = if first > 0 { "…" } else { "" };
        let cut_right =
            if self.source_line.chars().count() > first + 2 * SHOWN_CHARS { "…" } else { "" };
        let number = self.line.to_string();
        let indent = " ".repeat(at - first + cut_left.chars().count());
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  {number} | {cut_left}{}{cut_right}", shown.trim_end())?;
        write!(f, "  {} | {indent}^", " ".repeat(number.len()))?;
        if let Some((last, rest)) = self.expected.split_last() {
            f.write_str("\nexpected ")?;
            if !rest.is_empty() {
                write!(f, "{} or ", rest.join(", "))?;
            }
            f.write_str(last)?;
        }
        Ok(())
    }
}

impl std::error::Error for SyntaxError {}
