//! Backups of the whole data folder.

use serde::{Deserialize, Serialize};

/// Where the backup goes.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// A name such as `2026-03-02`: the folder of that name is made below the server's
    /// `--backup-dir`. The command line, which runs on the server's machine, gives a whole
    /// path.
    #[schema(min_length = 1, max_length = 4096)]
    pub folder: String,
}

/// A backup that is complete.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackupBody {
    /// The folder, on the server's machine.
    pub folder: String,
    /// The moment that the backup shows, ISO 8601.
    pub taken_at: String,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How long calls that change something waited, in milliseconds.
    pub held_ms: u64,
}
