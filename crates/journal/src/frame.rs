//! What a frame is: a head of 32 bytes and a payload.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of every frame's head, whatever the format.
pub const HEAD_BYTES: usize = 32;

/// How the frames of one kind of log are written. A value of it is what a reader knows of the
/// frames before the one it is at.
pub trait FrameFormat {
    /// What the head of a frame says beside the length and the checksum of its payload.
    type Fields;

    /// The head of a frame, with the length and the checksum of its payload and a checksum of its
    /// own.
    fn head(fields: &Self::Fields, payload: &[u8]) -> [u8; HEAD_BYTES];

    /// What a head says; `None` for bytes that are not head of this format.
    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Self::Fields>>;

    /// Whether a frame with this head may stand where the reader is. Any may, where frames do not
    /// count on.
    fn is_next(&self, _fields: &Self::Fields) -> bool {
        true
    }

    /// Whether a frame with this head was written after the one where the reader is: then that one
    /// is damaged, not torn.
    fn is_later(&self, _fields: &Self::Fields) -> bool {
        true
    }

    /// Notes that a frame is read.
    fn pass(&mut self, _fields: &Self::Fields) {}
}

/// A head whose own checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHead<F> {
    /// What it says.
    pub fields: F,
    /// The length of the payload behind it.
    pub payload_bytes: usize,
    /// The XXH3 of the payload.
    pub payload_checksum: u64,
    /// The seed of that checksum; 0 where the format has none.
    pub payload_seed: u64,
}

impl<F> FrameHead<F> {
    /// Whether these bytes are the payload that was written.
    pub(crate) fn is_of(&self, payload: &[u8]) -> bool {
        xxh3_64_with_seed(payload, self.payload_seed) == self.payload_checksum
    }
}

/// The bytes of a frame, to be appended with one write.
pub fn frame_bytes<F: FrameFormat>(fields: &F::Fields, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.extend_from_slice(&F::head(fields, payload));
    frame.extend_from_slice(payload);
    frame
}
