//! The event log, below its checksums. The first byte chooses: the payload of one frame, or a file
//! of frames.

use crate::folder::Folder;
use crate::manifest::RUNTIME;
use std::cell::LazyCell;
use taghouse_log::{EmbeddedLog, EventLog, Options};
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

const SEGMENT: &str = "log/00000000000000000001.log";
const FILE_HEAD: usize = 32;
const FRAME_HEAD: usize = 32;
/// So small that a few records fill it.
const OPTIONS: Options = Options { segment_bytes: 600, frame_bytes: 40, dead_bytes: 900 };

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(|| Folder::new("log"));
}

pub fn read(data: &[u8]) {
    let Some(([form, kind], content)) = data.split_first_chunk::<2>() else { return };
    FOLDER.with(|folder| {
        folder.clear();
        let frames = if form % 2 == 0 { frame(*kind, content) } else { frames(content) };
        folder.write(SEGMENT, &[&file_head()[..], &frames].concat());
        for _ in 0..2 {
            let Ok(log) = EmbeddedLog::open_with(&folder.path().join("log"), OPTIONS) else {
                return;
            };
            RUNTIME.block_on(ask(&log));
        }
    });
}

async fn ask(log: &EmbeddedLog) {
    for app in ["shop", "slow"].map(|id| AppId::new(id).expect("an id")) {
        let end = log.end(&app).await.expect("an opened log knows its end");
        let _ = (log.read(&app, 0, 3).await, log.read(&app, end / 2, usize::MAX).await);
        // An end near the largest number cannot be appended to.
        if end < u64::MAX / 2 {
            let records = vec![b"record".to_vec(); 5];
            let last = log.append(&app, records).await.expect("a sound log can be appended to");
            assert_eq!(last, end + 5);
            assert_eq!(log.read(&app, end, 10).await.expect("what is new").len(), 5);
            let _ = log.trim(&app, end + 2).await;
        }
    }
}

fn file_head() -> Vec<u8> {
    let mut head = b"TAGHELOG".to_vec();
    head.extend_from_slice(&1_u64.to_le_bytes());
    head.extend_from_slice(&1_u64.to_le_bytes());
    head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
    head
}

/// A group of one frame.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = 1_u64.to_le_bytes().to_vec();
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&[0, 0, 0, kind]);
    frame.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    frame.extend_from_slice(&xxh3_64(&frame).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The frames of a segment, each with its checksums put right.
fn frames(content: &[u8]) -> Vec<u8> {
    let (mut log, mut at) = (content.to_vec(), 0);
    while let Some(frame) = log.get_mut(at..).filter(|frame| frame.len() >= FRAME_HEAD) {
        let len = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]) as usize;
        if let Some(payload) = frame.get(FRAME_HEAD..FRAME_HEAD.saturating_add(len)) {
            let checksum = xxh3_64(payload);
            frame[16..24].copy_from_slice(&checksum.to_le_bytes());
        }
        let checksum = xxh3_64(&frame[..24]);
        frame[24..32].copy_from_slice(&checksum.to_le_bytes());
        at = at.saturating_add(FRAME_HEAD).saturating_add(len);
    }
    log
}

pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Folder::new("log-seeds");
    let [shop, slow] = ["shop", "slow"].map(|id| AppId::new(id).expect("an id"));
    let records = |count: usize| (0..count).map(|n| vec![b'a'; n]).collect::<Vec<_>>();
    let options = Options { segment_bytes: 300, dead_bytes: 500, ..OPTIONS };
    let log =
        EmbeddedLog::open_with(&folder.path().join("log"), options).expect("a log can be made");
    RUNTIME.block_on(async {
        for _ in 0..3 {
            log.append(&slow, records(3)).await.expect("records are appended");
            let end = log.append(&shop, records(20)).await.expect("records are appended");
            log.trim(&shop, end - 4).await.expect("they are trimmed");
        }
    });
    drop(log);
    let mut seeds = Vec::new();
    for (path, content) in folder.files() {
        if !path.ends_with(".log") || content.len() <= FILE_HEAD {
            continue;
        }
        let mut group = content[FILE_HEAD..].to_vec();
        assert_eq!(frames(&group), group, "the form is the one that the log writes");
        renumber(&mut group, &mut seeds);
        seeds.push([&[1, 0], &group[..]].concat());
    }
    seeds
}

/// Makes the groups begin with 1, as those of the file that is read, and takes each frame's payload
/// as a seed of its own.
fn renumber(frames: &mut [u8], seeds: &mut Vec<Vec<u8>>) {
    let (mut at, mut before) = (0, None);
    while let Some(head) = frames.get_mut(at..at + FRAME_HEAD) {
        let group = u64::from_le_bytes(head[..8].try_into().unwrap_or_default());
        let first = *before.get_or_insert(group - 1);
        head[..8].copy_from_slice(&(group - first).to_le_bytes());
        let len = u32::from_le_bytes(head[8..12].try_into().unwrap_or_default()) as usize;
        let kind = head[15] | 0x80;
        let payload = &frames[at + FRAME_HEAD..at + FRAME_HEAD + len];
        seeds.push([&[0, kind], payload].concat());
        at += FRAME_HEAD + len;
    }
}
