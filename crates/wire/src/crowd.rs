//! Crowds and their versions.

use serde::{Deserialize, Serialize};

/// A crowd, as the list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CrowdBody {
    /// The name, unique within the app.
    pub name: String,
    /// The definition, as it was applied.
    #[schema(required)]
    pub description: Option<String>,
    /// The expression, as defined now.
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
    /// The oldest as-of time of the tags that it used, ISO 8601 with the app's offset; of a live
    /// crowd, the instant that its tags' values are as of.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs: the version then mixes data of different times.
    #[schema(required)]
    pub newest_as_of: Option<String>,
    /// Present if the expression was changed and not computed since: the version of the old
    /// expression, which still answers.
    #[schema(required)]
    pub answering: Option<Answering>,
}

/// A version that still answers although its crowd was changed since.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answering {
    /// The expression it was computed from.
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
    /// The expression it was computed from.
    pub expression: String,
    /// The index's revision it was computed from.
    pub revision: u64,
    /// The oldest as-of time of the tags that it used, ISO 8601 with the app's offset.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs.
    #[schema(required)]
    pub newest_as_of: Option<String>,
    /// ISO 8601, UTC.
    pub created: String,
}

/// The versions of a crowd that are kept.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionList {
    /// The crowd's name.
    pub name: String,
    /// All of them, from newest to oldest.
    pub versions: Vec<VersionBody>,
}
