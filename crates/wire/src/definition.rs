//! Definitions: read, planned, applied.

use crate::reading::objects;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Definition files to apply.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The YAML files.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<FileBody>,
    /// Only report what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Delete sources, tags and crowds that the files do not name.
    #[serde(default)]
    pub prune: bool,
    /// With `prune`: allow that everything is deleted because the files define no source, tag or
    /// crowd.
    #[serde(default)]
    pub all: bool,
}

/// One YAML file.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// Its name, for messages.
    pub path: String,
    /// Its text. Several documents are separated by `---`.
    pub text: String,
}

/// What applying changed, or would change.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Each definition named, in order of kind and name.
    pub changes: Vec<PlannedChange>,
    /// Notes on definitions that are created or changed. They are not errors.
    pub notes: Vec<String>,
    /// The most that the state of each live tag can come to that the files name, and of the
    /// conditions of their live crowds, in order of kind and name. Tags that are computed from others
    /// have no state.
    pub states: Vec<StateSizeBody>,
    /// Whether it was carried out.
    pub applied: bool,
}

/// The most that is kept of each user of a live tag.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StateSizeBody {
    /// `tag`; `crowd` for a condition on what users did, in a live crowd.
    pub kind: String,
    /// Name of the tag, or of the crowd.
    pub name: String,
    /// Bytes of one user's state at most; `null`: there is no bound.
    #[schema(required)]
    pub bytes_per_user: Option<u64>,
    /// The same of all users that the app has now.
    #[schema(required)]
    pub bytes_of_all_users: Option<u64>,
    /// Why there is no bound, and what gives it one or keeps it small.
    #[schema(required)]
    pub unbounded: Option<String>,
}

/// What becomes of one definition.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedChange {
    /// `app`, `source`, `tag` or `crowd`.
    pub kind: String,
    /// The name, unique within the app.
    pub name: String,
    /// `create`, `change`, `unchanged` or `delete`.
    pub action: Cow<'static, str>,
}

/// A stored definition.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DefinitionBody {
    /// `app`, `source`, `tag` or `crowd`.
    pub kind: String,
    /// The name, unique within the app.
    pub name: String,
    /// The definition as JSON, with the keys of the YAML form.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
    /// Grows by one with each change.
    pub revision: u64,
    /// Milliseconds since 1970 UTC.
    pub updated_ms: i64,
}

/// The definitions of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DefinitionList {
    /// In order of kind and name.
    pub definitions: Vec<DefinitionBody>,
}
