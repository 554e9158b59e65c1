//! An HTTP server that changes are sent to.

use std::collections::BTreeMap;

/// Where changes are posted, and how. Texts refer to secrets as [`crate::SettingPart`] reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where changes are posted.
    pub url: String,
    /// What requests are signed with.
    pub secret: String,
    /// More headers of each request, by name in lower case.
    pub headers: BTreeMap<String, String>,
    /// How long a request may take, in ms.
    pub timeout_ms: u64,
    /// Changes that one request carries at most.
    pub batch_events: usize,
    /// Bytes of a request's body at most, if it carries more than one change.
    pub batch_bytes: usize,
    /// Requests that may be under way at once.
    pub parallel: usize,
    /// How long it is tried to deliver a change, in ms.
    pub retry_for_ms: i64,
}
