//! How much the states of live tags that are applied can come to.

use crate::apply::{PlannedAction, PlannedChange};
use crate::{Engine, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_model::Name;
use taghouse_rules::{CrowdDefinition, Definitions};
use taghouse_stream::{StateBound, Unbounded, state_bounds};

/// The state of a live tag, or of a condition of live crowds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSize {
    /// `tag`, or `crowd` for a condition that a live crowd has.
    pub kind: &'static str,
    /// Name of the tag, or of the crowd.
    pub name: String,
    /// The most bytes that are kept of one user, or why there is no bound.
    pub per_user: std::result::Result<u64, Unbounded>,
}

/// The states of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateSizes {
    /// Of each live tag and each condition of a live crowd that the files name, in order of kind and
    /// name. Tags that are computed from others have no state.
    pub states: Vec<StateSize>,
    /// Users that the app has now.
    pub users: u64,
}

impl Engine {
    /// The states of the live tags and crowds among the changes.
    pub(crate) fn state_sizes(
        &self,
        definitions: &Arc<Definitions>,
        changes: &[PlannedChange],
    ) -> Result<StateSizes> {
        let named = |kind: &str, name: &Name| {
            changes.iter().any(|change| {
                change.kind == kind
                    && change.name == name.as_str()
                    && change.action != PlannedAction::Delete
            })
        };
        let users_of = conditions(definitions);
        let mut states = Vec::new();
        for of in state_bounds(definitions)? {
            let per_user = match of.bound {
                StateBound::Bytes(bytes) => Ok(bytes),
                StateBound::Unbounded(why) => Err(why),
            };
            let Some(crowds) = users_of.get(&of.name) else {
                if named("tag", &of.name) {
                    states.push(StateSize { kind: "tag", name: of.name.to_string(), per_user });
                }
                continue;
            };
            // Equal conditions are one, and stand with each crowd that has them.
            for crowd in crowds.iter().filter(|crowd| named("crowd", crowd)) {
                states.push(StateSize { kind: "crowd", name: crowd.to_string(), per_user });
            }
        }
        states.sort_by(|a, b| (b.kind, &a.name).cmp(&(a.kind, &b.name)));
        let users = u64::from(self.dictionary.len(&definitions.app.id));
        Ok(StateSizes { states, users })
    }
}

/// The live crowds of each tag that stands for a condition.
fn conditions(definitions: &Definitions) -> BTreeMap<Name, BTreeSet<Name>> {
    let mut crowds: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    let of_crowd = |crowd: &CrowdDefinition| {
        let names = crowd.tags().into_iter().map(str::to_owned);
        names.collect::<Vec<String>>()
    };
    for crowd in definitions.crowds.values() {
        for name in of_crowd(crowd) {
            if let Some(tag) = definitions.tags.get(name.as_str()).filter(|tag| tag.is_anonymous())
            {
                crowds.entry(tag.name.clone()).or_default().insert(crowd.name.clone());
            }
        }
    }
    crowds
}
