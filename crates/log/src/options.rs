/// Limits of the files; only tests choose others.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that reaches this gets a successor.
    pub segment_bytes: u64,
    /// A frame ends behind the record that reaches this.
    pub frame_bytes: usize,
    /// So much may be dead in segments that cannot be removed, before what lives in them is carried
    /// behind; and as long as a quarter of them lives.
    pub dead_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, frame_bytes: 64 << 10, dead_bytes: 256 << 20 }
    }
}
