use super::{Deep, Parser, is_reserved, leaf};
use crate::lexer::TokenKind;
use crate::{CompareOp, Literal, Predicate, SyntaxError};

const FUNCTIONS: [&str; 5] = ["LESS", "BETWEEN", "IN", "LIKE", "crowd"];
const BEGINNINGS: &[&str] = &["a name", "`(`", "`!`", "`crowd(\"…\")`"];
const OPERATORS: &[&str] = &["`==`", "`!=`", "`<`", "`<=`", "`>`", "`>=`", "`in`", "`between`", "`like`", "`is set`"];

impl Parser<'_> {
    pub(super) fn predicate(&mut self) -> Result<Deep<Predicate>, SyntaxError> {
        let first = self.conjunction()?;
        if !self.is_symbol("||") && !self.is_word("or") {
            return Ok(first);
        }
        let mut operands = Vec::new();
        let mut deepest = 0;
        let mut next = first;
        loop {
            // Brackets that only group what would group anyway leave no trace: `a || (b || c)` is one `Or` of three.
            match next.tree {
                Predicate::Or(inner) => {
                    deepest = deepest.max(next.depth - 1);
                    operands.extend(inner);
                }
                other => {
                    deepest = deepest.max(next.depth);
                    operands.push(other);
                }
            }
            if !self.accept_symbol("||") && !self.accept_word("or") {
                return self.above(Predicate::Or(operands), deepest);
            }
            next = self.conjunction()?;
        }
    }

    fn conjunction(&mut self) -> Result<Deep<Predicate>, SyntaxError> {
        let first = self.negation()?;
        if !self.is_symbol("&&") && !self.is_word("and") {
            return Ok(first);
        }
        let mut operands = Vec::new();
        let mut deepest = 0;
        let mut next = first;
        loop {
            match next.tree {
                Predicate::And(inner) => {
                    deepest = deepest.max(next.depth - 1);
                    operands.extend(inner);
                }
                other => {
                    deepest = deepest.max(next.depth);
                    operands.push(other);
                }
            }
            if !self.accept_symbol("&&") && !self.accept_word("and") {
                return self.above(Predicate::And(operands), deepest);
            }
            next = self.negation()?;
        }
    }

    fn negation(&mut self) -> Result<Deep<Predicate>, SyntaxError> {
        if self.accept_symbol("!") || self.accept_word("not") {
            let inner = self.prefixed(Self::negation)?;
            return self.above(Predicate::Not(Box::new(inner.tree)), inner.depth);
        }
        if self.is_symbol("(") {
            return self.bracketed(Self::predicate);
        }
        let start = self.token().start;
        let condition = match self.kind() {
            TokenKind::Word(word) if matches!(self.next_kind(), TokenKind::Symbol("(")) => {
                let word = word.clone();
                self.function(&word)?
            }
            TokenKind::Word(word) if is_reserved(word) && !self.reads_as_name() => return Err(self.unexpected(BEGINNINGS)),
            TokenKind::Word(_) | TokenKind::QuotedName(_) => self.condition()?,
            _ => return Err(self.unexpected(BEGINNINGS)),
        };
        self.leaves.push(start..self.last_end());
        Ok(leaf(condition))
    }

    /// Whether an operator follows, so that a reserved word here was meant as a name (and the error should say how to write it).
    fn reads_as_name(&self) -> bool {
        match self.next_kind() {
            TokenKind::Symbol(s) => matches!(*s, "==" | "!=" | "<" | "<=" | ">" | ">="),
            TokenKind::Word(w) => ["in", "between", "like", "is"].iter().any(|k| k.eq_ignore_ascii_case(w)),
            _ => false,
        }
    }

    /// `name op literal` and the like.
    fn condition(&mut self) -> Result<Predicate, SyntaxError> {
        let name = self.name()?;
        let op = match self.kind() {
            TokenKind::Symbol("==") => CompareOp::Equal,
            TokenKind::Symbol("!=") => CompareOp::NotEqual,
            TokenKind::Symbol("<") => CompareOp::Less,
            TokenKind::Symbol("<=") => CompareOp::LessOrEqual,
            TokenKind::Symbol(">") => CompareOp::Greater,
            TokenKind::Symbol(">=") => CompareOp::GreaterOrEqual,
            _ => return self.word_condition(name),
        };
        self.step();
        Ok(Predicate::Compare { name, op, literal: self.literal()? })
    }

    fn word_condition(&mut self, name: String) -> Result<Predicate, SyntaxError> {
        if self.accept_word("in") {
            let literals = self.bracketed(Self::literals)?;
            return Ok(Predicate::In { name, literals });
        }
        if self.accept_word("between") {
            let low = self.literal()?;
            if !self.accept_word("and") {
                return Err(self.unexpected(&["`and`"]));
            }
            return Ok(Predicate::Between { name, low, high: self.literal()? });
        }
        if self.accept_word("like") {
            return Ok(Predicate::Like { name, pattern: self.text("a pattern in quotes")? });
        }
        if self.accept_word("is") {
            return if self.accept_word("set") { Ok(Predicate::IsSet { name }) } else { Err(self.unexpected(&["`set`"])) };
        }
        Err(self.unexpected(OPERATORS))
    }

    fn literals(&mut self) -> Result<Vec<Literal>, SyntaxError> {
        let mut literals = vec![self.literal()?];
        while self.accept_symbol(",") {
            literals.push(self.literal()?);
        }
        if !self.is_symbol(")") {
            return Err(self.unexpected(&["`,`", "`)`"]));
        }
        Ok(literals)
    }

    fn text(&mut self, expected: &str) -> Result<String, SyntaxError> {
        let TokenKind::Text(text) = self.kind() else { return Err(self.unexpected(&[expected])) };
        let text = text.clone();
        self.step();
        Ok(text)
    }

    /// `LESS(x, 1)` and the like; the current token is the function's name, a bracket follows.
    fn function(&mut self, word: &str) -> Result<Predicate, SyntaxError> {
        match word.to_ascii_lowercase().as_str() {
            "crowd" => {
                self.step();
                self.bracketed(|p| {
                    let at = p.token().start;
                    let name = p.text("a crowd's name in quotes")?;
                    match taghouse_model::Name::new(&name) {
                        Ok(_) => Ok(Predicate::Crowd { name }),
                        Err(e) => Err(SyntaxError::new(p.text, at, e.to_string(), &["a crowd's name in quotes"])),
                    }
                })
            }
            "less" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::Compare { name, op: CompareOp::Less, literal: p.literal()? })
                })
            }
            "between" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    let low = p.literal()?;
                    p.expect_symbol(",")?;
                    Ok(Predicate::Between { name, low, high: p.literal()? })
                })
            }
            "in" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::In { name, literals: p.literals()? })
                })
            }
            "like" => {
                self.step();
                self.bracketed(|p| {
                    let name = p.name_and_comma()?;
                    Ok(Predicate::Like { name, pattern: p.text("a pattern in quotes")? })
                })
            }
            _ => {
                let known: Vec<String> = FUNCTIONS.iter().map(|f| format!("`{f}(…)`")).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err(self.error(format!("there is no condition `{word}(…)`"), &known))
            }
        }
    }

    fn name_and_comma(&mut self) -> Result<String, SyntaxError> {
        let name = self.name()?;
        self.expect_symbol(",")?;
        Ok(name)
    }
}
