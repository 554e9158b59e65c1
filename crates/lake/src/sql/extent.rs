//! How large a plan may become. The optimizer writes the expressions of one level in the place of
//! their names in the next, so that `v + v` of `v + v` of … doubles at each level, and planning it
//! takes all memory.

use super::bounded::constant_check;
use super::functions::Functions;
use crate::{Error, Result};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator};

/// Steps of a plan.
const MAX_STEPS: usize = 4_000;
/// Parts of all expressions, once those of other levels stand in them.
const MAX_PARTS: u64 = 100_000;

fn invalid(message: String) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Invalid(message)))
}

/// Refuses plans that are too large, or that would become so.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut extent = Extent { steps: 0, parts: 0 };
    extent.columns(plan).map(|_| ()).map_err(|e| super::failure::failure(&e))
}

struct Extent {
    steps: usize,
    parts: u64,
}

impl Extent {
    /// Of each column that the plan gives, the parts of the expression that it stands for.
    fn columns(&mut self, plan: &LogicalPlan) -> DataFusionResult<Vec<u64>> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(invalid(format!(
                "the query comes to more than {MAX_STEPS} steps: make it smaller"
            )));
        }
        plan.apply_subqueries(|inner| self.columns(inner).map(|_| TreeNodeRecursion::Continue))?;
        let inputs = plan
            .inputs()
            .into_iter()
            .map(|input| self.columns(input))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let schemas: Vec<&DFSchema> =
            plan.inputs().into_iter().map(|input| input.schema().as_ref()).collect();
        let known: Vec<(&DFSchema, &Vec<u64>)> = schemas.into_iter().zip(&inputs).collect();
        let mut sizes = Vec::new();
        plan.apply_expressions(|expression| {
            let size = parts(expression, &known)?;
            self.parts = self.parts.saturating_add(size);
            sizes.push(size);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if self.parts > MAX_PARTS {
            return Err(invalid(format!(
                "the expressions of the query come to more than {MAX_PARTS} parts, those it names in other levels written out: compute less, or name intermediate results with a GROUP BY"
            )));
        }
        let width = plan.schema().fields().len();
        let all: Vec<u64> = inputs.iter().flatten().copied().collect();
        Ok(match plan {
            LogicalPlan::Projection(_) => sizes,
            LogicalPlan::Union(_) => (0..width)
                .map(|place| {
                    inputs.iter().filter_map(|input| input.get(place)).copied().max().unwrap_or(1)
                })
                .collect(),
            // What it groups by may move to the other side of it; what it aggregates does not.
            LogicalPlan::Aggregate(aggregate) => {
                let groups = aggregate.group_expr.len().min(width);
                sizes
                    .into_iter()
                    .take(groups)
                    .chain(std::iter::repeat_n(1, width - groups))
                    .collect()
            }
            _ if all.len() == width => all,
            _ => {
                let largest = all.iter().copied().max().unwrap_or(1);
                vec![largest; width]
            }
        })
    }
}

fn parts(expression: &Expr, known: &[(&DFSchema, &Vec<u64>)]) -> DataFusionResult<u64> {
    let mut parts = 0_u64;
    expression.apply(|part| {
        let size = match part {
            Expr::Column(column) => {
                let of = |(schema, sizes): &(&DFSchema, &Vec<u64>)| {
                    sizes.get(schema.maybe_index_of_column(column)?).copied()
                };
                known.iter().find_map(of).unwrap_or(1)
            }
            Expr::Cast(cast) => fixed(&cast.data_type).map(|()| 1)?,
            Expr::TryCast(cast) => fixed(&cast.data_type).map(|()| 1)?,
            _ => 1,
        };
        parts = parts.saturating_add(size);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(parts)
}

/// Values of fixed size are as large as their type says, be they null.
fn fixed(ty: &DataType) -> DataFusionResult<()> {
    match ty {
        DataType::FixedSizeBinary(_) | DataType::FixedSizeList(..) => Err(invalid(format!(
            "the type {ty} of a fixed size is not allowed: leave the size out"
        ))),
        DataType::List(field) | DataType::LargeList(field) => fixed(field.data_type()),
        _ => Ok(()),
    }
}

/// The plan with growing functions behind their bounds, also where the planner put them in by
/// itself.
///
/// # Errors
/// [`Error::Invalid`] names a function that is not allowed.
pub(super) fn bounded(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let changed = expression.transform_up(|part| bounded_part(part, functions))?;
            Ok(if changed.transformed {
                Transformed::yes(name.restore(changed.data))
            } else {
                changed
            })
        })
    });
    rewritten.map(|plan| plan.data).map_err(|e| super::failure::failure(&e))
}

fn bounded_part(part: Expr, functions: &Functions) -> DataFusionResult<Transformed<Expr>> {
    match part {
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            match functions.instead_of(&func).map_err(|e| DataFusionError::External(Box::new(e)))? {
                Some(bounded) => Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction {
                    func: bounded.clone(),
                    args,
                }))),
                None => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let args = vec![*left, *right];
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction {
                func: functions.joined().clone(),
                args,
            })))
        }
        Expr::AggregateFunction(AggregateFunction { ref func, .. }) => {
            allowed(
                functions.aggregate.iter().any(|known| known.name() == func.name()),
                func.name(),
            )?;
            Ok(Transformed::no(part))
        }
        Expr::WindowFunction(ref window) => {
            let known = match &window.fun {
                WindowFunctionDefinition::AggregateUDF(f) => {
                    functions.aggregate.iter().any(|known| known.name() == f.name())
                }
                WindowFunctionDefinition::WindowUDF(f) => {
                    functions.window.iter().any(|known| known.name() == f.name())
                }
            };
            allowed(known, window.fun.name())?;
            Ok(Transformed::no(part))
        }
        part => Ok(Transformed::no(part)),
    }
}

fn allowed(known: bool, name: &str) -> DataFusionResult<()> {
    if known {
        Ok(())
    } else {
        Err(DataFusionError::External(Box::new(super::functions::refused(name))))
    }
}

/// How many calls of growing functions the plan has.
///
/// # Errors
/// [`Error::Invalid`] of a call with constants that is over its bounds: the optimizer leaves it as
/// it is, and the query would only fail when it runs.
pub(super) fn growing_calls(plan: &LogicalPlan) -> Result<usize> {
    let mut calls = 0;
    let counted = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && let Some(check) = constant_check(&call.func)
                {
                    calls += 1;
                    let constant = |arg: &Expr| {
                        if let Expr::Literal(value, _) = arg {
                            Some(ColumnarValue::Scalar(value.clone()))
                        } else {
                            None
                        }
                    };
                    if let Some(args) = call.args.iter().map(constant).collect::<Option<Vec<_>>>() {
                        check(&args)?;
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    counted.map(|_| calls).map_err(|e| super::failure::failure(&e))
}
