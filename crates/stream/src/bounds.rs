//! How large the states of live tags can become, by their definitions.

use crate::Result;
use crate::plan::{LiveKind, StreamPlan};
use std::sync::Arc;
use taghouse_fold::StateBound;
use taghouse_model::Name;
use taghouse_rules::Definitions;

/// The most that is kept of one user under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagBound {
    /// Name of the tag.
    pub name: Name,
    /// The bytes, or why there is no bound.
    pub bound: StateBound,
}

/// The bounds of the live tags that have states, those of crowds' conditions among them, in order of
/// name. Tags that are computed from others have none.
///
/// # Errors
/// Of the fold, for definitions that do not go together.
pub fn state_bounds(definitions: &Arc<Definitions>) -> Result<Vec<TagBound>> {
    let Some(plan) = StreamPlan::new(definitions)? else { return Ok(Vec::new()) };
    let bound = |(number, tag): (usize, &crate::plan::LiveTag)| {
        let bound = match &tag.kind {
            LiveKind::OverEvents => plan.fold.tag(number).bound(),
            LiveKind::Attribute { fold, .. } => fold.bound(),
            LiveKind::Derived(_) => return None,
        };
        Some(TagBound { name: tag.name.clone(), bound })
    };
    let mut bounds: Vec<TagBound> = plan.tags.iter().enumerate().filter_map(bound).collect();
    bounds.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bounds)
}
