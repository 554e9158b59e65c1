//! The frame format of the change log; `change_log` describes it.

use taghouse_journal::{FrameFormat, FrameHead, HEAD_BYTES};
use xxhash_rust::xxh3::xxh3_64;

/// The frame format of the change log. `next` is the position at which the next frame begins.
pub(super) struct ChangeFrames {
    pub(super) next: u64,
}

/// Offsets in a frame's head.
mod frame_head_at {
    pub(super) const PAYLOAD_BYTES: usize = 0;
    pub(super) const CHANGES: usize = 4;
    pub(super) const FIRST: usize = 8;
    pub(super) const PAYLOAD_CHECKSUM: usize = 16;
    /// Of everything before it.
    pub(super) const CHECKSUM: usize = 24;
}

/// The fields of a frame's head.
pub(super) struct Fields {
    /// The position of the first change.
    pub(super) first: u64,
    /// The number of changes.
    pub(super) changes: u32,
}

impl FrameFormat for ChangeFrames {
    type Fields = Fields;

    fn head(fields: &Fields, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(frame_head_at::PAYLOAD_BYTES, &(payload.len() as u32).to_le_bytes());
        put(frame_head_at::CHANGES, &fields.changes.to_le_bytes());
        put(frame_head_at::FIRST, &fields.first.to_le_bytes());
        put(frame_head_at::PAYLOAD_CHECKSUM, &xxh3_64(payload).to_le_bytes());
        let checksum = xxh3_64(&head[..frame_head_at::CHECKSUM]);
        head[frame_head_at::CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Fields>> {
        let checksum = xxh3_64(&bytes[..frame_head_at::CHECKSUM]);
        (u64_at(bytes, frame_head_at::CHECKSUM) == checksum).then(|| FrameHead {
            fields: Fields {
                first: u64_at(bytes, frame_head_at::FIRST),
                changes: u32_at(bytes, frame_head_at::CHANGES),
            },
            payload_bytes: u32_at(bytes, frame_head_at::PAYLOAD_BYTES) as usize,
            payload_checksum: u64_at(bytes, frame_head_at::PAYLOAD_CHECKSUM),
            payload_seed: 0,
        })
    }

    fn is_next(&self, fields: &Fields) -> bool {
        fields.first == self.next
    }

    fn is_later(&self, fields: &Fields) -> bool {
        fields.first > self.next
    }

    fn pass(&mut self, fields: &Fields) {
        self.next += u64::from(fields.changes);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}
