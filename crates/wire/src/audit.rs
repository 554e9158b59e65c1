//! The audit trail.

use serde::{Deserialize, Serialize};

/// A line of the trail.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// The id of the line. It rises from line to line.
    pub id: u64,
    /// When, ISO 8601, UTC.
    pub at: String,
    /// The key's id; `local`: a command of the server's machine; `serve`: the server itself.
    pub actor: String,
    /// `definitions.apply`, `key.create`, `key.revoke`, `ingest`, `upload`, `produce`, `change`,
    /// `delete`, `suppress`, `lift`, `compact`, `export`, `cancel` or `refused`.
    pub action: String,
    /// The thing that was acted on.
    pub subject: String,
    /// `begun`, `done`, or what went wrong. What was begun has a second line with its end:
    /// `interrupted` if its process ended before.
    pub outcome: String,
}

/// A page of the trail.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditPage {
    /// All of them, from newest to oldest.
    pub lines: Vec<AuditLine>,
    /// What to send as `before` for the next page; `null`: there is none.
    #[schema(required)]
    pub next: Option<u64>,
}
