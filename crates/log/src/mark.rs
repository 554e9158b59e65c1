/// What outlives an app's records, so that no position is given twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The last position given, 0 before the first.
    pub(crate) end: u64,
    /// The last position dropped; never past `end`.
    pub(crate) trimmed: u64,
}
