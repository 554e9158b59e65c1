use std::collections::BTreeMap;

/// An address of a file of ids, which is fetched into a crowd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdLink {
    /// Where the file is; it may name secrets.
    pub url: String,
    /// Headers of the request, by lower-case name; their values may name secrets.
    pub headers: BTreeMap<String, String>,
    /// How long fetching it may take, in ms.
    pub timeout_ms: u64,
    /// How often it is looked for another file, in ms; `None`: when somebody says so.
    pub every_ms: Option<i64>,
    /// The largest file, in bytes.
    pub max_bytes: u64,
}
