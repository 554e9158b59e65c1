use crate::adjust::digest;
use crate::import::Batches;
use crate::leaves::AsOf;
use crate::{Error, IdCounts, Result, Waits};
use serde::{Deserialize, Serialize};
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{CrowdDefinition, CrowdPolicy, KEPT_VERSIONS, Share};

/// One computed state of a crowd. Its members never change, but for users who are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdVersion {
    /// From 1, in order of computation.
    pub version: u64,
    /// How many members.
    pub size: u64,
    /// The index's revision that it was computed from.
    pub revision: u64,
    /// The dictionary's generation, to which its ordinals belong.
    pub generation: u64,
    /// The oldest as-of time of the tags it used, also through other crowds; `None`: it used none.
    pub oldest_as_of_ms: Option<TimestampMs>,
    /// The newest as-of time of its tags.
    pub newest_as_of_ms: Option<TimestampMs>,
    /// The definition, in canonical text: of a rule the expression.
    pub expression: String,
    /// What became of the ids that it is made of, if it is, when it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdCounts>,
    /// The path of the object with the rows of its file that gave no user; `None`: each did, or no
    /// file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// For how many users each part of its rule held, in the order of the text, before single users
    /// and holdouts; empty: it has too many parts, or is made in another way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<u64>,
    /// How many users of the generation had been deleted when its object was written. It contains
    /// none of them.
    #[serde(default)]
    pub without_deleted: u64,
    /// When it was computed.
    pub created_ms: TimestampMs,
    /// The path of its object in the store.
    pub object: String,
    /// Why it did not answer when it was computed; `None`: it did, or was published since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// It is kept until somebody says otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Made of two other versions: a stage of a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blend: Option<Blend>,
    /// What its definition says of single users, as a digest; 0: nothing.
    #[serde(default)]
    pub adjusted: u64,
}

/// What a stage of a rollout is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blend {
    /// The version of the users outside of the share.
    pub from: u64,
    /// The version of those in it.
    pub to: u64,
    /// Users of 10,000.
    pub parts: u16,
}

/// A version that comes to users share by share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that answered before.
    pub from: u64,
    /// The version that is rolled out.
    pub to: u64,
    /// To how many users of 10,000.
    pub parts: u16,
    /// The shares that are to come, of 10,000 each, before all users.
    #[serde(default)]
    pub stages: Vec<u16>,
    /// How long each lasts; `None`: until somebody goes on.
    #[serde(default)]
    pub every_ms: Option<i64>,
    /// When the present one began.
    pub since_ms: TimestampMs,
}

impl Rollout {
    /// The present share.
    pub fn share(&self) -> Share {
        Share::of_10_000(self.parts).unwrap_or_default()
    }

    /// When the next stage is due; `None`: when somebody says so.
    pub fn next_ms(&self) -> Option<TimestampMs> {
        self.every_ms.map(|every_ms| self.since_ms.saturating_add(every_ms))
    }
}

/// How the first version of a new rule comes to all users, as the definition says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Shares of 10,000, ascending.
    pub(crate) stages: Vec<u16>,
    /// How long each lasts.
    pub(crate) every_ms: i64,
}

/// A version that came to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From 1, in order. In records from before versions could wait: the version's number.
    pub turn: u64,
    /// Which version.
    pub version: u64,
    /// Since when.
    pub at_ms: TimestampMs,
    /// How many members it had then; `None`: in records from before that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The kept versions of a crowd, and what is to become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdVersions {
    /// The number of the version that answers; 0: none does.
    pub current: u64,
    /// Oldest first; never empty.
    pub versions: Vec<CrowdVersion>,
    /// The highest number that was given; 0 in records from before versions could wait.
    #[serde(default)]
    last: u64,
    /// Which versions answered, oldest first.
    #[serde(default)]
    turns: Vec<Turn>,
    /// Since when versions that are computed wait, for somebody went back to an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<TimestampMs>,
    /// The version that comes to users share by share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How many versions are kept besides those that are pinned or needed; 0: the default. As the
    /// definition said when a version was last computed, as the plan.
    #[serde(default)]
    pub keep: u32,
    /// How new rules are rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    /// The newest version when somebody last chose which one answers; 0: nobody did.
    #[serde(default)]
    pub(crate) passed_over: u64,
    /// The batches that were imported, if files say who is in it.
    #[serde(default, skip_serializing_if = "Batches::is_empty")]
    pub(crate) batches: Batches,
}

/// A crowd that was computed at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdSummary {
    /// The name, unique within the app.
    pub name: Name,
    /// The version that answers.
    pub current: CrowdVersion,
}

impl CrowdVersion {
    /// Whether it was computed by this definition.
    pub fn is_of(&self, definition: &CrowdDefinition) -> bool {
        self.expression == definition.source.to_string()
            && self.adjusted == digest(&definition.policy)
    }

    /// The as-of times of what it used.
    pub(crate) fn as_of(&self) -> AsOf {
        AsOf { oldest_ms: self.oldest_as_of_ms, newest_ms: self.newest_as_of_ms }
    }
}

impl CrowdVersions {
    /// Of a crowd without any, whose numbers begin behind `last`.
    pub(crate) fn none(last: u64) -> Self {
        Self {
            current: 0,
            versions: Vec::new(),
            last,
            turns: Vec::new(),
            held_ms: None,
            rollout: None,
            keep: 0,
            plan: None,
            passed_over: 0,
            batches: Batches::default(),
        }
    }

    /// Takes over what the definition says.
    pub(crate) fn follow(&mut self, policy: &CrowdPolicy) {
        self.keep = policy.keep;
        self.plan = policy.rollout.as_ref().map(|plan| Plan {
            stages: plan.stages.iter().map(|share| share.parts()).collect(),
            every_ms: plan.every_ms,
        });
    }

    /// The rollout with which a version begins by the plan; `None`: there is no plan, nothing
    /// answers, or the rule is that of the version from before.
    pub(crate) fn planned(&self, to: &CrowdVersion, now_ms: TimestampMs) -> Option<Rollout> {
        let plan = self.plan.as_ref()?;
        let before = self.rollout.as_ref().map_or(self.current, |rollout| rollout.from);
        let from = self.get(before).filter(|from| from.expression != to.expression)?;
        let (first, others) = plan.stages.split_first()?;
        Some(Rollout {
            from: from.version,
            to: to.version,
            parts: *first,
            stages: others.to_vec(),
            every_ms: Some(plan.every_ms),
            since_ms: now_ms,
        })
    }

    /// The version that answers.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not among those kept.
    pub fn current(&self) -> Result<&CrowdVersion> {
        self.get(self.current).ok_or_else(|| {
            Error::corrupt(
                "a crowd's record",
                format!("its current version {} is not among those kept", self.current),
            )
        })
    }

    /// A kept version.
    pub fn get(&self, version: u64) -> Option<&CrowdVersion> {
        self.versions.iter().find(|kept| kept.version == version)
    }

    /// The highest number that was given.
    pub fn last(&self) -> u64 {
        let newest = self.versions.last().map_or(0, |version| version.version);
        self.last.max(self.current).max(newest)
    }

    /// The newest version, if it waits to be published.
    pub fn waiting(&self) -> Option<&CrowdVersion> {
        self.versions.last().filter(|version| version.waits.is_some())
    }

    /// Which versions answered one after another, as far as is known, oldest first.
    pub fn turns(&self) -> Vec<Turn> {
        if self.last > 0 {
            return self.turns.clone();
        }
        // A record from before versions could wait: each answered when it was computed.
        let turn = |version: &CrowdVersion| Turn {
            turn: version.version,
            version: version.version,
            at_ms: version.created_ms,
            size: Some(version.size),
        };
        self.versions.iter().filter(|version| version.waits.is_none()).map(turn).collect()
    }

    /// Adds a version, which does not answer by that.
    pub(crate) fn add(&mut self, version: CrowdVersion) {
        self.turns = self.turns();
        self.last = self.last().max(version.version);
        self.versions.push(version);
    }

    /// Lets a kept version answer from now on.
    pub(crate) fn answer_with(&mut self, version: u64, at_ms: TimestampMs) {
        let mut turns = self.turns();
        let turn = turns.last().map_or(0, |turn| turn.turn).max(self.last()) + 1;
        let size = self.get(version).map(|version| version.size);
        turns.push(Turn { turn, version, at_ms, size });
        self.turns = turns;
        self.last = self.last();
        self.current = version;
        if let Some(version) = self.get_mut(version) {
            version.waits = None;
        }
    }

    /// A kept version, to change what is to become of it.
    pub(crate) fn get_mut(&mut self, version: u64) -> Option<&mut CrowdVersion> {
        self.versions.iter_mut().find(|kept| kept.version == version)
    }

    /// Lets go of the versions that are not to be kept.
    pub(crate) fn prune(&mut self) {
        let keep = match self.keep {
            0 => KEPT_VERSIONS,
            keep => keep,
        };
        let rollout = self.rollout.as_ref().map_or([0; 2], |rollout| [rollout.from, rollout.to]);
        let newest = self.versions.last().map_or(0, |version| version.version);
        let needed = |version: &CrowdVersion| {
            let is_of = [self.current, newest].contains(&version.version);
            version.pinned || is_of || rollout.contains(&version.version)
        };
        let is_spare = |version: &&CrowdVersion| !needed(version);
        let needed_count = self.versions.iter().filter(|version| !version.pinned).count()
            - self.versions.iter().filter(is_spare).count();
        let spare = (keep as usize).saturating_sub(needed_count);
        let oldest = self.versions.iter().rev().filter(is_spare).nth(spare);
        let gone = oldest.map_or(0, |version| version.version);
        let stays: Vec<bool> =
            self.versions.iter().map(|version| needed(version) || version.version > gone).collect();
        let mut stays = stays.into_iter();
        self.versions.retain(|_| stays.next().unwrap_or(true));
        let excess = self.turns.len().saturating_sub(KEPT_TURNS);
        self.turns.drain(..excess);
    }
}

/// How many turns are remembered.
const KEPT_TURNS: usize = 200;

const SET_ENDING: &str = ".crowd";
const ROWS_ENDING: &str = ".rows.gz";

/// The folder of a crowd's objects.
pub(crate) fn folder(app: &AppId, crowd: &str) -> String {
    format!("crowds/{app}/{crowd}")
}

/// The object of a version. An `attempt` after the first is needed when a process was stopped
/// between writing an object and publishing it, or another one is between them: neither's object
/// may be overwritten.
pub(crate) fn object(app: &AppId, crowd: &str, version: u64, attempt: u32) -> String {
    let folder = folder(app, crowd);
    if attempt == 0 {
        format!("{folder}/{version}.crowd")
    } else {
        format!("{folder}/{version}-{attempt}.crowd")
    }
}

/// The object with the rows of an imported version's file, beside the version's own.
pub(crate) fn rows_of(object: &str) -> String {
    format!("{}{ROWS_ENDING}", object.strip_suffix(SET_ENDING).unwrap_or(object))
}

/// The version that an object of this file name belongs to.
pub(crate) fn version_of(file_name: &str) -> Option<u64> {
    let stem =
        file_name.strip_suffix(SET_ENDING).or_else(|| file_name.strip_suffix(ROWS_ENDING))?;
    stem.split('-').next()?.parse().ok()
}

#[cfg(test)]
impl CrowdVersion {
    /// For tests: a version with this many members.
    pub(crate) fn sample(version: u64, size: u64) -> Self {
        Self {
            version,
            size,
            revision: 1,
            generation: 1,
            rows: None,
            oldest_as_of_ms: None,
            newest_as_of_ms: None,
            expression: "a".to_owned(),
            ids: None,
            parts: Vec::new(),
            without_deleted: 0,
            created_ms: version as i64,
            object: String::new(),
            waits: None,
            pinned: false,
            blend: None,
            adjusted: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> CrowdVersion {
        CrowdVersion::sample(number, 1)
    }

    fn kept(versions: &CrowdVersions) -> Vec<u64> {
        versions.versions.iter().map(|version| version.version).collect()
    }

    #[test]
    fn object_names_tell_their_version() {
        let app = AppId::new("shop").unwrap();
        for (version, attempt) in [(1, 0), (12, 0), (12, 3)] {
            let path = object(&app, "big", version, attempt);
            assert_eq!(version_of(path.rsplit('/').next().unwrap()), Some(version), "{path}");
        }
        assert_eq!(version_of("notes.txt"), None);
        assert_eq!(rows_of("crowds/a/b/7-1.crowd"), "crowds/a/b/7-1.rows.gz");
        assert_eq!(version_of("7-1.rows.gz"), Some(7));
    }

    #[test]
    fn what_answers_is_pinned_or_rolled_out_is_kept_besides_the_newest() {
        let mut versions = CrowdVersions::none(0);
        versions.keep = 3;
        for number in 1..=4 {
            versions.add(version(number));
            versions.answer_with(number, number as i64);
            versions.prune();
        }
        assert_eq!(kept(&versions), [2, 3, 4]);

        versions.versions[0].pinned = true;
        versions.answer_with(3, 9);
        for number in 5..=9 {
            versions.add(version(number));
            versions.prune();
        }
        assert_eq!(kept(&versions), [2, 3, 8, 9], "pinned, answering, and two more");

        versions.rollout = Some(Rollout {
            from: 3,
            to: 8,
            parts: 100,
            stages: Vec::new(),
            every_ms: None,
            since_ms: 0,
        });
        for number in 10..=12 {
            versions.add(version(number));
            versions.prune();
        }
        assert_eq!(kept(&versions), [2, 3, 8, 12]);
        assert_eq!(versions.last(), 12);
        let turns: Vec<u64> = versions.turns().iter().map(|turn| turn.version).collect();
        assert_eq!(turns, [1, 2, 3, 4, 3]);
        let numbers: Vec<u64> = versions.turns().iter().map(|turn| turn.turn).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn records_from_before_versions_could_wait_are_read() {
        let old = serde_json::json!({ "current": 7, "versions": [
            { "version": 6, "size": 1, "revision": 1, "generation": 1, "oldest_as_of_ms": null,
              "newest_as_of_ms": null, "expression": "a", "created_ms": 60, "object": "o" },
            { "version": 7, "size": 1, "revision": 1, "generation": 1, "oldest_as_of_ms": null,
              "newest_as_of_ms": null, "expression": "a", "created_ms": 70, "object": "o" } ] });
        let mut versions: CrowdVersions = serde_json::from_value(old).unwrap();
        assert_eq!(versions.last(), 7);
        let turn = |turn, version, at_ms| Turn { turn, version, at_ms, size: Some(1) };
        assert_eq!(versions.turns(), [turn(6, 6, 60), turn(7, 7, 70)]);

        versions.answer_with(6, 80);
        assert_eq!(versions.turns().last(), Some(&turn(8, 6, 80)));
    }
}
