//! All crowds of an app in a row, so that a question about all of them looks up none by its name.

use crate::known::{AppCrowds, KnownCrowd, KnownVersion};
use crate::live::LiveCrowd;
use crate::loaded_sets::RowOfSets;
use crate::{Crowds, Error};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use taghouse_model::Name;
use taghouse_rules::Definitions;

/// The crowds that definitions have, as far as they are known.
pub(crate) struct Roster {
    definitions: Arc<Definitions>,
    known: Arc<HashMap<String, Arc<KnownCrowd>>>,
    /// Those that answer by a version.
    pub(crate) versioned: Vec<Row>,
    /// Their sets, in their order.
    pub(crate) sets: Arc<RowOfSets>,
    /// The generations of these versions.
    pub(crate) generations: BTreeSet<u64>,
    pub(crate) live: Vec<Arc<LiveCrowd>>,
    /// Those that nothing answers for, and why.
    pub(crate) without: Vec<Without>,
}

/// A crowd and the version that answers.
pub(crate) struct Row {
    pub(crate) crowd: Name,
    pub(crate) generation: u64,
    pub(crate) known: Arc<KnownVersion>,
}

/// A crowd that has no version to answer.
pub(crate) struct Without {
    pub(crate) crowd: Name,
    pub(crate) error: Error,
}

impl Crowds {
    /// The crowds that are defined. Kept until the definitions or the versions change.
    pub(crate) fn roster(&self, state: &AppCrowds, definitions: &Arc<Definitions>) -> Arc<Roster> {
        let known = state.all();
        let is_current = |roster: &Arc<Roster>| {
            Arc::ptr_eq(&roster.definitions, definitions) && Arc::ptr_eq(&roster.known, &known)
        };
        if let Some(roster) = state.roster.load_full().filter(is_current) {
            return roster;
        }
        let roster = Arc::new(self.listed(definitions.clone(), known));
        state.roster.store(Some(roster.clone()));
        roster
    }

    fn listed(
        &self,
        definitions: Arc<Definitions>,
        known: Arc<HashMap<String, Arc<KnownCrowd>>>,
    ) -> Roster {
        let (mut versioned, mut live, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for definition in definitions.crowds.values() {
            let crowd = definition.name.clone();
            if definition.is_live {
                live.extend(self.live_crowd(&definitions.app.id, crowd.as_str()));
                continue;
            }
            let not_computed = || Error::NotComputed { crowd: crowd.to_string() };
            let current = known.get(crowd.as_str()).ok_or_else(not_computed);
            match current.and_then(|known| known.current()) {
                Ok(known) => versioned.push(Row {
                    generation: known.version.generation,
                    known: known.clone(),
                    crowd,
                }),
                Err(error) => without.push(Without { crowd, error }),
            }
        }
        let generations = versioned.iter().map(|row| row.generation).collect();
        let sets = Arc::default();
        Roster { definitions, known, versioned, sets, generations, live, without }
    }
}
