use crate::crowds::Answering;
use crate::{CrowdVersion, Crowds, Error, Result};
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
    pub(crate) fn add(&mut self, as_of_ms: TimestampMs) {
        self.oldest_ms = Some(self.oldest_ms.map_or(as_of_ms, |o| o.min(as_of_ms)));
        self.newest_ms = Some(self.newest_ms.map_or(as_of_ms, |n| n.max(as_of_ms)));
    }
}

impl OtherCrowds {
    pub(crate) fn set(&self, name: &str) -> Option<Arc<Bitmap>> {
        self.sets.get(name).cloned()
    }

    /// Adds a crowd's set.
    pub(crate) fn put(&mut self, name: &str, set: Arc<Bitmap>) {
        self.sets.insert(name.to_owned(), set);
    }

    /// The as-of times of what a crowd used belong to these crowds too.
    pub(crate) fn widen(&mut self, as_of: AsOf) {
        [as_of.oldest_ms, as_of.newest_ms].into_iter().flatten().for_each(|t| self.as_of.add(t));
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
            let asked = self.other(app, name, generation).await?;
            others.widen(asked.known.version.as_of());
            others.put(name, blocking(move || asked.bitmap()).await?);
        }
        Ok(others)
    }

    /// The current version of a crowd that an expression names, whose ordinals must be of
    /// `generation`.
    pub(crate) async fn other(
        &self,
        app: &AppId,
        name: &str,
        generation: u64,
    ) -> Result<Answering> {
        if self.live_crowd(app, name).is_none() {
            let (_, known) = self.known(app, name).await?;
            if known.current()?.version.generation != generation {
                // It may be known from before the users were renumbered.
                self.ask(app, &self.state(app)).await?;
            }
        }
        let asked = self.current(app, name).await?;
        let CrowdVersion { generation: of, version, .. } = asked.known.version;
        if of != generation {
            return Err(Error::OldGeneration { crowd: name.to_owned(), version });
        }
        Ok(asked)
    }
}
