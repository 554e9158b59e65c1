use crate::crowds::Answering;
use crate::{Crowds, Error, Result};
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal};

/// The most users of one batch of judgments.
pub const MAX_JUDGED_USERS: usize = 1000;
/// The most crowds of one batch of judgments.
pub const MAX_JUDGED_CROWDS: usize = 100;
/// Up to so many judgments at once are made where they are asked for: they take less than going to
/// another thread may have to wait.
const JUDGED_HERE: usize = 1000;

/// Whether a user is in a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgment {
    /// Whether the answer is yes.
    pub in_crowd: bool,
    /// The crowd's version that gave it.
    pub version: u64,
    /// The user was never seen, and so is in no crowd.
    pub unknown_user: bool,
    /// How long ago the catalog last said that this is the current version, in ms.
    pub age_ms: u64,
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
    /// How long ago the catalog last said that these are the current versions, in ms.
    pub age_ms: u64,
}

impl Crowds {
    /// Whether a user is in a crowd's current version.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`] with a suggestion, [`Error::NotComputed`], [`Error::OldGeneration`];
    /// [`Error::Unread`] when the catalog fails before the app's crowds were ever read; of the
    /// store and the dictionary. An unknown user is an answer.
    pub async fn judge(&self, app: &AppId, user: &str, crowd: &str) -> Result<Judgment> {
        let asked = self.current(app, crowd).await?;
        // Here and not on another thread: memory answers in well under a microsecond, a block from
        // disk is rare, and the hop costs more.
        let ordinal = asked.dictionary.ordinal(user)?;
        let in_crowd = ordinal.map_or(Ok(false), |ordinal| asked.contains(ordinal))?;
        let age_ms = self.age_ms(&self.state(app));
        Ok(Judgment {
            in_crowd,
            version: asked.known.version.version,
            unknown_user: ordinal.is_none(),
            age_ms,
        })
    }

    /// Every user against every crowd's current version.
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
            return batch.judge(users);
        }
        let users = users.to_vec();
        blocking(move || batch.judge(&users)).await
    }
}

/// Crowds to be asked together.
struct Batch {
    asked: Vec<Answering>,
    /// Where no crowd brings a dictionary.
    alone: Option<View>,
    age_ms: u64,
}

impl Batch {
    fn judge(self, users: &[String]) -> Result<Judgments> {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        // Two only while the users are renumbered.
        let mut known: Vec<(u64, Vec<Option<Ordinal>>)> = Vec::with_capacity(1);
        for view in self.asked.iter().map(|asked| &asked.dictionary).chain(&self.alone) {
            if known.iter().all(|(generation, _)| *generation != view.generation()) {
                known.push((view.generation(), view.lookup(&users)?));
            }
        }
        let ordinal = |generation: u64, user: usize| {
            let of = known.iter().find(|(of, _)| *of == generation);
            of.and_then(|(_, ordinals)| ordinals.get(user).copied().flatten())
        };
        let holds = |user, asked: &Answering| {
            ordinal(asked.dictionary.generation(), user).map_or(Ok(false), |o| asked.contains(o))
        };
        let row = |user| -> Result<Vec<bool>> {
            let mut row = Vec::with_capacity(self.asked.len());
            self.asked
                .iter()
                .try_for_each(|asked| holds(user, asked).map(|holds| row.push(holds)))?;
            Ok(row)
        };
        Ok(Judgments {
            in_crowd: (0..users.len()).map(row).collect::<Result<_>>()?,
            versions: self.asked.iter().map(|asked| asked.known.version.version).collect(),
            unknown_user: (0..users.len())
                .map(|user| known.iter().all(|(of, _)| ordinal(*of, user).is_none()))
                .collect(),
            age_ms: self.age_ms,
        })
    }
}
