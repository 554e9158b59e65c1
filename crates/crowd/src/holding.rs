//! Which crowds hold a user.

use crate::live::{LiveCrowd, OnSnapshot};
use crate::roster::{Roster, Row};
use crate::{Crowds, Error, Result};
use futures::StreamExt;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_model::{ErrorKind, Name, Ordinal};
use taghouse_rules::Definitions;

/// So many crowds that cannot answer are named.
pub const MAX_UNANSWERED: usize = 100;

/// Up to so many crowds are asked on the calling thread.
const ASKED_HERE: usize = 500;
/// The same of live ones, of which each takes a compilation.
const LIVE_HERE: usize = 10;
/// Sets that are read from the store at a time.
const READ_AT_ONCE: usize = 16;

/// The crowds that hold a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// In order of their names.
    pub crowds: Vec<Holds>,
    /// Crowds that are defined and cannot answer, [`MAX_UNANSWERED`] at most.
    pub unanswered: Vec<Unanswered>,
    /// How many they are.
    pub unanswered_count: usize,
    /// The user was never seen, and so is in no crowd.
    pub unknown_user: bool,
    /// How long ago the catalog last said that the versions asked are the current ones, in ms.
    pub age_ms: u64,
}

/// A crowd that holds the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// Name of the crowd.
    pub crowd: Name,
    /// The version that says so; 0 of a live one, which has none.
    pub version: u64,
    /// Whether it is live.
    pub live: bool,
}

/// A crowd that cannot say whether it holds a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Name of the crowd.
    pub crowd: Name,
    /// The reason, and the fix.
    pub why: String,
}

/// The user in one generation of the dictionary.
struct InGeneration {
    generation: u64,
    /// `Err`: the dictionary has nothing of the generation. `None`: the user is unknown, or deleted.
    ordinal: std::result::Result<Option<Ordinal>, ()>,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    crowds: Vec<Holds>,
    unanswered: Vec<Unanswered>,
    unanswered_count: usize,
    /// Places in the roster of versions that are not in memory.
    unread: Vec<usize>,
}

impl Found {
    fn holds(&mut self, row: &Row) {
        let version = row.known.version.version;
        self.crowds.push(Holds { crowd: row.crowd.clone(), version, live: false });
    }

    fn unanswered(&mut self, crowd: &Name, why: &Error) {
        self.unanswered_count += 1;
        if self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.push(Unanswered { crowd: crowd.clone(), why: why.to_string() });
        }
    }

    /// What is wrong with one crowd leaves the others' answers as they are.
    fn failed(&mut self, crowd: &Name, error: Error) -> Result<()> {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Corrupt => {
                self.unanswered(crowd, &error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl Crowds {
    /// The crowds, of those that are defined, that hold a user: by their current versions, or, where
    /// they are live, by their rules now. Sets that are not in memory are read from the store.
    ///
    /// # Errors
    /// [`Error::Unread`] when the catalog fails before the app's crowds were ever read; of the
    /// store, the index and the dictionary. An unknown user is an answer; a crowd that cannot answer
    /// is named in it.
    pub async fn crowds_of(&self, definitions: &Arc<Definitions>, user: &str) -> Result<Holding> {
        let app = &definitions.app.id;
        let state = self.asked(app).await?;
        let age_ms = self.age_ms(&state);
        let roster = self.roster(&state, definitions);
        let own = self.user_of(app, user).await.into_owned();
        let mut asked = Vec::with_capacity(roster.generations.len());
        let mut known_user = false;
        for generation in roster.generations.iter().copied() {
            let Some(view) = self.dictionary.view(app, generation) else {
                asked.push(InGeneration { generation, ordinal: Err(()) });
                continue;
            };
            let ordinal = view.ordinal(&own)?;
            known_user |= ordinal.is_some();
            let deleted = state.deleted(generation);
            let left = ordinal.filter(|ordinal| {
                deleted.as_ref().is_none_or(|deleted| !deleted.contains(*ordinal))
            });
            asked.push(InGeneration { generation, ordinal: Ok(left) });
        }
        let mut found = self.held_in_memory(&roster, asked).await?;
        for without in &roster.without {
            found.unanswered(&without.crowd, &without.error);
        }
        self.held_in_store(definitions, &roster, user, &mut found).await?;
        if !roster.live.is_empty() {
            known_user |= self.held_live(definitions, &roster, user, &mut found).await?;
        }
        // Where no crowd has a version, the dictionary says who is known.
        if roster.generations.is_empty() && !known_user {
            let view = self.dictionary.view(app, self.dictionary.generation(app));
            known_user = view.map_or(Ok(None), |view| view.ordinal(&own))?.is_some();
        }
        let Found { mut crowds, mut unanswered, unanswered_count, .. } = found;
        crowds.sort_by(|a, b| a.crowd.cmp(&b.crowd));
        unanswered.sort_by(|a, b| a.crowd.cmp(&b.crowd));
        Ok(Holding { crowds, unanswered, unanswered_count, unknown_user: !known_user, age_ms })
    }

    /// The versions that are in memory.
    async fn held_in_memory(
        &self,
        roster: &Arc<Roster>,
        asked: Vec<InGeneration>,
    ) -> Result<Found> {
        let loaded = self.loaded.clone();
        let rows = roster.clone();
        let look = move || {
            let mut found = Found::default();
            let mut last: Option<&InGeneration> = None;
            let slots = rows.versioned.iter().map(|row| row.known.slot.as_ref());
            let sets = loaded.in_row(&rows.sets, slots);
            for (place, (row, set)) in rows.versioned.iter().zip(sets.iter()).enumerate() {
                if last.is_none_or(|last| last.generation != row.generation) {
                    last = asked.iter().find(|asked| asked.generation == row.generation);
                }
                let ordinal = match last.map(|asked| asked.ordinal) {
                    Some(Ok(Some(ordinal))) => ordinal,
                    Some(Ok(None)) => continue,
                    Some(Err(())) | None => {
                        let (crowd, version) = (row.crowd.to_string(), row.known.version.version);
                        found.unanswered(&row.crowd, &Error::OldGeneration { crowd, version });
                        continue;
                    }
                };
                match set {
                    None => found.unread.push(place),
                    Some(set) if set.contains(ordinal)? => found.holds(row),
                    Some(_) => {}
                }
            }
            if !found.unread.is_empty() {
                rows.sets.forget();
            }
            Ok(found)
        };
        // A switch to another thread takes longer than a few hundred looks.
        if roster.versioned.len() <= ASKED_HERE { look() } else { blocking(look).await }
    }

    /// The versions that are not in memory. Each is judged as it would be alone, for its object may
    /// have been replaced meanwhile.
    async fn held_in_store(
        &self,
        definitions: &Definitions,
        roster: &Roster,
        user: &str,
        found: &mut Found,
    ) -> Result<()> {
        let app = &definitions.app.id;
        let unread = std::mem::take(&mut found.unread);
        let judged = futures::stream::iter(unread).map(|place| async move {
            let row = roster.versioned.get(place)?;
            Some((row, self.judge(app, user, row.crowd.as_str()).await))
        });
        let mut judged = judged.buffer_unordered(READ_AT_ONCE);
        while let Some(judged) = judged.next().await {
            let Some((row, judged)) = judged else { continue };
            match judged {
                Ok(judgment) if judgment.in_crowd => found.crowds.push(Holds {
                    crowd: row.crowd.clone(),
                    version: judgment.version,
                    live: false,
                }),
                Ok(_) => {}
                Err(error) => found.failed(&row.crowd, error)?,
            }
        }
        Ok(())
    }

    /// The live ones, all on one snapshot; whether the user is known there.
    async fn held_live(
        &self,
        definitions: &Definitions,
        roster: &Arc<Roster>,
        user: &str,
        found: &mut Found,
    ) -> Result<bool> {
        let on_snapshot = match self.on_snapshot(&definitions.app.id, user).await {
            Ok(on_snapshot) => on_snapshot,
            Err(error @ Error::OldIndex { .. }) => {
                let live = roster.live.iter().map(|live| live.name());
                live.for_each(|crowd| found.unanswered(crowd, &error));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(OnSnapshot { snapshot, ordinal, is_deleted }) = on_snapshot else {
            return Ok(false);
        };
        let Some(ordinal) = ordinal else { return Ok(false) };
        if is_deleted {
            return Ok(true);
        }
        let now_ms = self.clock.now_ms();
        let rows = roster.clone();
        let judge = move || -> Result<Vec<Result<bool>>> {
            let judged = |live: &Arc<LiveCrowd>| live.contains(&snapshot, ordinal, now_ms);
            Ok(rows.live.iter().map(judged).collect())
        };
        let is_quick =
            roster.live.len() <= LIVE_HERE && roster.live.iter().all(|live| !live.is_computed());
        let judged = if is_quick { judge()? } else { blocking(judge).await? };
        for (live, judged) in roster.live.iter().zip(judged) {
            match judged {
                Ok(true) => {
                    found.crowds.push(Holds { crowd: live.name().clone(), version: 0, live: true })
                }
                Ok(false) => {}
                Err(error) => found.failed(live.name(), error)?,
            }
        }
        Ok(true)
    }
}
