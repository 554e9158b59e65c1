use crate::crowds::off_thread;
use crate::loaded::LoadedSet;
use crate::{Crowds, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_model::AppId;

/// The most users of one batch of judgments.
pub const MAX_JUDGED_USERS: usize = 1000;
/// The most crowds of one batch of judgments.
pub const MAX_JUDGED_CROWDS: usize = 100;

/// Whether a user is in a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgment {
    /// The answer.
    pub in_crowd: bool,
    /// The crowd's version that gave it.
    pub version: u64,
    /// The user was never seen, and so is in no crowd.
    pub unknown_user: bool,
}

impl Judgment {
    /// Why the answer is what it is, where there is more to say: `unknown_user`.
    pub fn reason(&self) -> Option<&'static str> {
        self.unknown_user.then_some("unknown_user")
    }
}

/// Every user against every crowd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgments {
    /// One row a user, one answer a crowd, both in the order asked.
    pub in_crowd: Vec<Vec<bool>>,
    /// The version of each crowd that answered.
    pub versions: Vec<u64>,
    /// Which of the users were never seen.
    pub unknown_user: Vec<bool>,
}

impl Crowds {
    /// Whether a user is in a crowd's current version.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`] with a suggestion, [`Error::NotComputed`], [`Error::OldGeneration`]; of the catalog, the store and the
    /// dictionary. An unknown user is an answer.
    pub async fn judge(&self, app: &AppId, user: &str, crowd: &str) -> Result<Judgment> {
        let (current, set, dictionary) = self.current(app, crowd).await?;
        // Here and not on another thread: memory answers in well under a microsecond, a block from disk is rare, and the hop costs more.
        let ordinal = dictionary.lookup(&[user])?.first().copied().flatten();
        let in_crowd = ordinal.map_or(Ok(false), |o| set.contains(o))?;
        Ok(Judgment { in_crowd, version: current.version, unknown_user: ordinal.is_none() })
    }

    /// Every user against every crowd's current version.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_JUDGED_USERS`] or [`MAX_JUDGED_CROWDS`]; as [`Crowds::judge`].
    pub async fn judge_batch(&self, app: &AppId, users: &[String], crowds: &[String]) -> Result<Judgments> {
        check_limit("users", users.len(), MAX_JUDGED_USERS)?;
        check_limit("crowds", crowds.len(), MAX_JUDGED_CROWDS)?;
        let (mut sets, mut versions, mut views) = (Vec::new(), Vec::new(), BTreeMap::new());
        for crowd in crowds {
            let (current, set, dictionary) = self.current(app, crowd).await?;
            sets.push((current.generation, set));
            versions.push(current.version);
            views.insert(current.generation, dictionary);
        }
        if views.is_empty() {
            views.extend(self.dictionary.view(app, self.dictionary.generation(app)).map(|view| (view.generation(), view)));
        }
        let users = users.to_vec();
        off_thread(move || {
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            // Two only while the users are numbered anew.
            let mut ordinals = BTreeMap::new();
            for (generation, view) in views {
                ordinals.insert(generation, view.lookup(&users)?);
            }
            let ordinal = |generation: &u64, user: usize| ordinals.get(generation).and_then(|of| of.get(user).copied().flatten());
            let holds = |user, (generation, set): &(u64, Arc<LoadedSet>)| ordinal(generation, user).map_or(Ok(false), |o| set.contains(o));
            let row = |user| sets.iter().map(|set| holds(user, set)).collect::<Result<Vec<bool>>>();
            let in_crowd = (0..users.len()).map(row).collect::<Result<_>>()?;
            let known = |user| ordinals.keys().any(|generation| ordinal(generation, user).is_some());
            Ok(Judgments { in_crowd, versions, unknown_user: (0..users.len()).map(|user| !known(user)).collect() })
        })
        .await
    }
}

fn check_limit(what: &'static str, given: usize, limit: usize) -> Result<()> {
    if given > limit { Err(Error::Limit { what, given, limit }) } else { Ok(()) }
}
