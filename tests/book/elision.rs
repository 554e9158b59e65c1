//! Shown output and real output: alike but for `…`, which stands for anything on its line, and
//! alone on a line for any number of lines.

const ANYTHING: char = '…';

/// Whether what was said is what is shown. Blanks at the ends of lines do not count, nor how wide a
/// column is: a longer duration widens it.
pub fn fits(shown: &str, said: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(narrow).collect::<Vec<_>>();
    lines_fit(&lines(shown), &lines(said))
}

/// The line with two blanks where it has more, but for those that it begins with.
fn narrow(line: &str) -> String {
    let text = line.trim_end();
    let (indent, rest) = text.split_at(text.len() - text.trim_start().len());
    let mut narrow = indent.to_owned();
    for letter in rest.chars() {
        if letter != ' ' || !narrow.ends_with("  ") {
            narrow.push(letter);
        }
    }
    narrow
}

fn lines_fit(shown: &[String], said: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return said.is_empty() };
    if first.trim() == "…" {
        return (0..=said.len()).any(|passed| lines_fit(rest, &said[passed..]));
    }
    said.split_first().is_some_and(|(line, more)| line_fits(first, line) && lines_fit(rest, more))
}

fn line_fits(shown: &str, said: &str) -> bool {
    let Some((head, rest)) = shown.split_once(ANYTHING) else { return shown == said };
    let Some(mut left) = said.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split(ANYTHING).collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(found) = left.find(piece) else { return false };
        left = &left[found + piece.len()..];
    }
    left.ends_with(tail)
}

#[test]
fn what_is_elided_and_what_is_not() {
    let cases = [
        ("a\nb", "a\nb\n", true),
        ("a", "a\nb", false),
        ("a  \n", "a", true),
        ("run-… done", "run-17 done", true),
        ("run-… done", "run-17 failed", false),
        ("a…b…c", "a1b2c", true),
        ("a…b…c", "a1c2b", false),
        ("a…a", "a", false),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nd", true),
        ("a\n…\nd", "a\nb", false),
        ("…", "", true),
        ("", "x", false),
        ("rows   7\nms    12", "rows     7\nms    1,200", false),
        ("rows   7\nms     …", "rows     7\nms    1,200", true),
        ("a b", "a  b", false),
        ("  a", "    a", false),
    ];
    for (shown, said, expected) in cases {
        assert_eq!(fits(shown, said), expected, "{shown:?} {said:?}");
    }
}
