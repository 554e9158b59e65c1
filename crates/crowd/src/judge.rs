use crate::crowds::Answering;
use crate::{Crowds, Error, Result};
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal, TimestampMs};

/// The most users of one batch of judgments.
pub const MAX_JUDGED_USERS: usize = 1000;
/// The most crowds of one batch of judgments.
pub const MAX_JUDGED_CROWDS: usize = 100;
/// Up to this many judgments are made on the calling thread: they take less time than a switch to
/// another thread.
const JUDGED_HERE: usize = 1000;

/// Whether a user is in a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgment {
    /// Whether the user is in the crowd.
    pub in_crowd: bool,
    /// The version of the crowd that was asked; 0 of a live one, which has none.
    pub version: u64,
    /// The user was never seen, and so is in no crowd.
    pub unknown_user: bool,
    /// How long ago the catalog last said that this is the current version, in ms.
    pub age_ms: u64,
    /// The oldest as-of time of the tags that the version was computed from; `None`: it used none,
    /// or the crowd is live.
    pub as_of_ms: Option<TimestampMs>,
}

impl Judgment {
    /// Of a live crowd.
    pub(crate) fn of_live(in_crowd: bool, unknown_user: bool) -> Self {
        Self { in_crowd, version: 0, unknown_user, age_ms: 0, as_of_ms: None }
    }

    /// Why the answer is what it is, where there is more to say: `unknown_user`.
    pub fn reason(&self) -> Option<&'static str> {
        self.unknown_user.then_some("unknown_user")
    }
}

/// Which of some users are in which of some crowds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgments {
    /// One row per user, one answer per crowd, both in the order asked.
    pub in_crowd: Vec<Vec<bool>>,
    /// The version of each crowd.
    pub versions: Vec<u64>,
    /// The oldest as-of time of the tags that each version was computed from; `None`: it used none,
    /// or the crowd is live.
    pub as_of_ms: Vec<Option<TimestampMs>>,
    /// Which of the users were never seen.
    pub unknown_user: Vec<bool>,
    /// How long ago the catalog last said that these are the current versions, in ms.
    pub age_ms: u64,
}

impl Crowds {
    /// Whether a user is in a crowd's current version, or, where it is live, matches its rule now.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`] with a suggestion, [`Error::NotComputed`], [`Error::OldGeneration`];
    /// [`Error::Unread`] when the catalog fails before the app's crowds were ever read; of the
    /// store and the dictionary. An unknown user is an answer.
    pub async fn judge(&self, app: &AppId, user: &str, crowd: &str) -> Result<Judgment> {
        if let Some(live) = self.live_crowd(app, crowd) {
            return self.judge_live(app, user, &live).await;
        }
        let asked = self.current(app, crowd).await?;
        // On this thread: reads from memory take well under a microsecond and reads from disk are
        // rare, so a switch to another thread would cost more.
        let ordinal = asked.dictionary.ordinal(&self.user_of(app, user).await)?;
        let in_crowd = ordinal.map_or(Ok(false), |ordinal| asked.contains(ordinal))?;
        let age_ms = self.age_ms(&self.state(app));
        Ok(Judgment {
            in_crowd,
            version: asked.known.version.version,
            unknown_user: ordinal.is_none(),
            age_ms,
            as_of_ms: asked.known.version.oldest_as_of_ms,
        })
    }

    /// Which of some users are in the current versions of which crowds.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_JUDGED_USERS`] or [`MAX_JUDGED_CROWDS`]; as [`Crowds::judge`].
    pub async fn judge_batch(
        &self,
        app: &AppId,
        users: &[String],
        crowds: &[String],
    ) -> Result<Judgments> {
        Error::limit("users", users.len(), MAX_JUDGED_USERS)?;
        Error::limit("crowds", crowds.len(), MAX_JUDGED_CROWDS)?;
        let mut own = Vec::with_capacity(users.len());
        for user in users {
            own.push(self.user_of(app, user).await.into_owned());
        }
        let users = own;
        let mut asked = Vec::with_capacity(crowds.len());
        for crowd in crowds {
            asked.push(self.current(app, crowd).await?);
        }
        let view = || self.dictionary.view(app, self.dictionary.generation(app));
        let batch = Batch {
            alone: if asked.is_empty() { view() } else { None },
            asked,
            age_ms: self.age_ms(&self.state(app)),
        };
        if users.len() * crowds.len().max(1) <= JUDGED_HERE {
            return batch.judge(&users);
        }
        blocking(move || batch.judge(&users)).await
    }
}

/// Crowds that are asked together.
struct Batch {
    asked: Vec<Answering>,
    /// The dictionary, if there is no crowd that brings one.
    alone: Option<View>,
    age_ms: u64,
}

/// The ordinals of the users in one generation of the dictionary.
struct LookedUp {
    generation: u64,
    /// Of each user, in the order asked; `None`: the user is unknown.
    ordinals: Vec<Option<Ordinal>>,
}

impl LookedUp {
    fn ordinal(&self, user: usize) -> Option<Ordinal> {
        self.ordinals.get(user).copied().flatten()
    }
}

impl Batch {
    fn judge(self, users: &[String]) -> Result<Judgments> {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        // Two only while the users are renumbered.
        let mut looked_up: Vec<LookedUp> = Vec::with_capacity(1);
        for view in self.asked.iter().map(|asked| &asked.dictionary).chain(&self.alone) {
            let generation = view.generation();
            if looked_up.iter().all(|known| known.generation != generation) {
                looked_up.push(LookedUp { generation, ordinals: view.lookup(&users)? });
            }
        }
        let contains = |asked: &Answering, user: usize| {
            let generation = asked.dictionary.generation();
            let ordinals = looked_up.iter().find(|known| known.generation == generation);
            ordinals
                .and_then(|known| known.ordinal(user))
                .map_or(Ok(false), |ordinal| asked.contains(ordinal))
        };
        let row = |user| -> Result<Vec<bool>> {
            // A collection of results does not know its length, and would grow step by step.
            let mut row = Vec::with_capacity(self.asked.len());
            for asked in &self.asked {
                row.push(contains(asked, user)?);
            }
            Ok(row)
        };
        Ok(Judgments {
            in_crowd: (0..users.len()).map(row).collect::<Result<_>>()?,
            versions: self.asked.iter().map(|asked| asked.known.version.version).collect(),
            as_of_ms: self.asked.iter().map(|a| a.known.version.oldest_as_of_ms).collect(),
            unknown_user: (0..users.len())
                .map(|user| looked_up.iter().all(|known| known.ordinal(user).is_none()))
                .collect(),
            age_ms: self.age_ms,
        })
    }
}
