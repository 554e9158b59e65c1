//! An id as it is kept: 32 bytes.

/// What an entry is found by. Runs are in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// The hash of the app.
    pub(super) app: u64,
    pub(super) id: u128,
}

/// An id and the log position of its record; 0: it was read from the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) position: u64,
}

pub(super) const KEY_BYTES: usize = 24;
pub(super) const ENTRY_BYTES: usize = 32;

impl Key {
    pub(super) fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.app.to_be_bytes());
        bytes[8..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8; KEY_BYTES]) -> Self {
        let (app, id) = (bytes.first_chunk(), bytes.last_chunk());
        Self {
            app: app.map_or(0, |bytes| u64::from_be_bytes(*bytes)),
            id: id.map_or(0, |bytes| u128::from_be_bytes(*bytes)),
        }
    }
}

impl Entry {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    pub(super) fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (key, position) = (bytes.first_chunk(), bytes.last_chunk());
        Self {
            key: Key::read(key.unwrap_or(&[0; KEY_BYTES])),
            position: position.map_or(0, |bytes| u64::from_be_bytes(*bytes)),
        }
    }
}
