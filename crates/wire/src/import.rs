//! Files that say who is in a crowd.

use serde::{Deserialize, Serialize};

/// Which file to import, and how. Name either a path or an upload.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// A file on the server's machine. Only for local callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The id of an upload of one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// What becomes of those who are in the crowd.
    #[serde(default)]
    pub mode: ImportMode,
    /// The column of the ids, by its name or its number from 1. Default: that of the definition; else
    /// it is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256)]
    pub column: Option<String>,
    /// Whether the first row names the columns. Default: it does if it has the column's name, or one
    /// that columns of ids usually have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// A name by which you know the file: a file of this name is imported once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub batch: Option<String>,
}

/// What an import does to those who are in the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// The users of the file are in it, and nobody else.
    #[default]
    Replace,
    /// They are in it besides.
    Append,
    /// They are not in it any more.
    Remove,
}

/// What became of the rows of a file that says who is in a crowd. Each row is one of: matched,
/// duplicate, unknown or invalid.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportReport {
    /// The crowd.
    pub imported: String,
    /// The version that it made, or that the batch of this name made before.
    pub version: u64,
    /// Whether a batch of this name, or the file of the link, was imported before: then nothing was
    /// changed, and all counts are 0.
    pub repeated: bool,
    /// How many members the version has.
    pub size: u64,
    /// Why the version does not answer; `null`: it does.
    #[schema(required)]
    pub waits: Option<String>,
    /// The name of the column that was read; `null`: the first row is an id.
    #[schema(required)]
    pub header: Option<String>,
    /// The number of that column, from 1.
    pub column: u64,
    /// Rows in all, the header not among them.
    pub rows: u64,
    /// Rows with the id of a user whom no earlier row gave.
    pub matched: u64,
    /// Rows with the id of a user whom another row gave.
    pub duplicates: u64,
    /// Rows with an id of nobody.
    pub unknown: u64,
    /// Rows that hold nothing that can be an id.
    pub invalid: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}
