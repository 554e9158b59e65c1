use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An address of a file of ids, which the server fetches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a crowd's link")]
pub(crate) struct RawLink {
    /// Where the file is, such as https://partner.example.com/members.csv. It may refer to an
    /// environment variable whose name begins with WEBHOOK_, as ${WEBHOOK_URL}, or to a file of the
    /// secrets' folder, as ${file:partner-url}.
    pub(crate) url: String,
    /// Headers of the request. Values may refer as `url` does; those that carry passwords, tokens or
    /// keys must.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// How often it is looked whether the file is another, as 15m, 6h or 1d: 1m to 30d. Default: only
    /// when somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<String>,
    /// How long fetching it may take: 1s to 60m. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
    /// The largest file, in MiB: 1 to 4096. Default: 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) megabytes: Option<u32>,
}
