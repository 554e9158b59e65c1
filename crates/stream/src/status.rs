use taghouse_model::TimestampMs;

/// How an app's stream is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The log position up to which values are current; `None` while no states are there.
    pub position: Option<u64>,
    /// The log position of the last checkpoint.
    pub saved_position: Option<u64>,
    /// Whether states are computed from the lake, or about to be.
    pub computing: bool,
    /// Why the states had to be computed again, the last time.
    pub problem: Option<String>,
    /// How many live tags.
    pub tags: usize,
    /// How many users were seen.
    pub users: u64,
    /// The instant that values are as of.
    pub now_ms: Option<TimestampMs>,
    /// Bytes of states in the object store.
    pub state_bytes: u64,
    /// Bytes of states in memory.
    pub memory_bytes: u64,
    /// Values that wait for an instant to change by time alone.
    pub timers: u64,
    /// Those whose instant has come already.
    pub timers_due: u64,
    /// Updates of rows that are ahead of time, and do not count yet.
    pub ahead: u64,
    /// Values shown since the process began.
    pub values: u64,
    /// Tags whose values were computed from the lake since then, each time it was done.
    pub computed: u64,
    /// Rows of files that were taken in since then without that.
    pub file_rows: u64,
}
