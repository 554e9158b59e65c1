//! The format of a frame: a head of 32 bytes and a payload.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of every frame's head, in any format.
pub const HEAD_BYTES: usize = 32;

/// How the frames of one kind of log are encoded. A value of it is a reader's state: what it knows
/// from the frames before the current one.
pub trait FrameFormat {
    /// The fields of a head, besides the length and the checksum of the payload.
    type Fields;

    /// Encodes a head, with the length and the checksum of the payload and a checksum of the head
    /// itself.
    fn head(fields: &Self::Fields, payload: &[u8]) -> [u8; HEAD_BYTES];

    /// Decodes a head; `None` for bytes that are not a head of this format.
    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Self::Fields>>;

    /// Whether a frame with this head may be the next one. By default any may; a format that
    /// numbers its frames checks the number.
    fn is_next(&self, _fields: &Self::Fields) -> bool {
        true
    }

    /// Whether a frame with this head was written after the current one. If so, the current one is
    /// damaged, not torn.
    fn is_later(&self, _fields: &Self::Fields) -> bool {
        true
    }

    /// Notes that a frame was read.
    fn pass(&mut self, _fields: &Self::Fields) {}
}

/// A head whose own checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHead<F> {
    /// Its fields.
    pub fields: F,
    /// The length of the payload that follows.
    pub payload_bytes: usize,
    /// The XXH3 of the payload.
    pub payload_checksum: u64,
    /// The seed of that checksum; 0 where the format has none.
    pub payload_seed: u64,
}

impl<F> FrameHead<F> {
    /// Whether these bytes are the payload that was written.
    pub fn is_of(&self, payload: &[u8]) -> bool {
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
