use super::{Deep, Operand, Parser};
use crate::{Predicate, SyntaxError};

pub(super) const OPERATORS: &[&str] = &[
    "`==`",
    "`!=`",
    "`<`",
    "`<=`",
    "`>`",
    "`>=`",
    "`in`",
    "`not in`",
    "`between`",
    "`like`",
    "`is set`",
    "`has any`",
];

/// `&&` or `||`.
#[derive(Clone, Copy, PartialEq)]
enum Joint {
    And,
    Or,
}

impl Joint {
    fn is_next(self, parser: &Parser<'_>) -> bool {
        match self {
            Self::And => parser.is_symbol("&&") || parser.is_word("and"),
            Self::Or => parser.is_symbol("||") || parser.is_word("or"),
        }
    }
}

/// Operands of one joint. Brackets that only group what would group anyway leave no trace: `a || (b
/// || c)` is one `Or` of three.
struct Joined {
    joint: Joint,
    operands: Vec<Predicate>,
    deepest: usize,
}

impl Joined {
    fn push(&mut self, next: Deep<Predicate>) {
        match (next.tree, self.joint) {
            (Predicate::And(inner), Joint::And) | (Predicate::Or(inner), Joint::Or) => {
                self.deepest = self.deepest.max(next.depth - 1);
                self.operands.extend(inner);
            }
            (other, _) => {
                self.deepest = self.deepest.max(next.depth);
                self.operands.push(other);
            }
        }
    }
}

impl Parser<'_> {
    pub(super) fn predicate(&mut self) -> Result<Deep<Predicate>, SyntaxError> {
        let part = self.any()?;
        self.condition(part)
    }

    /// A condition or a value.
    pub(super) fn any(&mut self) -> Result<Deep<Operand>, SyntaxError> {
        self.joined(Joint::Or, |parser| parser.joined(Joint::And, Self::negation))
    }

    fn joined(
        &mut self,
        joint: Joint,
        operand: impl Fn(&mut Self) -> Result<Deep<Operand>, SyntaxError>,
    ) -> Result<Deep<Operand>, SyntaxError> {
        let mut next = operand(self)?;
        if !joint.is_next(self) {
            return Ok(next);
        }
        let mut joined = Joined { joint, operands: Vec::new(), deepest: 0 };
        loop {
            joined.push(self.condition(next)?);
            if !joint.is_next(self) {
                let tree = if joint == Joint::And {
                    Predicate::And(joined.operands)
                } else {
                    Predicate::Or(joined.operands)
                };
                return Ok(Deep::of(self.above(tree, joined.deepest)?));
            }
            self.step();
            next = operand(self)?;
        }
    }

    fn negation(&mut self) -> Result<Deep<Operand>, SyntaxError> {
        if self.accept_symbol("!") || self.accept_word("not") {
            let inner = self.prefixed(Self::negation)?;
            let inner = self.condition(inner)?;
            return Ok(Deep::of(self.above(Predicate::Not(Box::new(inner.tree)), inner.depth)?));
        }
        self.comparison()
    }
}
