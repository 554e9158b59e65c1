//! Groups that are not whole, and syncs that fail.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use taghouse_disk::rehearsal::Rehearsal;
use taghouse_log::{EmbeddedLog, Error, EventLog, Options};
use taghouse_model::{AppId, ErrorKind};

/// Frames so small that a group has several.
const OPTIONS: Options = Options { segment_bytes: 64 << 20, frame_bytes: 50, dead_bytes: u64::MAX };
const PAGE: usize = 4096;

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open_with(&folder.join("log"), OPTIONS).unwrap()
}

fn last_segment(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max().unwrap()
}

fn length(folder: &Path) -> usize {
    std::fs::metadata(last_segment(folder)).unwrap().len() as usize
}

fn records(count: u8, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![n + 1; bytes]).collect()
}

async fn texts(log: &EmbeddedLog) -> Vec<Vec<u8>> {
    log.read(&shop(), 0, usize::MAX).await.unwrap().into_iter().map(|(_, record)| record).collect()
}

/// A log of one group and another of several frames, and where the second begins.
async fn two_groups(folder: &Path, bytes: usize) -> (Vec<u8>, usize) {
    let log = open(folder);
    log.append(&shop(), records(2, 10)).await.unwrap();
    let begin = length(folder);
    log.append(&shop(), records(12, bytes)).await.unwrap();
    drop(log);
    (std::fs::read(last_segment(folder)).unwrap(), begin)
}

#[tokio::test]
async fn a_group_is_there_as_a_whole_or_not_at_all_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (content, begin) = two_groups(folder.path(), 20).await;
    let path = last_segment(folder.path());
    for kept in begin..=content.len() {
        std::fs::write(&path, &content[..kept]).unwrap();
        std::fs::remove_file(folder.path().join("log.mark")).unwrap();
        let log = open(folder.path());
        let whole = if kept == content.len() { 14 } else { 2 };
        assert_eq!(texts(&log).await.len(), whole, "{kept} bytes of {}", content.len());
        assert_eq!(log.append(&shop(), records(1, 5)).await.unwrap(), whole as u64 + 1);
        drop(log);
        assert_eq!(texts(&open(folder.path())).await.len(), whole + 1);
    }
}

/// Pages that were never written, with later frames of the same group behind them.
#[tokio::test]
async fn a_group_whose_pages_are_missing_is_torn_too() {
    let folder = tempfile::tempdir().unwrap();
    let (content, begin) = two_groups(folder.path(), 3_000).await;
    let path = last_segment(folder.path());
    let pages = begin.div_ceil(PAGE)..content.len() / PAGE;
    assert!(pages.len() > 6);
    for page in pages.clone() {
        for count in 1..=2 {
            let mut torn = content.clone();
            torn[page * PAGE..((page + count) * PAGE).min(content.len())].fill(0);
            std::fs::write(&path, torn).unwrap();
            std::fs::remove_file(folder.path().join("log.mark")).unwrap();
            assert_eq!(texts(&open(folder.path())).await.len(), 2, "page {page}");
        }
    }
    // With an acknowledged group behind it, it is damage.
    std::fs::write(&path, &content).unwrap();
    open(folder.path()).append(&shop(), records(1, 5)).await.unwrap();
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[pages.start * PAGE..(pages.start + 1) * PAGE].fill(0);
    std::fs::write(&path, damaged).unwrap();
    std::fs::remove_file(folder.path().join("log.mark")).unwrap();
    let error = EmbeddedLog::open(&folder.path().join("log")).err().unwrap();
    assert!(matches!(&error, Error::Corrupt(what) if what.contains("is damaged")), "{error}");
}

/// What was never acknowledged may be there at the next opening or not; what was must be.
#[tokio::test]
async fn a_group_that_was_never_acknowledged_may_be_gone_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let log = open(&root);
    assert_eq!(log.append(&shop(), records(1, 5)).await.unwrap(), 1);
    let acknowledged = length(&root);
    {
        // Neither can it be cut off.
        let rehearsal = Rehearsal::of(&root).unwrap();
        rehearsal.fail_when(|path| path.extension().is_some_and(|ending| ending == "log"));
        let error = log.append(&shop(), records(2, 5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(root.join("log").to_str().unwrap()), "{error}");
        assert_eq!(log.end(&shop()).await.unwrap(), 1);
        let unheard = log.append(&shop(), records(2, 5)).await.unwrap_err();
        assert_eq!(unheard.kind(), ErrorKind::Unavailable);
        drop(log);
    }
    let path = last_segment(&root);
    let content = std::fs::read(&path).unwrap();
    assert_eq!(texts(&open(&root)).await[..1], records(1, 5));
    std::fs::write(&path, &content[..acknowledged]).unwrap();
    assert_eq!(texts(&open(&root)).await, records(1, 5));
    std::fs::write(&path, &content[..acknowledged - 1]).unwrap();
    let lost = EmbeddedLog::open(&root.join("log")).err().unwrap();
    assert!(matches!(lost, Error::Lost { missing: 1, .. }), "{lost}");
}

/// Syncs of files and of the folder that fail for a while, segments that begin meanwhile, and a
/// loss of power at the end.
#[tokio::test]
async fn what_is_acknowledged_between_failing_syncs_survives_a_loss_of_power() {
    for case in 0..24_usize {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let options = Options { segment_bytes: 400, frame_bytes: 50, dead_bytes: 600 };
        let log = EmbeddedLog::open_with(&root.join("log"), options).unwrap();
        let rehearsal = Rehearsal::of(&root).unwrap();
        let slow = AppId::new("slow").unwrap();
        log.append(&slow, records(3, 20)).await.unwrap();
        let mut known = Vec::new();
        for n in 0..40 {
            if n % 8 == case % 8 {
                let count = std::sync::atomic::AtomicUsize::new(0);
                rehearsal.fail_when(move |path| {
                    let seen = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let is_meant = match case / 8 {
                        0 => path.extension().is_some_and(|ending| ending == "log"),
                        1 => path.ends_with("log"),
                        _ => true,
                    };
                    is_meant && seen % 2 == n % 2
                });
            }
            if n % 8 == (case + 3) % 8 {
                rehearsal.fail_no_more();
            }
            match log.append(&shop(), vec![format!("{n}").into_bytes()]).await {
                Ok(position) => known.push((position, format!("{n}").into_bytes())),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            if n % 5 == 4 {
                // Whether it works or not: what it names is not asked for again.
                let through = log.end(&shop()).await.unwrap().saturating_sub(4);
                let _ = log.trim(&shop(), through).await;
                known.retain(|(position, _)| *position > through);
            }
            assert_eq!(log.read(&slow, 0, 10).await.unwrap().len(), 3);
        }
        assert!(!known.is_empty());
        drop(log);
        rehearsal.lose_power().unwrap();
        let log = EmbeddedLog::open_with(&root.join("log"), options).unwrap();
        let read = log.read(&shop(), 0, usize::MAX).await.unwrap();
        assert!(known.iter().all(|record| read.contains(record)), "case {case}");
        assert!(read.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "case {case}");
        let end = log.end(&shop()).await.unwrap();
        assert_eq!(read.last().map(|(position, _)| *position), Some(end));
        assert_eq!(log.read(&slow, 0, 10).await.unwrap().len(), 3);
        assert_eq!(log.append(&shop(), records(1, 1)).await.unwrap(), end + 1);
    }
}
