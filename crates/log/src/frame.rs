//! The form of the frames: what was written with one sync is a group of them.
//!
//! ```text
//! head      group 8, payload bytes 4, number in the group 3, kind and whether it is the last 1,
//!           checksum of the payload 8, of the head 8
//! records   app, position of the first 8, how many 4, each: bytes 4, its bytes
//! carried   the same
//! marks     each: app, end 8, trimmed 8
//! trims     each: app, trimmed 8
//! app       bytes 1, its id
//! ```
//!
//! Groups are numbered without gaps through all segments. A group without its last frame was torn,
//! and nothing of it counts.

use crate::mark::Mark;
use taghouse_journal::{FrameFormat, FrameHead, HEAD_BYTES};
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

/// What the payload of a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records at the next positions of their app.
    Records,
    /// Records that stand in an older segment too: this place counts.
    Carried,
    /// The marks of all apps, before anything else of a segment.
    Marks,
    /// How far apps are trimmed from here on.
    Trims,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Records, Self::Carried, Self::Marks, Self::Trims];

    fn code(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::Carried => 2,
            Self::Marks => 3,
            Self::Trims => 4,
        }
    }
}

/// No position and no group has a number as large as this, whatever a file says.
pub(crate) const MAX_NUMBER: u64 = u64::MAX / 2;

/// In a head's last byte of fields, of the group's last frame.
const LAST: u8 = 0x80;

/// Offsets in a head.
mod at {
    pub(super) const PAYLOAD_BYTES: usize = 8;
    /// Three bytes, and one of the kind.
    pub(super) const NUMBER: usize = 12;
    pub(super) const PAYLOAD_CHECKSUM: usize = 16;
    /// Of everything before it.
    pub(super) const CHECKSUM: usize = 24;
}

/// The fields of a frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) group: u64,
    /// Which frame of the group, from 0; below 2^24.
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) is_last: bool,
}

/// The frames of the log: which group and which frame of it come next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFrames {
    pub(crate) group: u64,
    pub(crate) number: u32,
}

impl LogFrames {
    /// Those that begin with this group.
    pub(crate) fn from(group: u64) -> Self {
        Self { group, number: 0 }
    }
}

impl FrameFormat for LogFrames {
    type Fields = Fields;

    fn head(fields: &Fields, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        let last = if fields.is_last { LAST } else { 0 };
        let packed = fields.number | u32::from(fields.kind.code() | last) << 24;
        put(0, &fields.group.to_le_bytes());
        put(at::PAYLOAD_BYTES, &(payload.len() as u32).to_le_bytes());
        put(at::NUMBER, &packed.to_le_bytes());
        put(at::PAYLOAD_CHECKSUM, &xxh3_64(payload).to_le_bytes());
        let checksum = xxh3_64(&head[..at::CHECKSUM]);
        head[at::CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Fields>> {
        let mut numbers = Bytes(bytes);
        let (group, payload_bytes, packed) = (numbers.u64()?, numbers.u32()?, numbers.u32()?);
        let (payload_checksum, checksum) = (numbers.u64()?, numbers.u64()?);
        let kind = (packed >> 24) as u8;
        let kind_of = |code: u8| Kind::ALL.into_iter().find(|kind| kind.code() == code);
        // Before the checksum, which takes longer: a torn end is searched byte by byte.
        let fields = Fields {
            group,
            number: packed & 0x00ff_ffff,
            kind: kind_of(kind & !LAST)?,
            is_last: kind & LAST != 0,
        };
        (checksum == xxh3_64(&bytes[..at::CHECKSUM])).then_some(FrameHead {
            fields,
            payload_bytes: payload_bytes as usize,
            payload_checksum,
            payload_seed: 0,
        })
    }

    fn is_next(&self, fields: &Fields) -> bool {
        (fields.group, fields.number) == (self.group, self.number)
    }

    /// Only of a later group: the frames of one are written at once, and a crash may leave some of
    /// them without those before.
    fn is_later(&self, fields: &Fields) -> bool {
        fields.group > self.group
    }

    fn pass(&mut self, fields: &Fields) {
        *self = if fields.is_last {
            Self::from(fields.group.saturating_add(1))
        } else {
            Self { group: fields.group, number: fields.number + 1 }
        };
    }
}

/// What the beginning of a payload of records says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordsHead<'a> {
    pub(crate) app: &'a str,
    /// The position of the first record.
    pub(crate) first: u64,
    /// At least 1.
    pub(crate) count: u32,
    /// The records' bytes, with their lengths.
    pub(crate) body: &'a [u8],
}

impl<'a> RecordsHead<'a> {
    /// `None`: these are no records.
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let (app, first, count) = (bytes.app()?, bytes.u64()?, bytes.u32()?);
        let is_sound = count > 0 && (1..MAX_NUMBER).contains(&first);
        is_sound.then_some(Self { app, first, count, body: bytes.0 })
    }

    /// The position of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// The bytes of the records alone.
    pub(crate) fn record_bytes(&self) -> u64 {
        (self.body.len() as u64).saturating_sub(u64::from(self.count) * LENGTH_BYTES)
    }

    /// The records one by one; `None` where what follows is not a record.
    pub(crate) fn records(&self) -> impl Iterator<Item = Option<(u64, &'a [u8])>> + use<'a> {
        let mut bytes = Bytes(self.body);
        (self.first..=self.last()).map(move |position| {
            let length = bytes.u32()? as usize;
            Some((position, bytes.take(length)?))
        })
    }
}

/// What a record costs beside its bytes.
pub(crate) const LENGTH_BYTES: u64 = 4;

/// The marks of a payload; `None`: it is something else.
pub(crate) fn marks(payload: &[u8]) -> Option<Vec<(AppId, Mark)>> {
    listed(payload, |bytes| {
        let mark = Mark { end: bytes.u64()?, trimmed: bytes.u64()? };
        (mark.trimmed <= mark.end && mark.end < MAX_NUMBER).then_some(mark)
    })
}

/// The trims of a payload; `None`: it is something else.
pub(crate) fn trims(payload: &[u8]) -> Option<Vec<(AppId, u64)>> {
    listed(payload, Bytes::u64)
}

fn listed<'a, T>(
    payload: &'a [u8],
    read: impl Fn(&mut Bytes<'a>) -> Option<T>,
) -> Option<Vec<(AppId, T)>> {
    let (mut bytes, mut all) = (Bytes(payload), Vec::new());
    while !bytes.0.is_empty() {
        let app = AppId::new(bytes.app()?).ok()?;
        all.push((app, read(&mut bytes)?));
    }
    Some(all)
}

/// Reads from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn app(&mut self) -> Option<&'a str> {
        let length = *self.take(1)?.first()?;
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for kind in Kind::ALL {
            for is_last in [false, true] {
                let fields = Fields { group: 7 << 40, number: 0x00ab_cdef, kind, is_last };
                let head = LogFrames::head(&fields, b"payload");
                let read = LogFrames::read_head(&head).unwrap();
                assert_eq!((read.fields, read.payload_bytes), (fields, 7));
                assert!(read.is_of(b"payload") && !read.is_of(b"payloaD"));
                for at in 0..HEAD_BYTES {
                    let mut bent = head;
                    bent[at] ^= 1;
                    assert_eq!(LogFrames::read_head(&bent).map(|head| head.fields), None, "{at}");
                }
            }
        }
    }
}
