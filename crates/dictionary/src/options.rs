/// Limits. Tests make them small.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The newest ids are sealed into immutable files when they are this many.
    pub seal_ids: u32,
    /// Or have this many bytes.
    pub seal_bytes: usize,
    /// How many ids an app may have: `Ordinal::MAX` is never given.
    pub most_ids: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seal_ids: 1 << 20, seal_bytes: 128 << 20, most_ids: u32::MAX }
    }
}
