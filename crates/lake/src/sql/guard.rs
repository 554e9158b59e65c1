//! What a query may be: one SELECT or WITH, nothing that writes, sets or explains.

use crate::{Error, Result};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Deeper nested queries are refused by the parser.
const MAX_DEPTH: usize = 64;
/// Longer queries are refused.
const MAX_BYTES: usize = 128 << 10;
/// Every operator and keyword may nest the query one level deeper; with more of them it is refused
/// before it is parsed.
const MAX_OPERATORS: usize = 4_000;
/// Deeper expressions and plans are refused: they are evaluated on the runtime's threads, whose
/// stacks are small. A chain of ORs is as deep as it is long.
const MAX_PLAN_DEPTH: usize = 500;

/// Parses the query.
///
/// # Errors
/// [`Error::Invalid`] with the parser's place, or with what is not allowed.
pub(super) fn read_only(query: &str) -> Result<Statement> {
    if query.len() > MAX_BYTES {
        return Err(Error::Invalid(format!(
            "the query has {} bytes, more than {MAX_BYTES}: put long lists into a table",
            query.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, query).tokenize();
    let tokens = tokens.map_err(|e| Error::Invalid(format!("the query is not valid SQL: {e}")))?;
    let operators = tokens.iter().filter(|t| may_nest(t)).count();
    if operators > MAX_OPERATORS {
        return Err(Error::Invalid(format!(
            "the query has {operators} operators and keywords, more than {MAX_OPERATORS}: write IN (…) for long chains of OR"
        )));
    }
    let wrong = |e: datafusion::error::DataFusionError| {
        Error::Invalid(format!("the query is not valid SQL: {}", super::failure::plain(&e)))
    };
    let mut parser: DFParser<'_> = DFParserBuilder::new(query)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .build()
        .map_err(wrong)?;
    let mut statements = parser.parse_statements().map_err(wrong)?;
    let (Some(statement), None) = (statements.pop_front(), statements.pop_front()) else {
        return Err(Error::Invalid(
            "give one SELECT: the query holds none, or several statements".to_owned(),
        ));
    };
    if let Statement::Statement(inner) = &statement
        && let SqlStatement::Query(query) = inner.as_ref()
        && reads(&query.body)
    {
        return Ok(statement);
    }
    let shown: String =
        statement.to_string().split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Err(Error::Invalid(format!(
        "\"{shown} …\" is not allowed: the lake answers one SELECT (or WITH … SELECT) and changes nothing"
    )))
}

/// Parentheses may too, but the parser bounds those.
fn may_nest(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::EOF
        | Token::LParen
        | Token::RParen => false,
        Token::Number(..) | Token::SingleQuotedString(_) => false,
        _ => true,
    }
}

/// Refuses plans and expressions that are nested too deep. Recursive itself: runs on the planning
/// stack.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn shallow(plan: &LogicalPlan) -> Result<()> {
    let depth = plan_depth(plan).map_err(|e| super::failure::failure(&e))?;
    if depth > MAX_PLAN_DEPTH {
        return Err(Error::Invalid(format!(
            "the query nests {depth} deep, more than {MAX_PLAN_DEPTH}: write IN (…) for long chains of OR"
        )));
    }
    Ok(())
}

fn plan_depth(plan: &LogicalPlan) -> DataFusionResult<usize> {
    let mut deepest = 0;
    plan.apply_expressions(|e| {
        deepest = deepest.max(expression_depth(e)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    plan.apply_children(|child| {
        deepest = deepest.max(plan_depth(child)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    plan.apply_subqueries(|child| {
        deepest = deepest.max(plan_depth(child)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(deepest + 1)
}

fn expression_depth(expression: &Expr) -> DataFusionResult<usize> {
    let mut deepest = 0;
    expression.apply_children(|child| {
        deepest = deepest.max(expression_depth(child)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(deepest + 1)
}

fn reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => reads(left) && reads(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}
