//! What became of an app's live messages, as the catalog keeps it with the position that landed.

use crate::live_rows::Landed;
use crate::topic_progress::{TOPICS, TopicSources};
use serde::{Deserialize, Serialize};
use taghouse_catalog::{Catalog, Pointer};
use taghouse_model::{AppId, TimestampMs};

/// Records that land by one commit. A commit writes files, and whoever follows the landing saves
/// its states before it, so that few are better than many.
pub(crate) const LANDED_AT_ONCE: usize = 200_000;

/// Records that are decoded and decided at a time.
pub(crate) const ADMITTED_AT_ONCE: usize = 50_000;

/// The catalog's pointer at the position through which the log has landed: value `{"position": n,
/// "totals": …, "topics": …}`, see [`LiveTotals`] and [`TopicSources`].
pub(crate) const POINTER_KIND: &str = "log";
pub(crate) const POINTER_NAME: &str = "landed";

/// What became of an app's live messages, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LiveTotals {
    /// How many messages there were in all.
    pub messages: u64,
    /// Those that gave rows of `events` or `attributes`, or only a user.
    pub accepted: u64,
    /// Rows of `rejected_events`: messages, and single fields of messages that landed without
    /// them.
    pub rejected: u64,
    /// Messages that a filter left out.
    pub filtered: u64,
    /// Messages dropped because their id had come in before.
    pub duplicates: u64,
    /// When the last landing was; `None`: never.
    pub landed_ms: Option<TimestampMs>,
    /// Messages of that landing.
    pub last_messages: u64,
    /// Rows of `rejected_events` of that landing.
    pub last_rejected: u64,
}

impl LiveTotals {
    pub(crate) fn of(pointer: Option<&Pointer>) -> Self {
        pointer
            .and_then(|p| serde_json::from_value(p.value.get("totals")?.clone()).ok())
            .unwrap_or_default()
    }

    /// With a landing of so many messages, of which `refused` gave nothing.
    pub(crate) fn and(
        self,
        landed: &Landed,
        messages: u64,
        refused: u64,
        now_ms: TimestampMs,
    ) -> Self {
        Self {
            messages: self.messages + messages,
            accepted: self.accepted
                + messages.saturating_sub(landed.filtered + landed.duplicates + refused),
            rejected: self.rejected + landed.rejected,
            filtered: self.filtered + landed.filtered,
            duplicates: self.duplicates + landed.duplicates,
            landed_ms: Some(now_ms),
            last_messages: messages,
            last_rejected: landed.rejected,
        }
    }
}

/// The position through which an app's log has landed.
///
/// # Errors
/// Errors of the catalog.
pub async fn landed(catalog: &dyn Catalog, app: &AppId) -> taghouse_catalog::Result<u64> {
    Ok(position(catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?.as_ref()))
}

pub(crate) fn position(pointer: Option<&Pointer>) -> u64 {
    pointer.and_then(|p| p.value.get("position")?.as_u64()).unwrap_or(0)
}

/// What the pointer holds.
pub(crate) fn landed_value(
    position: u64,
    totals: &LiveTotals,
    topics: &TopicSources,
) -> serde_json::Value {
    let mut value = serde_json::json!({ "position": position, "totals": totals });
    if !topics.is_empty() {
        value[TOPICS] = serde_json::json!(topics);
    }
    value
}
