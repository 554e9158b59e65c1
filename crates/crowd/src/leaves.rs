use crate::{Crowds, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::Snapshot;
use taghouse_model::{AppId, TimestampMs, Value};
use taghouse_rules::Predicate;

/// What an expression asks for beside the index: other crowds' current versions.
#[derive(Default)]
pub(crate) struct OtherCrowds {
    sets: HashMap<String, Arc<Bitmap>>,
    as_of: AsOf,
}

/// A range of as-of times; empty at first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsOf {
    pub(crate) oldest_ms: Option<TimestampMs>,
    pub(crate) newest_ms: Option<TimestampMs>,
}

impl AsOf {
    fn add(&mut self, as_of_ms: TimestampMs) {
        self.oldest_ms = Some(self.oldest_ms.map_or(as_of_ms, |o| o.min(as_of_ms)));
        self.newest_ms = Some(self.newest_ms.map_or(as_of_ms, |n| n.max(as_of_ms)));
    }
}

impl OtherCrowds {
    pub(crate) fn set(&self, name: &str) -> Option<Arc<Bitmap>> {
        self.sets.get(name).cloned()
    }

    /// The range over these crowds and the tags that `expression` names.
    pub(crate) fn as_of(&self, expression: &Predicate<Value>, snapshot: &Snapshot) -> AsOf {
        let mut as_of = self.as_of;
        expression
            .names()
            .into_iter()
            .filter_map(|name| snapshot.info(name))
            .for_each(|tag| as_of.add(tag.as_of_ms));
        as_of
    }
}

impl Crowds {
    /// The current versions of the crowds that `expression` names, whose ordinals must be of
    /// `generation`.
    pub(crate) async fn others(
        &self,
        app: &AppId,
        expression: &Predicate<Value>,
        generation: u64,
    ) -> Result<OtherCrowds> {
        let mut others = OtherCrowds::default();
        for name in expression.crowds() {
            if self.live_crowd(app, name).is_none() {
                let (_, known) = self.known(app, name).await?;
                if known.current()?.version.generation != generation {
                    // It may be known from before the users were renumbered.
                    self.ask(app, &self.state(app)).await?;
                }
            }
            let asked = self.current(app, name).await?;
            let current = asked.known.clone();
            if current.version.generation != generation {
                return Err(Error::OldGeneration {
                    crowd: name.to_owned(),
                    version: current.version.version,
                });
            }
            others.sets.insert(name.to_owned(), blocking(move || asked.bitmap()).await?);
            [current.version.oldest_as_of_ms, current.version.newest_as_of_ms]
                .into_iter()
                .flatten()
                .for_each(|t| others.as_of.add(t));
        }
        Ok(others)
    }
}
