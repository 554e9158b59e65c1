use crate::crowds::off_thread;
use crate::{Crowds, Error, Result};
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
        let versions = self.known_versions(app, crowd).await?;
        let current = versions.current()?;
        let set = self.set(app, crowd, current).await?;
        // Here and not on another thread: memory answers in well under a microsecond, a block from disk is rare, and the hop costs more.
        let ordinal = self.dictionary.lookup(app, &[user])?.first().copied().flatten();
        let in_crowd = ordinal.is_some_and(|o| set.contains(o));
        Ok(Judgment { in_crowd, version: current.version, unknown_user: ordinal.is_none() })
    }

    /// Every user against every crowd's current version.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_JUDGED_USERS`] or [`MAX_JUDGED_CROWDS`]; as [`Crowds::judge`].
    pub async fn judge_batch(&self, app: &AppId, users: &[String], crowds: &[String]) -> Result<Judgments> {
        check_limit("users", users.len(), MAX_JUDGED_USERS)?;
        check_limit("crowds", crowds.len(), MAX_JUDGED_CROWDS)?;
        let (mut sets, mut versions) = (Vec::new(), Vec::new());
        for crowd in crowds {
            let known = self.known_versions(app, crowd).await?;
            let current = known.current()?;
            sets.push(self.set(app, crowd, current).await?);
            versions.push(current.version);
        }
        let (app, users, dictionary) = (app.clone(), users.to_vec(), Arc::clone(&self.dictionary));
        off_thread(move || {
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            let ordinals = dictionary.lookup(&app, &users)?;
            let row = |ordinal: &Option<u32>| sets.iter().map(|set| ordinal.is_some_and(|o| set.contains(o))).collect();
            let in_crowd = ordinals.iter().map(row).collect();
            Ok(Judgments { in_crowd, versions, unknown_user: ordinals.iter().map(Option::is_none).collect() })
        })
        .await
    }
}

fn check_limit(what: &'static str, given: usize, limit: usize) -> Result<()> {
    if given > limit { Err(Error::Limit { what, given, limit }) } else { Ok(()) }
}
