use super::{Deep, Operand, Parser, is_reserved, leaf};
use crate::lexer::TokenKind;
use crate::{ArithmeticOp, Function, Scalar, SyntaxError};

const BEGINNINGS: &[&str] = &["a name", "a number", "text in quotes", "a function", "`(`"];

fn is_literal(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}

impl Deep<Operand> {
    fn value(value: Deep<Scalar>) -> Self {
        Self { tree: Operand::Value(value.tree), depth: value.depth }
    }
}

impl Parser<'_> {
    /// A value, such as `a + b * c`.
    pub(super) fn scalar(&mut self) -> Result<Deep<Scalar>, SyntaxError> {
        let part = self.arithmetic(0)?;
        self.value(part)
    }

    /// Operators that bind as much as `least` or more, from the left.
    pub(super) fn arithmetic(&mut self, least: u8) -> Result<Deep<Operand>, SyntaxError> {
        let mut left = self.signed()?;
        loop {
            let op = match self.kind() {
                TokenKind::Symbol("+") => ArithmeticOp::Add,
                TokenKind::Symbol("-") => ArithmeticOp::Subtract,
                TokenKind::Symbol("*") => ArithmeticOp::Multiply,
                TokenKind::Symbol("/") => ArithmeticOp::Divide,
                _ => return Ok(left),
            };
            if op.binds() < least {
                return Ok(left);
            }
            let value = self.value(left)?;
            self.step();
            let right = self.arithmetic(op.binds() + 1)?;
            let right = self.value(right)?;
            let deepest = value.depth.max(right.depth);
            let tree =
                Scalar::Binary { op, left: Box::new(value.tree), right: Box::new(right.tree) };
            left = Deep::value(self.above(tree, deepest)?);
        }
    }

    fn signed(&mut self) -> Result<Deep<Operand>, SyntaxError> {
        // A sign before digits belongs to the literal.
        if self.is_symbol("-") && !matches!(self.next_kind(), TokenKind::Number(_)) {
            self.step();
            let inner = self.prefixed(Self::signed)?;
            let inner = self.value(inner)?;
            return Ok(Deep::value(self.above(Scalar::Negate(Box::new(inner.tree)), inner.depth)?));
        }
        if self.is_symbol("(") {
            return self.bracketed(Self::any);
        }
        if let TokenKind::Word(word) = self.kind()
            && matches!(self.next_kind(), TokenKind::Symbol("("))
        {
            let word = word.clone();
            return match self.condition_function(&word)? {
                Some(condition) => Ok(condition),
                None => Ok(Deep::value(self.call(&word)?)),
            };
        }
        Ok(Deep::value(self.atom()?))
    }

    /// A literal or a name.
    fn atom(&mut self) -> Result<Deep<Scalar>, SyntaxError> {
        let start = self.token().start;
        let found = match self.kind() {
            TokenKind::Word(w) if is_reserved(w) && self.reads_as_name() && !is_literal(w) => {
                Scalar::Name(self.name()?)
            }
            TokenKind::Word(w) if is_literal(w) => Scalar::Literal(self.literal()?),
            TokenKind::Word(w) if is_reserved(w) => return Err(self.unexpected(BEGINNINGS)),
            TokenKind::Word(_) | TokenKind::QuotedName(_) => Scalar::Name(self.name()?),
            TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Symbol("-") => {
                Scalar::Literal(self.literal()?)
            }
            _ => return Err(self.unexpected(BEGINNINGS)),
        };
        self.leaves.push(start..self.last_end());
        Ok(leaf(found))
    }

    /// `function(a, b)`; the current token is the function's name, a bracket follows.
    fn call(&mut self, word: &str) -> Result<Deep<Scalar>, SyntaxError> {
        if word.eq_ignore_ascii_case("if") {
            self.step();
            return self.bracketed(Self::branches);
        }
        let Some(function) =
            Function::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(word))
        else {
            let mut known: Vec<&str> = Function::ALL.iter().map(|f| f.name()).collect();
            known.extend(["if", "crowd"]);
            let near = crate::suggest::nearest(word, known.iter().copied())
                .map(|n| format!("; did you mean `{n}(…)`?"))
                .unwrap_or_default();
            return Err(self.error(format!("there is no function `{word}(…)`{near}"), &known));
        };
        let place = self.token().start;
        self.step();
        let (arguments, deepest) = self.bracketed(|p| {
            let first = p.scalar()?;
            let (mut arguments, mut deepest) = (vec![first.tree], first.depth);
            while p.accept_symbol(",") {
                let next = p.scalar()?;
                deepest = deepest.max(next.depth);
                arguments.push(next.tree);
            }
            if !p.is_symbol(")") {
                return Err(p.unexpected(&["`,`", "`)`"]));
            }
            Ok((arguments, deepest))
        })?;
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            let message = format!("`{}` has {} here", function.name(), counted(arguments.len()));
            let usage = format!("`{}`", function.usage());
            return Err(SyntaxError::new(self.text, place, message, &[&usage]));
        }
        self.above(Scalar::Call { function, arguments }, deepest)
    }

    fn branches(&mut self) -> Result<Deep<Scalar>, SyntaxError> {
        let condition = self.predicate()?;
        self.expect_symbol(",")?;
        let then = self.scalar()?;
        self.expect_symbol(",")?;
        let otherwise = self.scalar()?;
        let deepest = condition.depth.max(then.depth).max(otherwise.depth);
        let tree = Scalar::If {
            condition: Box::new(condition.tree),
            then: Box::new(then.tree),
            otherwise: Box::new(otherwise.tree),
        };
        self.above(tree, deepest)
    }
}

impl Function {
    /// Every function of the language.
    pub const ALL: [Self; 8] = [
        Self::Coalesce,
        Self::Abs,
        Self::Round,
        Self::Least,
        Self::Greatest,
        Self::Lower,
        Self::Upper,
        Self::Trim,
    ];

    /// The text by which the language knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coalesce => "coalesce",
            Self::Abs => "abs",
            Self::Round => "round",
            Self::Least => "least",
            Self::Greatest => "greatest",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Trim => "trim",
        }
    }

    /// The least and the most arguments.
    pub(crate) fn arity(self) -> (usize, usize) {
        match self {
            Self::Coalesce | Self::Least | Self::Greatest => (1, usize::MAX),
            Self::Round => (2, 2),
            Self::Abs | Self::Lower | Self::Upper | Self::Trim => (1, 1),
        }
    }

    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Coalesce => "coalesce(a, b, …)",
            Self::Abs => "abs(x)",
            Self::Round => "round(x, digits)",
            Self::Least => "least(a, b, …)",
            Self::Greatest => "greatest(a, b, …)",
            Self::Lower => "lower(text)",
            Self::Upper => "upper(text)",
            Self::Trim => "trim(text)",
        }
    }
}

/// `1 argument`, `2 arguments`
pub(crate) fn counted(arguments: usize) -> String {
    format!("{arguments} argument{}", if arguments == 1 { "" } else { "s" })
}
