/// The time by which ids are forgotten: that during which processes held the store, in
/// milliseconds, added up over restarts.
///
/// It goes by the steady clock, so setting the wall clock does not move it, and a time without a
/// process does not count: then no ids come in either. What was not written down before a crash is
/// lost; then ids are kept a little longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    ms: i64,
    steady_ms: i64,
}

impl Kept {
    /// Goes on from `ms`; `steady_ms`: the steady clock now.
    pub(super) fn new(ms: i64, steady_ms: i64) -> Self {
        Self { ms, steady_ms }
    }

    /// The kept time now.
    pub(super) fn advance(&mut self, steady_ms: i64) -> i64 {
        self.ms += (steady_ms - self.steady_ms).max(0);
        self.steady_ms = steady_ms;
        self.ms
    }
}
