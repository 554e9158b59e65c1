use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An HTTP server that changes are sent to, signed as Standard Webhooks are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a webhook")]
pub(crate) struct RawWebhook {
    /// Where changes are posted, such as https://crm.example.com/taghouse. It may refer to an
    /// environment variable whose name begins with WEBHOOK_, as ${WEBHOOK_URL}, or to a file of the
    /// secrets' folder, as ${file:webhook-url}.
    pub(crate) url: String,
    /// What requests are signed with, by reference, as ${WEBHOOK_SECRET} or ${file:webhook-secret}:
    /// whsec_ followed by base64 of 24 to 64 bytes. Two secrets with a space between sign with both.
    pub(crate) secret: String,
    /// More headers of each request. Values may refer as `url` does; those that carry passwords,
    /// tokens or keys must.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// How long a request may take: 1s to 60s. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
    /// How much one request carries at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<RawWebhookBatch>,
    /// How many requests may be under way at once: 1 to 32. The changes of one user are always sent
    /// one after the other. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub(crate) parallel: Option<u32>,
    /// How long it is tried to deliver a change before it goes to the dead letters, as 90s, 30m, 12h
    /// or 7d, up to 30d. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_for: Option<String>,
}

/// How much one request carries at most.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a webhook's batch")]
pub(crate) struct RawWebhookBatch {
    /// Changes: 1 to 1000. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) events: Option<u32>,
    /// Bytes of the body: 1024 to 4194304. One change that is larger goes alone. Default: 262144.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 4_194_304))]
    pub(crate) bytes: Option<u32>,
}
