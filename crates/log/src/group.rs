//! Puts the frames of one group together, to be written at once.

use crate::frame::{Fields, Kind, LogFrames};
use crate::mark::Mark;
use taghouse_journal::{FrameFormat, HEAD_BYTES};
use taghouse_model::AppId;

/// Where in a group a frame of records is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) app: AppId,
    /// The position of the first record.
    pub(crate) first: u64,
    /// The position of the last record.
    pub(crate) last: u64,
    /// Where the frame begins, from the group's begin.
    pub(crate) offset: u64,
    /// Where the frame ends.
    pub(crate) end: u64,
    /// The bytes of the records alone.
    pub(crate) record_bytes: u64,
}

/// A group that grows.
pub(crate) struct Group {
    group: u64,
    frame_bytes: usize,
    bytes: Vec<u8>,
    number: u32,
    /// The frame that is being put together; the rest is whole but for the last one's flag.
    open: Option<OpenFrame>,
    placed: Vec<Placed>,
}

struct OpenFrame {
    kind: Kind,
    begin: usize,
    /// Of records.
    records: Option<OpenRecords>,
}

struct OpenRecords {
    app: AppId,
    first: u64,
    next: u64,
    record_bytes: u64,
    /// Where the number of records stands.
    count_at: usize,
}

/// A group as it is written, and where its records are.
pub(crate) struct GroupBytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) placed: Vec<Placed>,
}

impl Group {
    /// One of this number. A frame ends behind what reaches `frame_bytes`. `bytes` is emptied and
    /// used.
    pub(crate) fn new(group: u64, frame_bytes: usize, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { group, frame_bytes, bytes, number: 0, open: None, placed: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the record at a position of an app: those of an app in a row share frames.
    pub(crate) fn record(&mut self, kind: Kind, app: &AppId, position: u64, record: &[u8]) {
        let follows = self.open.as_ref().is_some_and(|open| {
            let records = open.records.as_ref();
            open.kind == kind
                && records.is_some_and(|records| records.app == *app && records.next == position)
        });
        if !follows || self.is_full() {
            self.begin(kind);
            self.put_app(app);
            self.bytes.extend_from_slice(&position.to_le_bytes());
            let count_at = self.bytes.len();
            self.bytes.extend_from_slice(&0_u32.to_le_bytes());
            if let Some(open) = &mut self.open {
                open.records = Some(OpenRecords {
                    app: app.clone(),
                    first: position,
                    next: position,
                    record_bytes: 0,
                    count_at,
                });
            }
        }
        self.bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(record);
        if let Some(records) = self.open.as_mut().and_then(|open| open.records.as_mut()) {
            records.next += 1;
            records.record_bytes += record.len() as u64;
        }
    }

    /// Adds the mark of an app.
    pub(crate) fn mark(&mut self, app: &AppId, mark: Mark) {
        self.begin_list(Kind::Marks);
        self.put_app(app);
        self.bytes.extend_from_slice(&mark.end.to_le_bytes());
        self.bytes.extend_from_slice(&mark.trimmed.to_le_bytes());
    }

    /// Adds how far an app is trimmed.
    pub(crate) fn trim(&mut self, app: &AppId, trimmed: u64) {
        self.begin_list(Kind::Trims);
        self.put_app(app);
        self.bytes.extend_from_slice(&trimmed.to_le_bytes());
    }

    /// The whole group.
    pub(crate) fn finish(mut self) -> GroupBytes {
        self.close(true);
        GroupBytes { bytes: self.bytes, placed: self.placed }
    }

    fn is_full(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| self.bytes.len() - open.begin - HEAD_BYTES >= self.frame_bytes)
    }

    fn begin_list(&mut self, kind: Kind) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) || self.is_full() {
            self.begin(kind);
        }
    }

    fn begin(&mut self, kind: Kind) {
        self.close(false);
        self.open = Some(OpenFrame { kind, begin: self.bytes.len(), records: None });
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
    }

    fn put_app(&mut self, app: &AppId) {
        let id = app.as_str().as_bytes();
        // An id has 63 bytes at most.
        self.bytes.push(id.len() as u8);
        self.bytes.extend_from_slice(id);
    }

    /// Ends the frame that is being put together: its head is known now.
    fn close(&mut self, is_last: bool) {
        let Some(OpenFrame { kind, begin, records }) = self.open.take() else { return };
        if let Some(OpenRecords { app, first, next, record_bytes, count_at }) = records {
            let count = (next - first) as u32;
            self.bytes[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
            let (offset, end) = (begin as u64, self.bytes.len() as u64);
            self.placed.push(Placed { app, first, last: next - 1, offset, end, record_bytes });
        }
        let fields = Fields { group: self.group, number: self.number, kind, is_last };
        let head = LogFrames::head(&fields, &self.bytes[begin + HEAD_BYTES..]);
        self.bytes[begin..begin + HEAD_BYTES].copy_from_slice(&head);
        self.number += 1;
    }
}
