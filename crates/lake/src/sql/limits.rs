//! What the queries of one lake may use.

use std::time::Duration;

/// What queries may use. A query that needs more is ended, with an error that says of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// How long one query may take from the moment it runs.
    pub deadline: Duration,
    /// How many queries run at one time; others wait for their turn, as long as a query may take.
    pub at_once: usize,
    /// What one query may hold in memory; beyond that, sorts and groupings go to disk.
    pub memory_bytes: usize,
    /// What all queries may hold on disk.
    pub spill_bytes: u64,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(300),
            at_once: 4,
            memory_bytes: 256 << 20,
            spill_bytes: 16 << 30,
        }
    }
}
