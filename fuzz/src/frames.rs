//! Frames as the logs of live changes and the change feed have them, with their checksums.

use xxhash_rust::xxh3::xxh3_64;

pub(crate) const FRAME_HEAD: usize = 32;

/// A frame of so many records, of which the first has this number.
pub(crate) fn frame(first: u64, records: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&records.to_le_bytes());
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    frame.extend_from_slice(&xxh3_64(&frame).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Frames, each with its checksums put right.
pub(crate) fn frames(content: &[u8]) -> Vec<u8> {
    let (mut file, mut at) = (content.to_vec(), 0);
    while let Some(frame) = file.get_mut(at..).filter(|frame| frame.len() >= FRAME_HEAD) {
        let len = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        if let Some(payload) = frame.get(FRAME_HEAD..FRAME_HEAD.saturating_add(len)) {
            let checksum = xxh3_64(payload);
            frame[16..24].copy_from_slice(&checksum.to_le_bytes());
        }
        let checksum = xxh3_64(&frame[..24]);
        frame[24..32].copy_from_slice(&checksum.to_le_bytes());
        at = at.saturating_add(FRAME_HEAD).saturating_add(len);
    }
    file
}
