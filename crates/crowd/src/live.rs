//! Live crowds: their rule is evaluated when they are asked, on the newest snapshot. The answer is
//! kept until there is a newer one.

use crate::crowds::Answering;
use crate::known::KnownVersion;
use crate::leaves::{AsOf, OtherCrowds};
use crate::loaded_set::LoadedSet;
use crate::{CrowdSummary, CrowdVersion, Crowds, Judgment, Result, anonymous};
use arc_swap::ArcSwapOption;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::{Query, Snapshot};
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value};
use taghouse_rules::{CrowdCondition, CrowdDefinition, Definitions, Predicate};

/// The live crowds of an app, by name.
pub(crate) type LiveCrowds = HashMap<String, Arc<LiveCrowd>>;

/// A live crowd, and its members when they were last asked for.
pub(crate) struct LiveCrowd {
    definition: CrowdDefinition,
    rule: CrowdCondition,
    zone: TimeZone,
    answer: ArcSwapOption<LiveAnswer>,
    /// Held by whoever evaluates it, so that it is evaluated once.
    evaluating: tokio::sync::Mutex<()>,
}

/// The members of a live crowd on a snapshot.
struct LiveAnswer {
    snapshot: Arc<Snapshot>,
    now_ms: TimestampMs,
    known: Arc<KnownVersion>,
    set: Arc<LoadedSet>,
}

/// A user on a snapshot.
pub(crate) struct OnSnapshot {
    pub(crate) snapshot: Arc<Snapshot>,
    /// `None`: the user was never seen.
    pub(crate) ordinal: Option<Ordinal>,
    /// The user is deleted, and still in the dictionary.
    pub(crate) is_deleted: bool,
}

impl Crowds {
    /// Says which crowds of an app are live: call it when definitions were read.
    pub fn define(&self, definitions: &Definitions) {
        let app = &definitions.app.id;
        let live = || {
            let live = definitions.crowds.values().filter(|crowd| crowd.is_live);
            live.filter_map(|crowd| Some((crowd, crowd.rule()?)))
        };
        let before = self.live_crowds(app);
        if before.is_none() && live().next().is_none() {
            return;
        }
        let same = |crowd: &CrowdDefinition| {
            let known = before.as_ref()?.get(crowd.name.as_str())?;
            let same_zone = known.zone == definitions.app.time_zone;
            (known.definition == *crowd && same_zone).then(|| known.clone())
        };
        let new = |crowd: &CrowdDefinition, rule: &CrowdCondition| LiveCrowd {
            definition: crowd.clone(),
            rule: rule.clone(),
            zone: definitions.app.time_zone.clone(),
            answer: ArcSwapOption::empty(),
            evaluating: tokio::sync::Mutex::default(),
        };
        let of = |(crowd, rule): (&CrowdDefinition, &CrowdCondition)| {
            let known = same(crowd).unwrap_or_else(|| Arc::new(new(crowd, rule)));
            (crowd.name.to_string(), known)
        };
        let crowds: Arc<LiveCrowds> = Arc::new(live().map(of).collect());
        self.live.rcu(|apps| {
            let mut next = HashMap::clone(apps);
            next.insert(app.clone(), crowds.clone());
            next
        });
    }

    fn live_crowds(&self, app: &AppId) -> Option<Arc<LiveCrowds>> {
        self.live.load().get(app).cloned()
    }

    /// The crowd, if it is live.
    pub(crate) fn live_crowd(&self, app: &AppId, crowd: &str) -> Option<Arc<LiveCrowd>> {
        self.live.load().get(app)?.get(crowd).cloned()
    }

    /// The live crowds with the sizes that they have now.
    pub(crate) async fn list_live(&self, app: &AppId) -> Result<Vec<CrowdSummary>> {
        let Some(crowds) = self.live_crowds(app).filter(|crowds| !crowds.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut summaries = Vec::new();
        for live in crowds.values() {
            // One whose tags have no values yet is not computed.
            let Ok(answering) = self.live_answering(app, live).await else { continue };
            let mut current = answering.known.version.clone();
            current.size =
                blocking(move || Ok::<_, crate::Error>(answering.bitmap()?.len())).await?;
            summaries.push(CrowdSummary { name: live.definition.name.clone(), current });
        }
        Ok(summaries)
    }

    /// The members on the newest snapshot.
    pub(crate) async fn live_answering(&self, app: &AppId, live: &LiveCrowd) -> Result<Answering> {
        let snapshot = self.snapshot(app).await?;
        let state = self.asked(app).await?;
        let now_ms = self.clock.now_ms();
        let answer = match live.on(&snapshot, now_ms) {
            Some(answer) => answer,
            None => {
                let _evaluating = live.evaluating.lock().await;
                match live.on(&snapshot, now_ms) {
                    Some(answer) => answer,
                    None => live.evaluate(snapshot.clone(), now_ms).await?,
                }
            }
        };
        Ok(Answering {
            known: answer.known.clone(),
            set: answer.set.clone(),
            dictionary: self.dictionary_of(app, &snapshot)?,
            deleted: state.deleted(snapshot.generation()),
        })
    }

    /// Whether one user is in a live crowd: without all its other members, unless they are known.
    pub(crate) async fn judge_live(
        &self,
        app: &AppId,
        user: &str,
        live: &Arc<LiveCrowd>,
    ) -> Result<Judgment> {
        let Some(OnSnapshot { snapshot, ordinal, is_deleted }) =
            self.on_snapshot(app, user).await?
        else {
            return Ok(Judgment::of_live(false, true));
        };
        let in_crowd = match ordinal.filter(|_| !is_deleted) {
            None => false,
            // What bitmaps answer takes less time than a switch to another thread.
            Some(ordinal) if live.is_computed() => {
                let (live, now_ms) = (live.clone(), self.clock.now_ms());
                blocking(move || live.contains(&snapshot, ordinal, now_ms)).await?
            }
            Some(ordinal) => live.contains(&snapshot, ordinal, self.clock.now_ms())?,
        };
        Ok(Judgment::of_live(in_crowd, ordinal.is_none()))
    }

    /// A user on the newest snapshot; `None`: the app has no user yet.
    pub(crate) async fn on_snapshot(&self, app: &AppId, user: &str) -> Result<Option<OnSnapshot>> {
        if self.index.snapshot(app).await?.is_none() {
            return Ok(None);
        }
        let snapshot = self.snapshot(app).await?;
        let dictionary = self.dictionary_of(app, &snapshot)?;
        let ordinal = dictionary.ordinal(&self.user_of(app, user).await)?;
        let deleted = self.asked(app).await?.deleted(snapshot.generation());
        let is_deleted =
            ordinal.is_some_and(|ordinal| deleted.is_some_and(|deleted| deleted.contains(ordinal)));
        Ok(Some(OnSnapshot { snapshot, ordinal, is_deleted }))
    }
}

impl LiveCrowd {
    /// The name.
    pub(crate) fn name(&self) -> &Name {
        &self.definition.name
    }

    /// Whether the rule holds a condition on a computed value.
    pub(crate) fn is_computed(&self) -> bool {
        self.rule.checked.is_computed()
    }

    /// Whether a user who exists matches the rule. Not for a thread that answers requests where the
    /// rule holds a condition on a computed value.
    pub(crate) fn contains(
        &self,
        snapshot: &Arc<Snapshot>,
        ordinal: Ordinal,
        now_ms: TimestampMs,
    ) -> Result<bool> {
        if let Some(answer) = self.on(snapshot, now_ms) {
            return answer.set.contains(ordinal);
        }
        let only = Arc::new(std::iter::once(ordinal).collect());
        Ok(self.query(snapshot, now_ms, &only)?.contains(ordinal)?)
    }

    /// The rule, for the users in `within`. As [`LiveCrowd::contains`].
    pub(crate) fn query(
        &self,
        snapshot: &Snapshot,
        now_ms: TimestampMs,
        within: &Arc<Bitmap>,
    ) -> Result<Query> {
        // A live crowd's rule names no other crowd.
        anonymous::query(snapshot, &self.as_of(now_ms), &OtherCrowds::default(), Some(within))
    }

    /// The as-of times of its tags.
    pub(crate) fn as_of_times(&self, snapshot: &Snapshot) -> AsOf {
        OtherCrowds::default().as_of(&self.rule.checked, snapshot)
    }

    /// The last answer, if it still holds.
    fn on(&self, snapshot: &Arc<Snapshot>, now_ms: TimestampMs) -> Option<Arc<LiveAnswer>> {
        let is_current = |answer: &Arc<LiveAnswer>| {
            let moved = self.rule.checked.moves() && answer.now_ms != now_ms;
            Arc::ptr_eq(&answer.snapshot, snapshot) && !moved
        };
        self.answer.load_full().filter(is_current)
    }

    /// The rule with its dates relative to now put in.
    fn as_of(&self, now_ms: TimestampMs) -> Predicate<Value> {
        match self.rule.checked.moves() {
            true => self.rule.checked.as_of(now_ms, &self.zone),
            false => self.rule.checked.clone(),
        }
    }

    async fn evaluate(
        &self,
        snapshot: Arc<Snapshot>,
        now_ms: TimestampMs,
    ) -> Result<Arc<LiveAnswer>> {
        let (definition, rule) = (self.definition.clone(), self.as_of(now_ms));
        let checked = self.rule.checked.clone();
        let answer = blocking(move || {
            let others = OtherCrowds::default();
            let AsOf { oldest_ms, newest_ms } = others.as_of(&checked, &snapshot);
            let set = anonymous::query(&snapshot, &rule, &others, None)?.bitmap()?;
            let version = CrowdVersion {
                parts: Vec::new(),
                version: 0,
                size: set.len(),
                revision: snapshot.revision(),
                generation: snapshot.generation(),
                oldest_as_of_ms: oldest_ms,
                newest_as_of_ms: newest_ms,
                expression: definition.source.to_string(),
                ids: None,
                rows: None,
                without_deleted: snapshot.deleted(),
                created_ms: now_ms,
                object: String::new(),
                waits: None,
                pinned: false,
                blend: None,
                adjusted: 0,
            };
            let name = format!("the live crowd {}", definition.name);
            let set =
                LoadedSet::read(&name, bytes::Bytes::from(set.to_bytes()?).into(), version.size)?;
            let known = KnownVersion { version, slot: Arc::default() };
            let (known, set) = (Arc::new(known), Arc::new(set));
            let answer = LiveAnswer { snapshot, now_ms, known, set };
            Ok::<_, crate::Error>(Arc::new(answer))
        })
        .await?;
        self.answer.store(Some(answer.clone()));
        Ok(answer)
    }
}
