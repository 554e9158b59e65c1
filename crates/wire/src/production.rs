//! Productions of tags and crowds.

use serde::{Deserialize, Serialize};

/// What to produce.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProduceRequest {
    /// The as-of time: `2026-07-01T00:00` in the app's time zone, or with an offset. Events before
    /// it count. Default: now.
    pub as_of: Option<String>,
    /// Only these tags, what is computed from them, and the crowds that use one of those and have
    /// all their tags. Default: all.
    pub tags: Option<Vec<String>>,
}
