//! What the words of a query ask for, before anything is made of them: functions, patterns, how
//! often tables are read.

use super::functions::{Functions, refused};
use crate::{Error, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName,
    Query, Value, Visit, Visitor,
};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// A query that is named in WITH is planned once for each place that reads it, and so are those
/// that it reads.
const MAX_READS: u64 = 200;
/// A text may end up in every row.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// The time that a pattern takes grows with its length times that of the text.
const MAX_PATTERN_BYTES: usize = 500;
/// The size of a regular expression once its counted repetitions are expanded.
const MAX_REGEX_BYTES: usize = 128 << 10;

/// Refuses what no query needs and what would take the planner or the process down.
///
/// # Errors
/// [`Error::Invalid`] names it.
pub(super) fn check(statement: &Statement, functions: &Functions) -> Result<()> {
    let Statement::Statement(inner) = statement else { return Ok(()) };
    let allowed = functions.names().collect();
    let mut reader =
        Reader { allowed, within: Vec::new(), reads_of: HashMap::new(), named: HashMap::new() };
    match inner.visit(&mut reader) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Reader<'a> {
    allowed: HashSet<&'a str>,
    /// Tables read so far in each query that is being read, outermost first.
    within: Vec<u64>,
    /// Tables read by each query named in WITH.
    reads_of: HashMap<String, u64>,
    /// The queries of WITH, by their address, with their names.
    named: HashMap<*const Query, String>,
}

impl Reader<'_> {
    fn function(&self, function: &Function) -> Result<()> {
        let name = function.name.to_string().to_lowercase();
        if !self.allowed.contains(name.as_str()) {
            return Err(refused(&name));
        }
        let argument = |place: usize| match &function.args {
            FunctionArguments::List(list) => list.args.get(place).and_then(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            }),
            _ => None,
        };
        if name.starts_with("regexp_") {
            regular(argument(1), &name)?;
        }
        // Values of fixed size are as large as their type says, be they null.
        if name == "arrow_cast" && argument(1).and_then(text).is_none_or(|ty| ty.contains("Fixed"))
        {
            return Err(Error::Invalid(
                "arrow_cast takes a type without \"Fixed\" in single quotes".to_owned(),
            ));
        }
        Ok(())
    }

    fn expression(&self, expression: &Expr) -> Result<()> {
        match expression {
            Expr::Function(function) => self.function(function),
            Expr::Cube(_) | Expr::Rollup(_) | Expr::GroupingSets(_) => Err(Error::Invalid(
                "CUBE, ROLLUP and GROUPING SETS are not allowed: group by columns".to_owned(),
            )),
            Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } => {
                literal(Some(pattern.as_ref()), "LIKE").map(|_| ())
            }
            Expr::SimilarTo { pattern, .. } | Expr::RLike { pattern, .. } => {
                regular(Some(pattern.as_ref()), "SIMILAR TO")
            }
            Expr::BinaryOp { op, right, .. } => match op {
                BinaryOperator::PGRegexMatch
                | BinaryOperator::PGRegexIMatch
                | BinaryOperator::PGRegexNotMatch
                | BinaryOperator::PGRegexNotIMatch => {
                    regular(Some(right.as_ref()), &op.to_string())
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Visitor for Reader<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if let Some(with) = &query.with {
            if with.recursive {
                return ControlFlow::Break(Error::Invalid(
                    "WITH RECURSIVE is not allowed: such a query may never end; write WITH without it".to_owned(),
                ));
            }
            for cte in &with.cte_tables {
                self.named.insert(
                    std::ptr::from_ref(cte.query.as_ref()),
                    cte.alias.name.value.to_lowercase(),
                );
            }
        }
        self.within.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let reads = self.within.pop().unwrap_or(0);
        match (self.named.get(&std::ptr::from_ref(query)), self.within.last_mut()) {
            (Some(name), _) => {
                // Of two of one name the larger counts, wherever each is seen.
                let known = self.reads_of.entry(name.clone()).or_insert(1);
                *known = reads.max(*known);
            }
            (None, Some(outer)) => *outer = outer.saturating_add(reads),
            (None, None) if reads > MAX_READS => {
                return ControlFlow::Break(Error::Invalid(format!(
                    "the query reads tables at {reads} places, those within WITH counted each time they are named, more than {MAX_READS}"
                )));
            }
            (None, None) => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let name = relation
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map(|ident| ident.value.to_lowercase());
        let reads = name.and_then(|name| self.reads_of.get(&name).copied()).unwrap_or(1);
        if let Some(within) = self.within.last_mut() {
            *within = within.saturating_add(reads);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Error> {
        self.expression(expression).map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_value(&mut self, value: &Value) -> ControlFlow<Error> {
        match value.clone().into_string() {
            Some(text) if text.len() > MAX_TEXT_BYTES => {
                ControlFlow::Break(Error::Invalid(format!(
                    "a text of the query has {} bytes, more than {MAX_TEXT_BYTES}: put it into the data",
                    text.len()
                )))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The text that stands there, if it is one and nothing to be computed.
fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => value.value.clone().into_string(),
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}

fn literal(pattern: Option<&Expr>, of: &str) -> Result<String> {
    match pattern.and_then(text) {
        Some(pattern) if pattern.len() <= MAX_PATTERN_BYTES => Ok(pattern),
        Some(pattern) => Err(Error::Invalid(format!(
            "the pattern of {of} has {} bytes, more than {MAX_PATTERN_BYTES}: shorten it",
            pattern.len()
        ))),
        None => Err(Error::Invalid(format!(
            "the pattern of {of} must be a text in single quotes, not computed: use contains, starts_with or strpos to look for a computed text"
        ))),
    }
}

fn regular(pattern: Option<&Expr>, of: &str) -> Result<()> {
    let pattern = literal(pattern, of)?;
    match regex::RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).build() {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => Err(Error::Invalid(format!(
            "the regular expression '{pattern}' of {of} is too large: use smaller repetitions"
        ))),
        Err(error) => Err(Error::Invalid(format!(
            "the regular expression '{pattern}' of {of} is not valid: {error}"
        ))),
    }
}
