//! A frame: changes of one instant and log position.
//!
//! ```text
//! head      payload bytes 4, records 4, first id 8, checksum of the payload 8, of the head 8
//! payload   instant 8, log position 8, changes
//! ```

use crate::record::{Change, Record};
use crate::value_bytes::Bytes;
use taghouse_journal::{FrameFormat, FrameHead, HEAD_BYTES, frame_bytes};
use taghouse_model::TimestampMs;
use xxhash_rust::xxh3::xxh3_64;

/// A frame ends behind the change that reaches this, so that a reader holds little at a time.
const FRAME_BYTES: usize = 64 << 10;

/// The frames of a feed; `next` is the id of the next one's first record.
pub(crate) struct FeedFrames {
    pub(crate) next: u64,
}

/// The fields of a frame's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) first: u64,
    pub(crate) records: u32,
}

impl Fields {
    /// The id behind the last record.
    pub(crate) fn next(self) -> u64 {
        self.first.saturating_add(u64::from(self.records))
    }
}

impl FrameFormat for FeedFrames {
    type Fields = Fields;

    fn head(fields: &Fields, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&fields.records.to_le_bytes());
        head[8..16].copy_from_slice(&fields.first.to_le_bytes());
        head[16..24].copy_from_slice(&xxh3_64(payload).to_le_bytes());
        let checksum = xxh3_64(&head[..24]);
        head[24..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Fields>> {
        let mut numbers = Bytes(&bytes[..]);
        let lengths = numbers.number()?;
        let (first, payload_checksum) = (numbers.number()?, numbers.number()?);
        (numbers.number()? == xxh3_64(&bytes[..24])).then_some(FrameHead {
            fields: Fields { first, records: (lengths >> 32) as u32 },
            payload_bytes: (lengths & u64::from(u32::MAX)) as usize,
            payload_checksum,
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
        self.next = fields.next();
    }
}

/// Adds the frames of these changes, whose first has the id `first`; the id behind the last.
pub(crate) fn put_frames(
    bytes: &mut Vec<u8>,
    first: u64,
    at_ms: TimestampMs,
    position: u64,
    changes: &[Change],
) -> u64 {
    let mut fields = Fields { first, records: 0 };
    let begin = || {
        let mut payload = Vec::new();
        payload.extend_from_slice(&at_ms.to_le_bytes());
        payload.extend_from_slice(&position.to_le_bytes());
        payload
    };
    let mut payload = begin();
    for change in changes {
        change.put(&mut payload);
        fields.records += 1;
        if payload.len() >= FRAME_BYTES {
            bytes.extend(frame_bytes::<FeedFrames>(&fields, &payload));
            fields = Fields { first: fields.next(), records: 0 };
            payload = begin();
        }
    }
    if fields.records > 0 {
        bytes.extend(frame_bytes::<FeedFrames>(&fields, &payload));
    }
    fields.next()
}

/// The records of a frame's payload; `None`: it is not what [`put_frames`] writes.
pub(crate) fn records(fields: Fields, payload: &[u8]) -> Option<Vec<Record>> {
    let mut bytes = Bytes(payload);
    let (at_ms, position) = (bytes.signed()?, bytes.number()?);
    let mut records = Vec::new();
    for id in fields.first..fields.next() {
        records.push(Record { id, at_ms, position, change: Change::read(&mut bytes)? });
    }
    bytes.is_empty().then_some(records)
}
