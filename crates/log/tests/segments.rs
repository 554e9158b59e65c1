//! Many segments: they begin, are removed, and what lives in them is carried on.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/needs/copy_folder.rs"]
mod copy_folder;

use copy_folder::copy_folder;
use futures::future::try_join_all;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use taghouse_log::{EmbeddedLog, Error, EventLog, Options};
use taghouse_model::{AppId, ErrorKind};

const OPTIONS: Options =
    Options { segment_bytes: 16 << 10, frame_bytes: 1 << 10, dead_bytes: 64 << 10 };

fn app(id: &str) -> AppId {
    AppId::new(id).unwrap()
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open_with(&folder.join("log"), OPTIONS).unwrap()
}

fn record(n: u64) -> Vec<u8> {
    n.to_be_bytes().repeat(12)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
    found.sort();
    found
}

fn bytes(folder: &Path) -> u64 {
    segments(folder).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
}

/// Waits until one segment is left.
async fn one_segment(folder: &Path) {
    let began = Instant::now();
    while segments(folder).len() > 1 {
        assert!(began.elapsed() < Duration::from_secs(10), "{} segments", segments(folder).len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Appends records to an app until its end is there.
async fn fill(log: &EmbeddedLog, app: &AppId, until: u64) {
    let mut end = log.end(app).await.unwrap();
    while end < until {
        let records = (end + 1..=until.min(end + 10)).map(record).collect();
        end = log.append(app, records).await.unwrap();
    }
}

async fn assert_has(log: &EmbeddedLog, app: &AppId, first: u64, last: u64) {
    assert_eq!(log.end(app).await.unwrap(), last);
    let records = log.read(app, 0, usize::MAX).await.unwrap();
    let expected: Vec<_> = (first..=last).map(|n| (n, record(n))).collect();
    assert!(records == expected, "{} records of app {app}, not {first} to {last}", records.len());
}

#[tokio::test]
async fn segments_go_once_all_their_records_are_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let log = open(folder.path());
    fill(&log, &shop, 2_000).await;
    assert!(segments(folder.path()).len() > 10);
    log.trim(&shop, 1_990).await.unwrap();
    log.append(&shop, vec![record(2_001)]).await.unwrap();
    one_segment(folder.path()).await;
    assert_has(&log, &shop, 1_991, 2_001).await;
    drop(log);
    let log = open(folder.path());
    assert_has(&log, &shop, 1_991, 2_001).await;
    log.trim(&shop, 2_001).await.unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.append(&shop, vec![record(2_002)]).await.unwrap(), 2_002);
}

/// One app is never trimmed, and has some records in every segment of the others.
#[tokio::test]
async fn an_app_that_is_far_behind_does_not_keep_the_segments_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (app("slow"), app("fast"));
    let (mut lagging, mut carried, mut most) = (0, 0, 0);
    for round in 1..=6 {
        let log = open(folder.path());
        assert_has(&log, &slow, 1, lagging).await;
        for step in 1..=20 {
            lagging += 1;
            fill(&log, &slow, lagging).await;
            let end = ((round - 1) * 20 + step) * 100;
            let before = log.slices();
            fill(&log, &fast, end).await;
            assert!(log.slices() - before <= 20, "one slice at most between two appends");
            log.trim(&fast, end).await.unwrap();
            most = most.max(bytes(folder.path()));
        }
        assert_has(&log, &slow, 1, lagging).await;
        carried += log.slices();
    }
    assert!(carried > 0 && most < 4 * OPTIONS.dead_bytes, "{carried} slices, {most} bytes");
    let log = open(folder.path());
    assert_has(&log, &slow, 1, lagging).await;
    // What is trimmed after it was carried goes as well.
    log.trim(&slow, lagging - 1).await.unwrap();
    assert_has(&log, &slow, lagging, lagging).await;
    drop(log);
    assert_has(&open(folder.path()), &slow, lagging, lagging).await;
}

/// Where most of it lives, nothing is carried: it would come back as large.
#[tokio::test]
async fn segments_that_mostly_live_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (app("slow"), app("fast"));
    let log = open(folder.path());
    for end in (50..=2_000).step_by(50) {
        fill(&log, &slow, end).await;
        fill(&log, &fast, end).await;
        log.trim(&fast, end).await.unwrap();
    }
    assert_eq!(log.slices(), 0);
    assert_has(&log, &slow, 1, 2_000).await;
}

#[tokio::test]
async fn thousands_of_apps_share_syncs_and_segments() {
    const APPS: u64 = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let apps: Vec<AppId> = (0..APPS).map(|n| app(&format!("app-{n}"))).collect();
    // The marks alone are larger than a segment.
    let options = Options { dead_bytes: 1 << 20, ..OPTIONS };
    let open = || EmbeddedLog::open_with(&folder.path().join("log"), options).unwrap();
    let log = open();
    for n in 1..=12 {
        try_join_all(apps.iter().map(|app| log.append(app, vec![record(n)]))).await.unwrap();
        let trims = apps.iter().enumerate().filter(|(number, _)| number % 10 != 0);
        try_join_all(trims.map(|(_, app)| log.trim(app, n))).await.unwrap();
    }
    assert!(log.syncs() < 12 * APPS / 4, "{} syncs", log.syncs());
    drop(log);
    let log = open();
    for (number, app) in apps.iter().enumerate() {
        let first = if number % 10 == 0 { 1 } else { 13 };
        assert_has(&log, app, first, 12).await;
        assert_eq!(log.append(app, vec![record(13)]).await.unwrap(), 13);
    }
    let size = bytes(folder.path());
    assert!(size < 12 * APPS * 200, "{size} bytes");
}

/// Appends go on while much is carried.
#[tokio::test]
async fn an_append_waits_for_one_slice_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (app("slow"), app("fast"));
    let options = Options { segment_bytes: 64 << 20, frame_bytes: 64 << 10, dead_bytes: u64::MAX };
    let large = |count: usize| vec![vec![7; 1 << 20]; count];
    {
        let log = EmbeddedLog::open_with(&folder.path().join("log"), options).unwrap();
        for _ in 0..4 {
            log.append(&slow, large(12)).await.unwrap();
            log.append(&fast, large(30)).await.unwrap();
            log.append(&fast, large(30)).await.unwrap();
        }
        let end = log.end(&fast).await.unwrap();
        log.trim(&fast, end).await.unwrap();
    }
    let options = Options { dead_bytes: 32 << 20, ..options };
    let log = EmbeddedLog::open_with(&folder.path().join("log"), options).unwrap();
    let (mut most, mut beside, began) = (0, 0, Instant::now());
    while segments(folder.path()).len() > 2 {
        let before = log.slices();
        log.append(&fast, vec![record(1)]).await.unwrap();
        most = most.max(log.slices() - before);
        beside += u32::from(log.slices() > before);
        assert!(began.elapsed() < Duration::from_secs(60), "the segments stay");
    }
    assert!(most <= 3 && beside > 0, "an append waited for {most} slices, {beside} for any");
    assert_eq!(log.read(&slow, 0, 100).await.unwrap().len(), 48);
    drop(log);
    let log = EmbeddedLog::open(&folder.path().join("log")).unwrap();
    assert_eq!(log.read(&slow, 0, 100).await.unwrap().len(), 48);
}

/// Readers at any position beside appends, trims, segments that go and records that are carried:
/// what they get follows on from where they asked, or from what is trimmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_go_on_beside_everything() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let (slow, fast) = (app("slow"), app("fast"));
    let done = Arc::new(AtomicBool::new(false));
    let readers = (1..=3_u64).map(|reader| {
        let (log, done, apps) = (log.clone(), done.clone(), [slow.clone(), fast.clone()]);
        tokio::spawn(async move {
            let mut reads = 0_u64;
            while !done.load(Ordering::SeqCst) {
                let app = &apps[(reads % 2) as usize];
                let end = log.end(app).await.unwrap();
                let from = (reads * 31 + reader * 17) % (end + 1);
                let limit = 1 + (reads % 90) as usize;
                let records = log.read(app, from, limit).await.unwrap();
                assert!(records.iter().all(|(position, bytes)| *bytes == record(*position)));
                assert!(records.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
                assert!(records.first().is_none_or(|(first, _)| *first > from));
                if *app == apps[0] {
                    let expected = from + 1..=end.min(from + limit as u64);
                    let found: Vec<u64> = records.iter().map(|(position, _)| *position).collect();
                    assert!(found.starts_with(&expected.collect::<Vec<_>>()));
                }
                reads += 1;
            }
            reads
        })
    });
    let readers: Vec<_> = readers.collect();
    for n in 1..=150 {
        fill(&log, &slow, n).await;
        fill(&log, &fast, n * 50).await;
        log.trim(&fast, n * 50 - 20).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 20);
    }
    assert!(log.slices() > 0, "nothing was carried meanwhile");
}

#[tokio::test]
async fn a_frozen_log_is_written_as_it_was_though_its_segments_go() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (app("slow"), app("fast"));
    let log = open(folder.path());
    let nothing = log.freeze().await.unwrap();
    fill(&log, &slow, 30).await;
    fill(&log, &fast, 1_000).await;
    fill(&log, &slow, 40).await;
    log.trim(&fast, 500).await.unwrap();
    log.trim(&slow, 3).await.unwrap();
    let frozen = log.freeze().await.unwrap();
    fill(&log, &fast, 1_500).await;
    log.trim(&fast, 1_500).await.unwrap();
    log.trim(&slow, 40).await.unwrap();
    log.append(&slow, vec![record(41)]).await.unwrap();
    one_segment(folder.path()).await;

    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let copies = [copy.join("log"), copy.join("empty")];
    let to = copies.clone();
    tokio::task::spawn_blocking(move || {
        frozen.write(&to[0]).unwrap();
        nothing.write(&to[1]).unwrap();
    })
    .await
    .unwrap();
    let of_marks = taghouse_disk::Mark::read(&folder.path().join("log.mark"));
    {
        let log = open(&copy);
        assert_has(&log, &slow, 4, 40).await;
        assert_has(&log, &fast, 501, 1_000).await;
        assert_eq!(log.append(&slow, vec![record(41)]).await.unwrap(), 41);
    }
    assert_has(&EmbeddedLog::open(&copies[1]).unwrap(), &slow, 1, 0).await;
    // A mark that stays behind where the copy takes the place of a log that went on.
    let of_copy = taghouse_disk::Mark::read(&copy.join("log.mark"));
    assert!(of_copy < of_marks && of_copy > Some(50), "{of_copy:?}, {of_marks:?}");
    std::fs::copy(folder.path().join("log.mark"), copy.join("log.mark")).unwrap();
    assert!(matches!(EmbeddedLog::open(&copies[0]), Err(Error::Lost { .. })));
}

#[tokio::test]
async fn a_segment_that_is_missing_or_damaged_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let whole = home.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    {
        let log = open(&whole);
        fill(&log, &shop, 700).await;
        log.trim(&shop, 300).await.unwrap();
    }
    let count = segments(&whole).len();
    assert!(count > 3);
    let refused = |harm: &dyn Fn(&[PathBuf]), names: usize| {
        let folder = home.path().join("harmed");
        copy_folder(&whole, &folder);
        let files = segments(&folder);
        harm(&files);
        let error = EmbeddedLog::open_with(&folder.join("log"), OPTIONS).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let named = files.get(names).cloned().unwrap_or(folder.join("log"));
        assert!(error.to_string().contains(named.to_str().unwrap()), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    };
    let cut = |file: &Path, bytes: usize| {
        let content = std::fs::read(file).unwrap();
        std::fs::write(file, &content[..bytes.min(content.len() - 1)]).unwrap();
    };
    refused(&|files| std::fs::remove_file(&files[0]).unwrap(), count);
    refused(&|files| std::fs::remove_file(&files[1]).unwrap(), 2);
    refused(&|files| std::fs::remove_file(&files[count - 1]).unwrap(), count);
    refused(&|files| cut(&files[1], usize::MAX), 1);
    refused(&|files| cut(&files[1], 20), 1);
    refused(&|files| std::fs::rename(&files[0], &files[count - 1]).unwrap(), count - 1);
    for number in 0..count {
        let length = std::fs::metadata(&segments(&whole)[number]).unwrap().len() as usize;
        for at in (0..length).step_by(211) {
            let flip = |files: &[PathBuf]| {
                let mut content = std::fs::read(&files[number]).unwrap();
                content[at] ^= 0x10;
                std::fs::write(&files[number], content).unwrap();
            };
            refused(&flip, number);
        }
    }
}

#[tokio::test]
async fn damage_under_an_open_log_is_said_by_the_read() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let log = open(folder.path());
    fill(&log, &shop, 9).await;
    fill(&log, &shop, 10).await;
    let path = segments(folder.path()).remove(0);
    let mut content = std::fs::read(&path).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    std::fs::write(&path, content).unwrap();
    assert_eq!(log.read(&shop, 0, 9).await.unwrap().len(), 9);
    let error = log.read(&shop, 9, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_folder_of_the_old_form_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::create_dir_all(log.join("keyspaces/0")).unwrap();
    std::fs::write(log.join("0.jnl"), "journal").unwrap();
    let error = EmbeddedLog::open(&log).err().unwrap();
    assert!(matches!(error, Error::OldForm(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(log.to_str().unwrap()) && text.contains("new data folder"), "{text}");
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 2);
}
