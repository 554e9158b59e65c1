//! Text into tokens, by winnow.

use crate::SyntaxError;
use winnow::combinator::{dispatch, opt, peek};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{Location, Stream};
use winnow::token::{any, literal, take_while};
use winnow::{LocatingSlice, Parser};

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    /// A name or a word of the language.
    Word(String),
    /// A name in backquotes: never a word of the language.
    QuotedName(String),
    /// A text in quotes, its escapes resolved.
    Text(String),
    /// Digits, perhaps with a point; no sign.
    Number(String),
    /// Digits and a unit of time, such as `30d`.
    Duration(String),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

type Input<'a> = LocatingSlice<&'a str>;

#[derive(Debug)]
struct LexError {
    offset: usize,
    message: String,
    expected: &'static [&'static str],
}

type Lexed<T> = Result<T, ErrMode<LexError>>;

impl<'a> ParserError<Input<'a>> for LexError {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        let message = match input.peek_token() {
            Some(c) => format!("unexpected {c:?}"),
            None => "unexpected end of the expression".to_owned(),
        };
        Self { offset: input.current_token_start(), message, expected: &[] }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// All tokens of `text`, `End` last.
///
/// # Errors
/// What is not a token.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        space(&mut input);
        let start = input.current_token_start();
        if input.is_empty() {
            tokens.push(Token { kind: TokenKind::End, start, end: start });
            return Ok(tokens);
        }
        match token(&mut input) {
            Ok(kind) => {
                tokens.push(Token { kind, start, end: input.current_token_start() });
            }
            Err(ErrMode::Backtrack(e) | ErrMode::Cut(e)) => {
                return Err(SyntaxError::new(text, e.offset, e.message, e.expected));
            }
            Err(ErrMode::Incomplete(_)) => {
                return Err(SyntaxError::new(text, start, "the expression is cut short", &[]));
            }
        }
    }
}

fn space(input: &mut Input<'_>) {
    while input.peek_token().is_some_and(char::is_whitespace) {
        input.next_token();
    }
}

fn token(input: &mut Input<'_>) -> Lexed<TokenKind> {
    dispatch! {peek(any);
        '"' | '\'' => quoted.map(TokenKind::Text),
        '`' => quoted_name,
        '0'..='9' | '.' => number,
        c if c.is_ascii_alphabetic() || c == '_' => word,
        _ => symbol,
    }
    .parse_next(input)
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word(input: &mut Input<'_>) -> Lexed<TokenKind> {
    take_while(1.., is_word_char)
        .map(|word: &str| TokenKind::Word(word.to_owned()))
        .parse_next(input)
}

fn quoted_name(input: &mut Input<'_>) -> Lexed<TokenKind> {
    let start = input.current_token_start();
    ('`', take_while(1.., is_word_char), '`')
        .map(|(_, name, _): (_, &str, _)| TokenKind::QuotedName(name.to_owned()))
        .parse_next(input)
        .map_err(|_: ErrMode<LexError>| {
            cut(
                start,
                "a name in backquotes has letters, digits and _, and a closing backquote",
                &["`name`"],
            )
        })
}

/// `12`, `1.50`, `.5`, and `5.` for a decimal without digits after the point.
fn number(input: &mut Input<'_>) -> Lexed<TokenKind> {
    let start = input.current_token_start();
    let lexeme: &str = (take_while(0.., '0'..='9'), opt(('.', take_while(0.., '0'..='9'))))
        .take()
        .parse_next(input)?;
    if lexeme == "." {
        return Err(cut(start, "a point without digits", &["a number"]));
    }
    if let Some(unit) = unit_of_time(input, lexeme) {
        input.next_token();
        return Ok(TokenKind::Duration(format!("{lexeme}{unit}")));
    }
    match input.peek_token() {
        Some(c) if is_word_char(c) || c == '.' => Err(cut(
            start,
            format!("`{lexeme}{c}…` is neither a number nor a name: a name begins with a letter"),
            &[],
        )),
        _ => Ok(TokenKind::Number(lexeme.to_owned())),
    }
}

/// The unit behind whole digits, where nothing else does.
fn unit_of_time(input: &Input<'_>, digits: &str) -> Option<char> {
    let mut rest = input.chars();
    let unit = rest.next().filter(|unit| ['s', 'm', 'h', 'd'].contains(unit))?;
    let ends = rest.next().is_none_or(|c| !is_word_char(c) && c != '.');
    (ends && !digits.contains('.')).then_some(unit)
}

/// Longer ones first.
const SYMBOLS: [&str; 16] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", ",", "+", "-", "*", "/"];

fn symbol(input: &mut Input<'_>) -> Lexed<TokenKind> {
    let start = input.current_token_start();
    for symbol in SYMBOLS {
        let found: Option<&str> =
            opt(literal::<_, _, ErrMode<LexError>>(symbol)).parse_next(input)?;
        if found.is_some() {
            return Ok(TokenKind::Symbol(symbol));
        }
    }
    Err(match input.peek_token() {
        Some('=') => cut(start, "a single `=` is not a comparison", &["`==`"]),
        Some('&') => cut(start, "a single `&` is not an operator", &["`&&`"]),
        Some('|') => cut(start, "a single `|` is not an operator", &["`||`"]),
        Some(c) => cut(start, format!("unexpected {c:?}"), &[]),
        None => cut(start, "unexpected end of the expression", &[]),
    })
}

fn quoted(input: &mut Input<'_>) -> Lexed<String> {
    let start = input.current_token_start();
    let quote = any(input)?;
    let mut text = String::new();
    loop {
        let at = input.current_token_start();
        match input.next_token() {
            Some(c) if c == quote => return Ok(text),
            Some('\\') => escape(input, at, &mut text)?,
            Some(c) => text.push(c),
            None if quote == '"' => {
                return Err(cut(start, "the text has no closing quote", &["`\"`"]));
            }
            None => return Err(cut(start, "the text has no closing quote", &["`'`"])),
        }
    }
}

/// After the backslash. `\%` and `\_` stay as they are, for they are escapes of `like`.
fn escape(input: &mut Input<'_>, at: usize, text: &mut String) -> Lexed<()> {
    const EXPECTED: &[&str] =
        &["`\\\\`", "`\\\"`", "`\\'`", "`\\n`", "`\\r`", "`\\t`", "`\\0`", "`\\u{…}`"];
    match input.next_token() {
        Some(c @ ('\\' | '"' | '\'')) => text.push(c),
        Some('n') => text.push('\n'),
        Some('r') => text.push('\r'),
        Some('t') => text.push('\t'),
        Some('0') => text.push('\0'),
        Some(c @ ('%' | '_')) => text.extend(['\\', c]),
        Some('u') => {
            let digits: Lexed<&str> =
                ('{', take_while(1..=6, |c: char| c.is_ascii_hexdigit()), '}')
                    .map(|(_, digits, _)| digits)
                    .parse_next(input);
            let digits = digits
                .map_err(|_| cut(at, "an escape that is not `\\u{hex digits}`", &["`\\u{…}`"]))?;
            let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
            text.push(
                code.ok_or_else(|| cut(at, format!("`\\u{{{digits}}}` is not a character"), &[]))?,
            );
        }
        Some(c) => {
            return Err(cut(at, format!("unknown escape `\\{}`", c.escape_debug()), EXPECTED));
        }
        None => return Err(cut(at, "the text ends within an escape", EXPECTED)),
    }
    Ok(())
}

fn cut(
    offset: usize,
    message: impl Into<String>,
    expected: &'static [&'static str],
) -> ErrMode<LexError> {
    ErrMode::Cut(LexError { offset, message: message.into(), expected })
}
