use crate::check::{Names, Scope};
use crate::parse::predicate_with_leaves;
use crate::{Predicate, Result, SyntaxError};
use std::ops::Range;
use taghouse_model::Value;

/// A condition that was read but not checked yet. It is parsed once: where each leaf stands in the
/// text is kept, so that a failing check can point at it.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedPredicate {
    tree: Predicate,
    /// `None`: it was JSON.
    source: Option<Source>,
}

#[derive(Debug, Clone, PartialEq)]
struct Source {
    text: String,
    /// The byte range of each leaf, in the order of a walk from left to right.
    leaves: Vec<Range<usize>>,
}

impl ParsedPredicate {
    /// Reads the text form.
    ///
    /// # Errors
    /// As [`parse_predicate`](crate::parse_predicate).
    pub fn parse(text: &str) -> std::result::Result<Self, SyntaxError> {
        let (tree, leaves) = predicate_with_leaves(text)?;
        Ok(Self { tree, source: Some(Source { text: text.to_owned(), leaves }) })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// As [`Predicate::from_json`].
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        Ok(Self { tree: Predicate::from_json(json)?, source: None })
    }

    /// The condition.
    pub fn tree(&self) -> &Predicate {
        &self.tree
    }

    /// Checks the condition against the names that it may use.
    ///
    /// # Errors
    /// [`crate::Error::Syntax`], with a caret at the place in the text; [`crate::Error::Check`] if
    /// it was JSON.
    pub fn check(&self, names: Names<'_>) -> Result<Predicate<Value>> {
        self.check_in(names.scope())
    }

    /// The same in any scope.
    pub(crate) fn check_in(&self, scope: Scope<'_>) -> Result<Predicate<Value>> {
        self.tree.check_in(scope, &mut 0).map_err(|error| match &self.source {
            Some(source) => error.point_at(&source.text, &source.leaves).into(),
            None => error.into(),
        })
    }

    pub(crate) fn into_tree(self) -> Predicate {
        self.tree
    }
}
