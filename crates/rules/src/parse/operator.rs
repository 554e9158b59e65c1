//! What is asked of a value: `== 1`, `not in (…)`, `is set` and the like; and the same written as
//! functions.

use super::condition::OPERATORS;
use super::{Deep, Operand, Parser, leaf};
use crate::lexer::TokenKind;
use crate::{CompareOp, Length, Literal, Moving, Predicate, Scalar, SyntaxError, Test, When};

/// Where a condition begins: in the text, and among the leaves.
struct Mark {
    start: usize,
    leaves: usize,
}

impl Parser<'_> {
    /// A value and what is asked of it; a value alone; or a condition in brackets.
    pub(super) fn comparison(&mut self) -> Result<Deep<Operand>, SyntaxError> {
        let mark = Mark { start: self.token().start, leaves: self.leaves.len() };
        let left = self.arithmetic(0)?;
        let (value, depth) = match left.tree {
            Operand::Value(value) => (value, left.depth),
            condition => return Ok(Deep { tree: condition, depth: left.depth }),
        };
        let op = match self.kind() {
            TokenKind::Symbol("==") => CompareOp::Equal,
            TokenKind::Symbol("!=") => CompareOp::NotEqual,
            TokenKind::Symbol("<") => CompareOp::Less,
            TokenKind::Symbol("<=") => CompareOp::LessOrEqual,
            TokenKind::Symbol(">") => CompareOp::Greater,
            TokenKind::Symbol(">=") => CompareOp::GreaterOrEqual,
            TokenKind::Word(_) => return self.word(value, depth, &mark),
            _ => return Ok(Deep { tree: Operand::Value(value), depth }),
        };
        self.step();
        let with = self.scalar()?;
        let deepest = depth.max(with.depth);
        self.asked(
            Predicate::of(value, Test::Compare { op, with: Box::new(with.tree) }),
            deepest,
            &mark,
        )
    }

    /// The operators that are words.
    fn word(
        &mut self,
        value: Scalar,
        depth: usize,
        mark: &Mark,
    ) -> Result<Deep<Operand>, SyntaxError> {
        let differs = self.accept_word("not");
        let (test, deepest) = if self.accept_word("in") {
            (Test::In { literals: self.bracketed(Self::literals)? }, depth)
        } else if self.accept_word("between") {
            let low = self.scalar()?;
            if !self.accept_word("and") {
                return Err(self.unexpected(&["`and`"]));
            }
            let high = self.scalar()?;
            let deepest = depth.max(low.depth).max(high.depth);
            (Test::Between { low: Box::new(low.tree), high: Box::new(high.tree) }, deepest)
        } else if !differs && (self.is_word("within") || self.is_word("older")) {
            return self.moving(value, false, mark);
        } else if self.accept_word("like") {
            (Test::Like { pattern: self.text("a pattern in quotes")? }, depth)
        } else if differs {
            return Err(self.unexpected(&["`in`", "`between`", "`like`"]));
        } else if self.accept_word("is") {
            let unset = self.accept_word("not");
            if !self.accept_word("set") {
                return Err(self.unexpected(if unset {
                    &["`set`"]
                } else {
                    &["`set`", "`not set`"]
                }));
            }
            let set = self.asked(Predicate::of(value, Test::IsSet), depth, mark)?;
            let set = self.condition(set)?;
            return Ok(Deep::of(if unset {
                self.above(Predicate::Not(Box::new(set.tree)), set.depth)?
            } else {
                set
            }));
        } else if self.accept_word("has") {
            let all = self.accept_word("all");
            if !all && !self.accept_word("any") {
                return Err(self.unexpected(&["`any`", "`all`"]));
            }
            (Test::Has { all, literals: self.bracketed(Self::literals)? }, depth)
        } else {
            return Ok(Deep { tree: Operand::Value(value), depth });
        };
        let condition = Predicate::of(value, test);
        self.asked(
            if differs { Predicate::Differs(Box::new(condition)) } else { condition },
            deepest,
            mark,
        )
    }

    /// `within last 30d`, `within next 7d` or `older than 30d`, of a name.
    fn moving(
        &mut self,
        value: Scalar,
        anniversary: bool,
        mark: &Mark,
    ) -> Result<Deep<Operand>, SyntaxError> {
        let Scalar::Name(name) = value else {
            let message = "`within` and `older than` need the name of a date";
            return Err(self.error(message, &["a name"]));
        };
        let when = if self.accept_word("within") {
            if self.accept_word("last") {
                When::Last
            } else if self.accept_word("next") {
                When::Next
            } else {
                return Err(self.unexpected(&["`last`", "`next`"]));
            }
        } else if self.accept_word("older") {
            if !self.accept_word("than") {
                return Err(self.unexpected(&["`than`"]));
            }
            When::Older
        } else {
            return Err(self.unexpected(&["`within`", "`older than`"]));
        };
        const LENGTHS: &[&str] = &["1d to 3660d", "1h to 8784h", "1m to 1440m"];
        let length = match self.kind() {
            TokenKind::Duration(text) => Length::read(text),
            _ => None,
        };
        let length = length.ok_or_else(|| self.unexpected(LENGTHS))?;
        self.step();
        let moving = Moving { anniversary, when, length };
        self.asked(Predicate::Moving { name, moving, instants: false }, 1, mark)
    }

    /// A plain condition is one leaf; of a computed one each name and literal is.
    fn asked(
        &mut self,
        condition: Predicate,
        deepest: usize,
        mark: &Mark,
    ) -> Result<Deep<Operand>, SyntaxError> {
        if condition.is_computed() {
            return Ok(Deep::of(self.above(condition, deepest)?));
        }
        self.leaves.truncate(mark.leaves);
        self.leaves.push(mark.start..self.last_end());
        Ok(Deep::of(leaf(condition)))
    }

    pub(super) fn literals(&mut self) -> Result<Vec<Literal>, SyntaxError> {
        let mut literals = vec![self.literal()?];
        while self.accept_symbol(",") {
            literals.push(self.literal()?);
        }
        if !self.is_symbol(")") {
            return Err(self.unexpected(&["`,`", "`)`"]));
        }
        Ok(literals)
    }

    pub(super) fn text(&mut self, expected: &str) -> Result<String, SyntaxError> {
        let TokenKind::Text(text) = self.kind() else { return Err(self.unexpected(&[expected])) };
        let text = text.clone();
        self.step();
        Ok(text)
    }

    /// `LESS(x, 1)`, `crowd("x")` and the like; the current token is the function's name, a bracket
    /// follows. `None` if it is not a condition.
    pub(super) fn condition_function(
        &mut self,
        word: &str,
    ) -> Result<Option<Deep<Operand>>, SyntaxError> {
        let start = self.token().start;
        let condition = match word.to_ascii_lowercase().as_str() {
            "crowd" => {
                self.step();
                self.bracketed(Self::crowd)?
            }
            "anniversary" => {
                let mark = Mark { start, leaves: self.leaves.len() };
                self.step();
                let name = self.bracketed(Self::name)?;
                return self.moving(Scalar::Name(name), true, &mark).map(Some);
            }
            "less" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::Compare { name, op: CompareOp::Less, literal: p.literal()? })
                })?
            }
            "between" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    let low = p.literal()?;
                    p.expect_symbol(",")?;
                    Ok(Predicate::Between { name, low, high: p.literal()? })
                })?
            }
            "in" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::In { name, literals: p.literals()? })
                })?
            }
            "like" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::Like { name, pattern: p.text("a pattern in quotes")? })
                })?
            }
            _ => return self.happened(word),
        };
        self.leaves.push(start..self.last_end());
        Ok(Some(Deep::of(leaf(condition))))
    }

    fn crowd(&mut self) -> Result<Predicate, SyntaxError> {
        let at = self.token().start;
        let name = self.text("a crowd's name in quotes")?;
        match taghouse_model::Name::new(&name) {
            Ok(_) => Ok(Predicate::Crowd { name }),
            Err(e) => {
                Err(SyntaxError::new(self.text, at, e.to_string(), &["a crowd's name in quotes"]))
            }
        }
    }

    fn name_and_comma(&mut self) -> Result<String, SyntaxError> {
        let name = self.name()?;
        self.expect_symbol(",")?;
        Ok(name)
    }

    /// Whether an operator follows, so that a reserved word here was meant as a name (and the error
    /// should say how to write it).
    pub(super) fn reads_as_name(&self) -> bool {
        match self.next_kind() {
            TokenKind::Symbol(s) => {
                OPERATORS.iter().any(|operator| operator.trim_matches('`') == *s)
            }
            TokenKind::Word(w) => ["in", "between", "like", "is", "has", "within", "older"]
                .iter()
                .any(|k| k.eq_ignore_ascii_case(w)),
            _ => false,
        }
    }
}
