//! Files on their way into the lake.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Files to ingest: an upload, or paths of the server's machine.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestRequest {
    /// The source that the files belong to. Can be left out if only one source reads files.
    pub source: Option<String>,
    /// Files and folders on the server's machine. Only the commands of that machine may name them.
    #[schema(value_type = Option<Vec<String>>)]
    pub paths: Option<Vec<PathBuf>>,
    /// The id of an upload whose files were sent before.
    pub upload: Option<String>,
    /// Continue even if a large share of the rows is rejected.
    #[serde(default)]
    pub allow_rejects: bool,
    /// Ingest files again that were ingested before. Their old rows are replaced in one commit.
    #[serde(default)]
    pub replace: bool,
}

/// A new upload.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upload {
    /// The id, as other calls take it.
    pub id: String,
}
