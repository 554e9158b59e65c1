//! Crowds and their versions.

use crate::reading::whole;
use serde::{Deserialize, Serialize};

/// A crowd, as the list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CrowdBody {
    /// The name, unique within the app.
    pub name: String,
    /// The definition, as it was applied.
    #[schema(required)]
    pub description: Option<String>,
    /// What makes it, by the key of its definition: `expression`, `ids`, `top`, `sample` or `sql`.
    #[serde(default)]
    pub made_by: String,
    /// The category by which keys are granted it; `null`: none.
    #[serde(default)]
    #[schema(required)]
    pub category: Option<String>,
    /// Its labels, those that it inherits among them.
    #[serde(default)]
    #[schema(required)]
    pub labels: Vec<String>,
    /// The definition as it is now, in canonical text: of a rule its expression.
    pub expression: String,
    /// Whether it is live: its members are those who match now.
    #[serde(default)]
    pub live: bool,
    /// Of a live crowd, members now. Else members of the version that was computed from this expression; `null`: it was not computed
    /// yet.
    #[schema(required)]
    pub size: Option<u64>,
    /// That version's number; `null` also of a live crowd, which has none.
    #[schema(required)]
    pub version: Option<u64>,
    /// What became of the ids that made that version; `null`: it is not made of ids.
    #[serde(default)]
    #[schema(required)]
    pub ids: Option<IdCountsBody>,
    /// The oldest as-of time of the tags that it used, ISO 8601 with the app's offset; of a live
    /// crowd, the instant that its tags' values are as of.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs: the version then mixes data of different times.
    #[schema(required)]
    pub newest_as_of: Option<String>,
    /// Present if the definition was changed and not computed since: the version of the old
    /// definition, which still answers.
    #[schema(required)]
    pub answering: Option<Answering>,
    /// Where it is in its life.
    #[serde(default)]
    pub state: CrowdState,
    /// The newest version, if it waits to be published.
    #[serde(default)]
    #[schema(required)]
    pub waiting: Option<WaitingBody>,
    /// The version that comes to users share by share, if one does.
    #[serde(default)]
    #[schema(required)]
    pub rollout: Option<RolloutBody>,
    /// The share of users who are kept out for comparison, such as `5%`.
    #[serde(default)]
    #[schema(required)]
    pub holdout: Option<String>,
}

/// Where a crowd is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrowdState {
    /// It was not computed yet.
    #[default]
    Draft,
    /// A version was computed and waits to be published; none answers.
    Ready,
    /// A version answers, and later ones come to answer when they are computed.
    Active,
    /// A version comes to users share by share.
    RollingOut,
    /// It was rolled back: later versions wait.
    Held,
    /// It answers by its rule and the newest values.
    Live,
}

/// A version that waits to be published.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WaitingBody {
    /// Its number.
    pub version: u64,
    /// How many members it has.
    pub size: u64,
    /// Why it did not answer when it was computed.
    pub reason: String,
}

/// A version that comes to users share by share.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RolloutBody {
    /// The version of users outside of the share.
    pub from: u64,
    /// The version of users in it.
    pub to: u64,
    /// The share, such as `25%`.
    pub share: String,
    /// The shares that follow, before all users.
    pub stages: Vec<String>,
    /// When the next follows, ISO 8601, UTC; `null`: when somebody goes on.
    #[schema(required)]
    pub next: Option<String>,
}

/// What became of the ids that made a version, when it was computed. The rest of them are its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IdCountsBody {
    /// How many there were.
    pub given: u64,
    /// How many belong to no user, the rows of a query without an id among them.
    pub unknown: u64,
    /// How many were of a user whom another one had given already.
    pub duplicates: u64,
    /// How many rows of a file hold nothing that can be an id.
    #[serde(default)]
    pub invalid: u64,
}

/// A version that still answers although its crowd was changed since.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answering {
    /// The definition it was computed from, in canonical text.
    pub expression: String,
    /// How many members it has.
    pub size: u64,
    /// The number, from 1.
    pub version: u64,
}

/// The crowds of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CrowdList {
    /// In order of name.
    pub crowds: Vec<CrowdBody>,
}

/// A version of a crowd: it never changes.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionBody {
    /// Its number; later ones are higher.
    pub version: u64,
    /// How many members it has.
    pub size: u64,
    /// Whether it answers now.
    pub current: bool,
    /// The definition it was computed from, in canonical text: of a rule its expression.
    pub expression: String,
    /// What became of the ids that made it; `null`: it is not made of ids.
    #[serde(default)]
    #[schema(required)]
    pub ids: Option<IdCountsBody>,
    /// The index's revision it was computed from.
    pub revision: u64,
    /// The oldest as-of time of the tags that it used, ISO 8601 with the app's offset.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs.
    #[schema(required)]
    pub newest_as_of: Option<String>,
    /// When it was computed, ISO 8601, UTC.
    pub created: String,
    /// Why it did not answer when it was computed; `null`: it did, or was published since.
    #[serde(default)]
    #[schema(required)]
    pub waits: Option<String>,
    /// Whether it is kept until somebody unpins it.
    #[serde(default)]
    pub pinned: bool,
    /// What it is made of, if it is a stage of a rollout.
    #[serde(default)]
    #[schema(required)]
    pub blend: Option<BlendBody>,
}

/// What a stage of a rollout is made of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BlendBody {
    /// The version of users outside of the share.
    pub from: u64,
    /// The version of users in it.
    pub to: u64,
    /// The share, such as `25%`.
    pub share: String,
}

/// The versions of a crowd that are kept.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionList {
    /// The crowd's name.
    pub name: String,
    /// All of them, from newest to oldest.
    pub versions: Vec<VersionBody>,
    /// Since when later versions wait, for the crowd was rolled back, ISO 8601, UTC.
    #[serde(default)]
    #[schema(required)]
    pub held: Option<String>,
    /// The version that comes to users share by share, if one does.
    #[serde(default)]
    #[schema(required)]
    pub rollout: Option<RolloutBody>,
    /// Which versions answered, with their sizes, newest first: the last 200, also of versions that
    /// are not kept any more.
    #[serde(default)]
    #[schema(required)]
    pub answered: Vec<AnsweredBody>,
}

/// Which crowds to compute.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// Their names.
    #[schema(min_items = 1)]
    pub crowds: Vec<String>,
    /// Also all crowds that are made of them.
    #[serde(default)]
    pub dependents: bool,
}

/// Which version is to answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// Its number. Without it: to publish, the newest; to roll back, the version from before the
    /// rollout, or the one that answered last.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1)]
    pub version: Option<u64>,
}

/// How a version is to come to users share by share.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRequest {
    /// Its number. Without it: the version that is rolled out already, or the newest.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1)]
    pub version: Option<u64>,
    /// To which share of users now, such as `25%`: `0%` ends the rollout, `100%` completes it.
    #[schema(pattern = "^(100|[0-9]{1,2}([.][0-9]{1,2})?)%$")]
    pub share: String,
    /// The shares that follow, ascending, before all users.
    #[serde(default)]
    pub stages: Vec<String>,
    /// How long each stage lasts, such as `12h` or `1d`. Without it, until somebody goes on.
    #[serde(default)]
    pub every: Option<String>,
}

/// Who entered and left a crowd between two of its versions.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DifferenceBody {
    /// The crowd's name.
    pub name: String,
    /// The version that is compared with.
    pub from: u64,
    /// Its size.
    pub from_size: u64,
    /// The version that is compared.
    pub to: u64,
    /// Its size.
    pub to_size: u64,
    /// Members of `to` who are not in `from`.
    pub entered: MovedBody,
    /// Members of `from` who are not in `to`.
    pub left: MovedBody,
    /// The parts of their rule, each before its own parts; empty where the two versions have different
    /// rules, or crowds of another kind.
    #[serde(default)]
    #[schema(required)]
    pub parts: Vec<PartChangeBody>,
    /// The condition among them whose number of users moved most, if one did.
    #[serde(default)]
    #[schema(required)]
    pub moved_most: Option<String>,
}

/// A part of a rule, and for how many users it held in two versions.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartChangeBody {
    /// How deep it stands in the rule; 0: the whole rule.
    pub depth: u64,
    /// What it says, in the crowd language.
    pub text: String,
    /// The tags that a condition asks.
    pub tags: Vec<String>,
    /// The crowds that a condition asks.
    pub crowds: Vec<String>,
    /// For how many users it held in `from`, before single users and holdouts.
    pub from: u64,
    /// For how many it held in `to`.
    pub to: u64,
}

/// A version that came to answer.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnsweredBody {
    /// Which version.
    pub version: u64,
    /// Since when, ISO 8601, UTC.
    pub since: String,
    /// How many members it had then; `null`: it was not noted.
    pub size: Option<u64>,
}

/// Users who entered, or who left.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MovedBody {
    /// How many.
    pub count: u64,
    /// Some of them, drawn by chance.
    pub sample: Vec<String>,
}
