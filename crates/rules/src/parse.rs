//! Tokens into trees, by recursive descent.
//!
//! Two invariants hold for what comes out: no tree is deeper than [`MAX_DEPTH`] (so that every
//! later walk may recurse), and the leaves are recorded in the order in which a walk from left to
//! right meets them (so that a check can point at the text).

mod condition;
mod happened;
mod operator;
mod scalar;

pub(crate) use scalar::counted;

use crate::lexer::{Token, TokenKind, tokens};
use crate::{Literal, Predicate, Scalar, SyntaxError, Test};
use rust_decimal::Decimal;
use std::ops::Range;

/// The longest expression text, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 2 * 1024 * 1024;

/// The deepest nesting of an expression, as text, tree or JSON.
pub const MAX_DEPTH: usize = 128;

/// Words that are not names unless written in backquotes, in any case.
const RESERVED: [&str; 10] =
    ["and", "or", "not", "in", "between", "like", "is", "set", "true", "false"];

/// Whether `word` has a meaning of its own, so that a name like it needs backquotes.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|r| r.eq_ignore_ascii_case(word))
}

/// Reads a condition.
///
/// # Errors
/// Text that is none, is over [`MAX_EXPRESSION_BYTES`] or nests deeper than [`MAX_DEPTH`].
pub fn parse_predicate(text: &str) -> Result<Predicate, SyntaxError> {
    Ok(predicate_with_leaves(text)?.0)
}

/// Reads a computed value.
///
/// # Errors
/// Text that is none, is over [`MAX_EXPRESSION_BYTES`] or nests deeper than [`MAX_DEPTH`].
pub fn parse_scalar(text: &str) -> Result<Scalar, SyntaxError> {
    Ok(scalar_with_leaves(text)?.0)
}

/// The tree, and where each leaf of it stands in the text.
pub(crate) type WithLeaves<T> = (T, Vec<Range<usize>>);

pub(crate) fn predicate_with_leaves(text: &str) -> Result<WithLeaves<Predicate>, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let tree = parser.predicate()?.tree;
    parser.end(&["`&&`", "`||`", "the end"])?;
    Ok((tree, parser.leaves))
}

pub(crate) fn scalar_with_leaves(text: &str) -> Result<WithLeaves<Scalar>, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let tree = parser.scalar()?.tree;
    parser.end(&["`+`", "`-`", "`*`", "`/`", "the end"])?;
    Ok((tree, parser.leaves))
}

/// Whether the text is a value, such as `coalesce(vip, false)`, and not a condition.
pub(crate) fn is_value(text: &str) -> Result<bool, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let part = parser.any()?.tree;
    parser.end(&["`&&`", "`||`", "the end"])?;
    Ok(matches!(part, Operand::Value(_)))
}

/// What was parsed: whether it is a condition or a value shows only in the text after it.
enum Operand {
    Condition(Predicate),
    Value(Scalar),
}

/// Whether a value may stand where a condition is expected, being true or false.
pub(crate) fn may_hold<L>(value: &Scalar<L>, is_bool: impl Fn(&L) -> bool) -> bool {
    match value {
        Scalar::Name(_) | Scalar::Call { .. } | Scalar::If { .. } => true,
        Scalar::Literal(literal) => is_bool(literal),
        Scalar::Negate(_) | Scalar::Binary { .. } => false,
    }
}

pub(crate) fn is_true_or_false(literal: &Literal) -> bool {
    matches!(literal, Literal::Bool(_))
}

impl Deep<Operand> {
    fn of(condition: Deep<Predicate>) -> Self {
        Self { tree: Operand::Condition(condition.tree), depth: condition.depth }
    }
}

/// A tree and how deep it is; a leaf is 1.
struct Deep<T> {
    tree: T,
    depth: usize,
}

fn leaf<T>(tree: T) -> Deep<T> {
    Deep { tree, depth: 1 }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    leaves: Vec<Range<usize>>,
    /// Open brackets, and prefix operators around the place: each bounds the parser's own
    /// recursion.
    brackets: usize,
    prefixes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_EXPRESSION_BYTES {
            let message = format!(
                "the expression has {} bytes, more than {MAX_EXPRESSION_BYTES}",
                text.len()
            );
            return Err(SyntaxError::new(text, MAX_EXPRESSION_BYTES, message, &[]));
        }
        Ok(Self {
            text,
            tokens: tokens(text)?,
            at: 0,
            leaves: Vec::new(),
            brackets: 0,
            prefixes: 0,
        })
    }

    fn token(&self) -> &Token {
        // The last token is `End`, and nothing steps over it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn kind(&self) -> &TokenKind {
        &self.token().kind
    }

    fn next_kind(&self) -> &TokenKind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    fn step(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].end)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.kind(), TokenKind::Symbol(s) if *s == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), TokenKind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.step();
        }
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.step();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.accept_symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&[&format!("`{symbol}`")]))
        }
    }

    fn end(&self, expected: &[&str]) -> Result<(), SyntaxError> {
        if *self.kind() == TokenKind::End { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn error(&self, message: impl Into<String>, expected: &[&str]) -> SyntaxError {
        SyntaxError::new(self.text, self.token().start, message, expected)
    }

    fn unexpected(&self, expected: &[&str]) -> SyntaxError {
        let token = self.token();
        match token.kind {
            TokenKind::End if self.at == 0 => self.error("the expression is empty", expected),
            TokenKind::End => self.error("unexpected end of the expression", expected),
            _ => {
                let mut shown: String =
                    self.text[token.start..token.end].chars().take(40).collect();
                if shown.len() < token.end - token.start {
                    shown.push('…');
                }
                self.error(
                    format!(
                        "unexpected `{}`",
                        shown.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
                    ),
                    expected,
                )
            }
        }
    }

    fn too_deep(&self) -> SyntaxError {
        self.error(format!("the expression is nested more than {MAX_DEPTH} deep"), &[])
    }

    /// As a condition: a value alone holds where it is true.
    fn condition(&self, part: Deep<Operand>) -> Result<Deep<Predicate>, SyntaxError> {
        match part.tree {
            Operand::Condition(tree) => Ok(Deep { tree, depth: part.depth }),
            Operand::Value(value) if may_hold(&value, is_true_or_false) => {
                self.above(Predicate::of(value, Test::Holds), part.depth)
            }
            Operand::Value(_) => Err(self.unexpected(condition::OPERATORS)),
        }
    }

    /// As a value.
    fn value(&self, part: Deep<Operand>) -> Result<Deep<Scalar>, SyntaxError> {
        match part.tree {
            Operand::Value(tree) => Ok(Deep { tree, depth: part.depth }),
            Operand::Condition(_) => {
                Err(self
                    .error("a value is expected, and what stands before this is a condition", &[]))
            }
        }
    }

    /// A tree one level above its deepest part.
    fn above<T>(&self, tree: T, deepest: usize) -> Result<Deep<T>, SyntaxError> {
        if deepest < MAX_DEPTH {
            Ok(Deep { tree, depth: deepest + 1 })
        } else {
            Err(self.too_deep())
        }
    }

    /// Parses what stands between brackets; the opening one is the current token.
    fn bracketed<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.brackets >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.expect_symbol("(")?;
        self.brackets += 1;
        let tree = inner(self)?;
        self.brackets -= 1;
        if !self.is_symbol(")") {
            return Err(self.unexpected(&["`)`"]));
        }
        self.step();
        Ok(tree)
    }

    /// Parses what a prefix operator, already stepped over, stands before.
    fn prefixed<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.prefixes >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.prefixes += 1;
        let tree = inner(self)?;
        self.prefixes -= 1;
        Ok(tree)
    }

    /// A name, as a word that means nothing else or in backquotes.
    fn name(&mut self) -> Result<String, SyntaxError> {
        let name = match self.kind() {
            TokenKind::Word(word) if is_reserved(word) => {
                let message = format!(
                    "`{word}` is a word of the language; a name like it is written in backquotes"
                );
                return Err(self.error(message, &[&format!("`` `{word}` ``")]));
            }
            TokenKind::Word(name) | TokenKind::QuotedName(name) => name.clone(),
            _ => return Err(self.unexpected(&["a name"])),
        };
        if let Err(e) = taghouse_model::Name::new(&name) {
            return Err(self.error(e.to_string(), &["a name"]));
        }
        self.step();
        Ok(name)
    }

    fn literal(&mut self) -> Result<Literal, SyntaxError> {
        const EXPECTED: &[&str] = &["a number", "text in quotes", "`true`", "`false`"];
        let literal = match self.kind() {
            TokenKind::Text(text) => Literal::Text(text.clone()),
            TokenKind::Word(w) if w.eq_ignore_ascii_case("true") => Literal::Bool(true),
            TokenKind::Word(w) if w.eq_ignore_ascii_case("false") => Literal::Bool(false),
            TokenKind::Word(w) if !is_reserved(w) => {
                return Err(
                    self.error(format!("`{w}` is not a literal: text stands in quotes"), EXPECTED)
                );
            }
            TokenKind::Symbol("-") if matches!(self.next_kind(), TokenKind::Number(_)) => {
                self.step();
                return self.number("-");
            }
            TokenKind::Number(_) => return self.number(""),
            _ => return Err(self.unexpected(EXPECTED)),
        };
        self.step();
        Ok(literal)
    }

    fn number(&mut self, sign: &str) -> Result<Literal, SyntaxError> {
        let TokenKind::Number(lexeme) = self.kind() else {
            return Err(self.unexpected(&["a number"]));
        };
        let signed = format!("{sign}{lexeme}");
        let literal = if lexeme.contains('.') {
            let whole = signed.trim_end_matches('.').replace("-.", "-0.");
            let whole = if whole.starts_with('.') { format!("0{whole}") } else { whole };
            let decimal = Decimal::from_str_exact(&whole);
            Literal::Decimal(decimal.map_err(|_| {
                self.error("the decimal has more than 28 digits", &["a shorter number"])
            })?)
        } else {
            Literal::Int(signed.parse().map_err(|_| {
                self.error("the whole number does not fit 64 bits", &["a smaller number"])
            })?)
        };
        self.step();
        Ok(literal)
    }
}
