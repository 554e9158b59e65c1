//! Cohorts and expressions: functions of a user's other tag values.

use crate::batch::{TagValues, ValuesBuilder};

use crate::column::{Columns, Expression, Rows};
use crate::{Outcome, Result};
use arrow::array::{Array, ArrayRef};
use std::ops::Range;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CohortRule, Condition, Expression as TagExpression};

/// A cohort or expression tag, compiled against the types of the tags it uses.
#[derive(Debug, Clone)]
pub struct DerivedFold {
    columns: Columns,
    body: Body,
    tag_type: ValueType,
}

#[derive(Debug, Clone)]
enum Body {
    Cohort { rules: Vec<(Condition, Value)>, otherwise: Option<Value> },
    Condition(Condition),
    Scalar(Expression),
}

impl DerivedFold {
    /// The first rule that holds gives the value, else `otherwise`.
    pub fn cohort(
        rules: &[CohortRule],
        otherwise: Option<&Value>,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
    ) -> Self {
        let mut columns = Columns::default();
        let rules = rules
            .iter()
            .map(|rule| (columns.condition(&rule.when, types), rule.value.clone()))
            .collect();
        Self { columns, body: Body::Cohort { rules, otherwise: otherwise.cloned() }, tag_type }
    }

    /// A computed value, or whether a condition holds: true or false, for every user.
    pub fn expression(
        expression: &TagExpression,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
    ) -> Self {
        let mut columns = Columns::default();
        let body = match expression {
            TagExpression::Scalar(scalar) => {
                Body::Scalar(Expression::compile(scalar, &mut columns, types))
            }
            TagExpression::Condition(condition) => {
                Body::Condition(columns.condition(condition, types))
            }
        };
        Self { columns, body, tag_type }
    }

    /// The tags that it looks at.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name)
    }

    /// The values of the users in `range`; `find` gives the values of a tag, one a user.
    ///
    /// # Errors
    /// [`crate::Error::Column`] if a tag's values are of another type than said.
    pub fn values<'a>(
        &'a self,
        range: Range<usize>,
        find: &dyn Fn(&str) -> Option<&'a ArrayRef>,
    ) -> Result<TagValues> {
        let rows = Rows::bind(&self.columns, &|name| find(name).map(|array| array as &dyn Array))?;
        let mut values = ValuesBuilder::new(self.tag_type);
        range.for_each(|row| values.push(self.outcome(&rows, row)));
        Ok(values.finish())
    }

    fn outcome(&self, rows: &Rows<'_>, row: usize) -> Outcome {
        let value = match &self.body {
            Body::Cohort { rules, otherwise } => rules
                .iter()
                .find(|(when, _)| when.holds(&rows.at(row)))
                .map(|(_, value)| value.clone())
                .or_else(|| otherwise.clone()),
            Body::Condition(condition) => Some(Value::Bool(condition.holds(&rows.at(row)))),
            Body::Scalar(expression) => {
                return Outcome::fitted(
                    expression.compute(rows, row).fit(self.tag_type),
                    self.tag_type,
                );
            }
        };
        value.map_or(Outcome::Nothing, |value| Outcome::of(value, self.tag_type))
    }
}
