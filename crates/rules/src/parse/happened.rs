//! `did(…)` and `sequence(…)`. Conditions within them are over properties.

use super::{Deep, Operand, Parser};
use crate::happened::{Did, Happened, Measure, WrittenSequence, WrittenStep};
use crate::lexer::TokenKind;
use crate::{AggregateFunction, CompareOp, Literal, Predicate, SyntaxError};

const MEASURES: [&str; 10] = [
    "`count`",
    "`sum(…)`",
    "`avg(…)`",
    "`min(…)`",
    "`max(…)`",
    "`count_distinct(…)`",
    "`first(…)`",
    "`last(…)`",
    "`within`",
    "`where`",
];

/// What a condition on events holds, and how deep the deepest part of it is.
struct Within<T> {
    tree: T,
    deepest: usize,
}

impl Parser<'_> {
    /// The current token is `did` or `sequence`, a bracket follows; `None` for any other word.
    pub(super) fn happened(&mut self, word: &str) -> Result<Option<Deep<Operand>>, SyntaxError> {
        let (start, leaves) = (self.token().start, self.leaves.len());
        let Within { tree, deepest } = match word.to_ascii_lowercase().as_str() {
            "did" => {
                self.step();
                let did = self.bracketed(Self::did)?;
                Within { tree: Happened::Did(did.tree), deepest: did.deepest }
            }
            "sequence" => {
                self.step();
                let sequence = self.bracketed(Self::sequence)?;
                Within { tree: Happened::Sequence(sequence.tree), deepest: sequence.deepest }
            }
            _ => return Ok(None),
        };
        // It is one condition, whatever stands in it.
        self.leaves.truncate(leaves);
        self.leaves.push(start..self.last_end());
        let condition = self.above(Predicate::Happened(Box::new(tree)), deepest)?;
        Ok(Some(Deep::of(condition)))
    }

    fn did(&mut self) -> Result<Within<Did>, SyntaxError> {
        let mut did = Did {
            events: vec![self.event()?],
            measure: Measure::Count,
            op: CompareOp::GreaterOrEqual,
            literal: Literal::Int(1),
            within: None,
            filter: None,
        };
        let mut deepest = 0;
        let mut measured = false;
        while self.accept_symbol(",") {
            if !measured && did.within.is_none() && matches!(self.kind(), TokenKind::Text(_)) {
                did.events.push(self.event()?);
            } else if did.within.is_none() && self.accept_word("within") {
                did.within = Some(self.duration()?);
            } else if self.accept_word("where") {
                let filter = self.predicate()?;
                deepest = deepest.max(filter.depth);
                did.filter = Some(filter.tree);
                break;
            } else if !measured && did.within.is_none() {
                measured = true;
                let measure = self.measure()?;
                deepest = deepest.max(measure.deepest);
                did.measure = measure.tree;
                did.op = self.operator()?;
                did.literal = self.literal()?;
            } else {
                return Err(self.unexpected(&["`within`", "`where`"]));
            }
        }
        Ok(Within { tree: did, deepest })
    }

    fn event(&mut self) -> Result<String, SyntaxError> {
        self.text("an event's name in quotes")
    }

    fn measure(&mut self) -> Result<Within<Measure>, SyntaxError> {
        let word = match self.kind() {
            TokenKind::Word(word) => word.to_ascii_lowercase(),
            _ => return Err(self.unexpected(&MEASURES)),
        };
        let of_value = matches!(self.next_kind(), TokenKind::Symbol("("));
        if word == "count" && !of_value {
            self.step();
            return Ok(Within { tree: Measure::Count, deepest: 0 });
        }
        let functions = AggregateFunction::COMPARABLE;
        let Some(function) = functions.into_iter().find(|f| of_value && f.as_str() == word) else {
            return Err(self.unexpected(&MEASURES));
        };
        self.step();
        let value = self.bracketed(Self::scalar)?;
        let (tree, deepest) = (Measure::Of { function, value: value.tree }, value.depth);
        Ok(Within { tree, deepest })
    }

    fn operator(&mut self) -> Result<CompareOp, SyntaxError> {
        let found = CompareOp::ALL.into_iter().find(|op| self.accept_symbol(op.symbol()));
        found.ok_or_else(|| self.unexpected(&["`==`", "`!=`", "`<`", "`<=`", "`>`", "`>=`"]))
    }

    fn duration(&mut self) -> Result<String, SyntaxError> {
        let TokenKind::Duration(text) = self.kind() else {
            return Err(self.unexpected(&["a length of time such as `30d`"]));
        };
        let text = text.clone();
        self.step();
        Ok(text)
    }

    fn sequence(&mut self) -> Result<Within<WrittenSequence>, SyntaxError> {
        let mut sequence = WrittenSequence { steps: Vec::new(), within: None, window: None };
        let mut deepest = 0;
        loop {
            let ended = sequence.within.is_some() || sequence.window.is_some();
            if sequence.within.is_none() && self.accept_word("within") {
                sequence.within = Some(self.duration()?);
            } else if sequence.window.is_none() && self.accept_word("window") {
                sequence.window = Some(self.duration()?);
            } else if ended {
                return Err(self.unexpected(&["`within`", "`window`", "`)`"]));
            } else {
                let step = self.sequence_step()?;
                deepest = deepest.max(step.deepest);
                sequence.steps.push(step.tree);
            }
            if !self.accept_symbol(",") {
                return Ok(Within { tree: sequence, deepest });
            }
        }
    }

    fn sequence_step(&mut self) -> Result<Within<WrittenStep>, SyntaxError> {
        let absent = self.accept_symbol("!") || self.accept_word("not");
        let mut events = vec![self.event()?];
        while self.accept_word("or") || self.accept_symbol("||") {
            events.push(self.event()?);
        }
        let mut step =
            WrittenStep { absent, events, filter: None, same: None, times: 1, wait: None };
        let mut deepest = 0;
        loop {
            if step.same.is_none() && self.accept_word("same") {
                step.same = Some(self.name()?);
            } else if step.times == 1 && self.accept_word("times") {
                step.times = self.times()?;
            } else if step.wait.is_none() && self.accept_word("for") {
                step.wait = Some(self.duration()?);
            } else if step.filter.is_none() && self.accept_word("where") {
                let filter = self.bracketed(Self::predicate)?;
                deepest = filter.depth;
                step.filter = Some(filter.tree);
            } else {
                return Ok(Within { tree: step, deepest });
            }
        }
    }

    fn times(&mut self) -> Result<u32, SyntaxError> {
        let times = match self.kind() {
            TokenKind::Number(digits) => digits.parse().ok().filter(|times| *times >= 1),
            _ => None,
        };
        let Some(times) = times else { return Err(self.unexpected(&["a number such as `2`"])) };
        self.step();
        Ok(times)
    }
}
