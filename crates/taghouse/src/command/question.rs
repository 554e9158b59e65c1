//! Questions about many users, to the command that asks each.

use super::Context;
use crate::args::Command;
use anyhow::Result;

/// Asks a question about many users.
pub(crate) async fn ask(context: &Context, question: &Command) -> Result<()> {
    match question {
        Command::Count { expression, strict_as_of } => {
            super::ask::count(context, expression, *strict_as_of).await
        }
        Command::List { expression, limit, after } => {
            super::ask::list(context, expression, *limit, after.as_deref()).await
        }
        Command::Top { tag, expression, limit } => {
            super::top::top(context, tag, expression.as_deref(), *limit).await
        }
        Command::Group(arguments) => super::group::group(context, arguments).await,
        Command::Histogram(arguments) => super::histogram::histogram(context, arguments).await,
        Command::Overlap(arguments) => super::overlap::overlap(context, arguments).await,
        Command::Compare(arguments) => super::compare::compare(context, arguments).await,
        Command::Effect(arguments) => super::effect::effect(context, arguments).await,
        Command::Lookalike(arguments) => super::lookalike::lookalike(context, arguments).await,
        Command::Sample { expression, size, seed } => {
            super::ask::sample(context, expression, *size, *seed).await
        }
        _ => Ok(()),
    }
}
