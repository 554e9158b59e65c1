//! A page of the book: its fenced blocks, and what becomes of each.

use std::path::PathBuf;

/// Where the book's pages are.
pub struct Page {
    /// From `docs/src`, such as `howto/csv.md`.
    pub name: String,
    pub path: PathBuf,
    pub lines: Vec<String>,
}

/// A stretch of lines between two fences, counted from 0; `end` is the closing fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// What is done with a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Example {
    /// Commands, and where the output that they must give stands, if the page shows it.
    Run { script: Span, said: Option<Span> },
    /// A file that the reader saves.
    Save { path: String, text: Span },
    /// Lines of a condition and the users for whom it holds.
    Users { lines: Span },
    /// Definitions that are only parsed.
    Definitions { text: Span },
    /// Neither, for the reason that the page gives.
    NotRun,
}

/// Stands before a block that is not run, with the reason.
const NOT_RUN: &str = "*Not run";

impl Page {
    pub fn text(&self, span: Span) -> String {
        self.lines[span.start..span.end].iter().map(|line| format!("{line}\n")).collect()
    }

    /// Where a line stands, for messages.
    pub fn place(&self, line: usize) -> String {
        format!("docs/src/{}:{}", self.name, line + 1)
    }

    /// All blocks in order.
    ///
    /// # Errors
    /// A block of which nobody says what becomes of it.
    pub fn examples(&self) -> Result<Vec<Example>, String> {
        let mut examples = Vec::new();
        let mut at = 0;
        while at < self.lines.len() {
            let Some(language) = self.lines[at].strip_prefix("```") else {
                at += 1;
                continue;
            };
            let text = self.block(at)?;
            let next = text.end + 1;
            at = next;
            let lead = self.lead(text.start - 1);
            let example = match language.trim() {
                _ if lead.starts_with(NOT_RUN) => Example::NotRun,
                "sh" => {
                    let said = self.said_after(next)?;
                    at = said.map_or(next, |said| said.end + 1);
                    Example::Run { script: text, said }
                }
                "expression" => Example::Users { lines: text },
                _ if saved_as(lead).is_some() => {
                    Example::Save { path: saved_as(lead).unwrap_or_default(), text }
                }
                "yaml" => Example::Definitions { text },
                other => {
                    let place = self.place(text.start - 1);
                    return Err(format!(
                        "{place}: a block of `{other}` that is neither run nor saved: say why before it, as *Not run: …*"
                    ));
                }
            };
            examples.push(example);
        }
        Ok(examples)
    }

    /// The lines of the block whose fence stands at `fence`.
    fn block(&self, fence: usize) -> Result<Span, String> {
        let start = fence + 1;
        let end = self.lines[start..]
            .iter()
            .position(|line| line == "```")
            .ok_or_else(|| format!("{}: not closed", self.place(fence)))?;
        Ok(Span { start, end: start + end })
    }

    /// The line of text before a fence.
    fn lead(&self, fence: usize) -> &str {
        self.lines[..fence].iter().rev().find(|line| !line.is_empty()).map_or("", String::as_str)
    }

    /// The output that stands right after commands.
    fn said_after(&self, line: usize) -> Result<Option<Span>, String> {
        let next = (line..self.lines.len()).find(|at| !self.lines[*at].is_empty());
        next.filter(|at| self.lines[*at] == "```text").map(|at| self.block(at)).transpose()
    }
}

/// The file that a line such as "Save this as `shop/app.yaml`:" names.
fn saved_as(lead: &str) -> Option<String> {
    let named = lead.strip_suffix("`:")?;
    let (before, path) = named.rsplit_once('`')?;
    let asked =
        before.starts_with("Save ") || before.contains(" save ") || before.contains(" Save ");
    (asked && before.ends_with(" as ")).then(|| path.to_owned())
}

#[test]
fn blocks_are_told_apart() {
    let text = "Save this as `a/b.yaml`:\n\n```yaml\nkind: app\n```\n\n```sh\nls\n```\n\n```text\nb\n```\n\nSo:\n```expression\na  # ann\n```\n*Not run: it takes hours.*\n\n```sh\nrm x\n```\n```sh\ntrue\n```";
    let page = |text: &str| Page {
        name: "x.md".to_owned(),
        path: PathBuf::new(),
        lines: text.lines().map(str::to_owned).collect(),
    };
    let span = |start, end| Span { start, end };
    let expected = vec![
        Example::Save { path: "a/b.yaml".to_owned(), text: span(3, 4) },
        Example::Run { script: span(7, 8), said: Some(span(11, 12)) },
        Example::Users { lines: span(16, 17) },
        Example::NotRun,
        Example::Run { script: span(24, 25), said: None },
    ];
    assert_eq!(page(text).examples(), Ok(expected));
    assert_eq!(
        page("```yaml\nkind: tag\n```").examples(),
        Ok(vec![Example::Definitions { text: span(1, 2) }])
    );
    for wrong in ["```json\n{}\n```", "```text\na\n```", "```sh\nls\n", "As `x`:\n```csv\n```"] {
        assert!(page(wrong).examples().is_err(), "{wrong}");
    }
}
