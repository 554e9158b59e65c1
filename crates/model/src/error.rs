use std::fmt;

/// What a caller can do about an error. Every crate's error maps to one of these; `api` maps them
/// to statuses, `schedule` to retry or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong: fix it and call again.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// Someone else changed it meanwhile: read again and retry.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A part needed is not reachable or busy now: retry later.
    Unavailable,
    /// Stored bytes are not what was written: rebuild what the message names.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// Text that is not what its type asks for. The message names the text and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}
