use crate::{Error, Result};

/// What outlives an app's records, so that no position is given twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The last position given, 0 before the first.
    pub(crate) end: u64,
    /// The last position dropped; never past `end`.
    pub(crate) trimmed: u64,
}

impl Mark {
    /// Both numbers, big-endian.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.end.to_be_bytes());
        bytes[8..].copy_from_slice(&self.trimmed.to_be_bytes());
        bytes
    }

    /// The mark as stored; nothing stored is a log without records.
    pub(crate) fn from_bytes(bytes: Option<&[u8]>) -> Result<Self> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let mark = match (bytes.len(), bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (16, Some(end), Some(trimmed)) => {
                Self { end: u64::from_be_bytes(*end), trimmed: u64::from_be_bytes(*trimmed) }
            }
            _ => return Err(Error::Corrupt(format!("a mark has {} bytes", bytes.len()))),
        };
        if mark.trimmed <= mark.end {
            Ok(mark)
        } else {
            Err(Error::Corrupt(format!(
                "a log ends at {} but is trimmed to {}",
                mark.end, mark.trimmed
            )))
        }
    }
}
