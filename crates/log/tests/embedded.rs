//! The embedded log through its public face.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/needs/small_disk.rs"]
mod small_disk;

use small_disk::SmallDisk;
use std::path::Path;
use taghouse_log::{EmbeddedLog, Error, EventLog, MAX_APPEND_BYTES, MAX_READ_BYTES, MAX_RECORD_BYTES};
use taghouse_model::{AppId, ErrorKind};

fn app(id: &str) -> AppId {
    AppId::new(id).unwrap()
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(&folder.join("log")).unwrap()
}

fn texts(records: &[&str]) -> Vec<Vec<u8>> {
    records.iter().map(|text| text.as_bytes().to_vec()).collect()
}

async fn shown(log: &EmbeddedLog, app: &AppId, from: u64, limit: usize) -> Vec<String> {
    let records = log.read(app, from, limit).await.unwrap();
    records.into_iter().map(|(position, bytes)| format!("{position}:{}", String::from_utf8(bytes).unwrap())).collect()
}

#[tokio::test]
async fn positions_are_dense_from_one_and_apart_by_app() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    // One id is the beginning of the others, and '-' sorts before every other byte of an id.
    let apps = [app("a"), app("a-"), app("aa")];
    for (n, id) in apps.iter().enumerate() {
        assert_eq!(log.end(id).await.unwrap(), 0);
        assert_eq!(log.append(id, Vec::new()).await.unwrap(), 0, "nothing appended, nothing given");
        assert_eq!(log.append(id, texts(&[&format!("{n}x"), &format!("{n}y")])).await.unwrap(), 2);
    }
    assert_eq!(log.append(&apps[0], texts(&["", "0z"])).await.unwrap(), 4);
    assert_eq!(shown(&log, &apps[0], 0, 10).await, ["1:0x", "2:0y", "3:", "4:0z"]);
    assert_eq!(shown(&log, &apps[1], 0, 10).await, ["1:1x", "2:1y"]);
    assert_eq!(shown(&log, &apps[2], 0, 10).await, ["1:2x", "2:2y"]);
}

#[tokio::test]
async fn read_starts_behind_from_and_stops_at_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let shop = app("shop");
    log.append(&shop, texts(&["a", "b", "c", "d"])).await.unwrap();
    let cases: [(u64, usize, &[&str]); 6] =
        [(0, 2, &["1:a", "2:b"]), (2, 2, &["3:c", "4:d"]), (3, 100, &["4:d"]), (4, 100, &[]), (u64::MAX, 100, &[]), (0, 0, &[])];
    for (from, limit, expected) in cases {
        assert_eq!(shown(&log, &shop, from, limit).await, expected, "from {from}, limit {limit}");
    }
}

#[tokio::test]
async fn no_position_is_given_twice_across_trim_and_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    {
        let log = open(folder.path());
        log.append(&shop, texts(&["a", "b", "c"])).await.unwrap();
        log.trim(&shop, 2).await.unwrap();
        log.trim(&shop, 1).await.unwrap();
        assert_eq!(shown(&log, &shop, 0, 10).await, ["3:c"]);
        let past = log.trim(&shop, 4).await.unwrap_err();
        assert!(matches!(past, Error::PastEnd { end: 3, .. }), "{past}");
        assert_eq!(past.kind(), ErrorKind::Invalid);
        log.trim(&shop, 3).await.unwrap();
        assert_eq!(shown(&log, &shop, 0, 10).await, [""; 0]);
    }
    let log = open(folder.path());
    assert_eq!(log.end(&shop).await.unwrap(), 3);
    assert_eq!(log.append(&shop, texts(&["d"])).await.unwrap(), 4);
    assert_eq!(shown(&log, &shop, 0, 10).await, ["4:d"]);
}

#[tokio::test]
async fn a_trim_longer_than_one_step_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    {
        let log = open(folder.path());
        let many: Vec<Vec<u8>> = (0..25_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(log.append(&shop, many).await.unwrap(), 25_000);
        log.trim(&shop, 24_998).await.unwrap();
    }
    let log = open(folder.path());
    let left = log.read(&shop, 0, 100).await.unwrap();
    assert_eq!(left, [(24_999, 24_998u32.to_be_bytes().to_vec()), (25_000, 24_999u32.to_be_bytes().to_vec())]);
}

/// A long trim is removed in slices: an append that comes meanwhile waits for the one under way and the one behind its own group.
#[tokio::test]
async fn appends_go_on_during_a_long_trim() {
    const DEAD: u64 = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let mut appended = DEAD;
    {
        let log = open(folder.path());
        assert_eq!(log.append(&shop, vec![b"x".to_vec(); DEAD as usize]).await.unwrap(), DEAD);
        log.trim(&shop, DEAD).await.unwrap();
        let mut most = 0;
        for _ in 0..5 {
            let before = log.slices();
            appended += 1;
            assert_eq!(log.append(&shop, texts(&["live"])).await.unwrap(), appended);
            most = most.max(log.slices() - before);
        }
        assert!(most <= 3, "an append waited for {most} slices");
        assert!(log.slices() < DEAD / 2_000, "the appends came after the trim's end");
    }
    // The rest is removed by the next opening, beside its appends too.
    let log = open(folder.path());
    appended += 1;
    assert_eq!(log.append(&shop, texts(&["live"])).await.unwrap(), appended);
    let left = log.read(&shop, 0, 100).await.unwrap();
    assert_eq!(left.first().map(|(position, _)| *position), Some(DEAD + 1));
    assert_eq!(left.len(), 6);
    let quiet = std::time::Duration::from_secs(1);
    loop {
        let slices = log.slices();
        tokio::time::sleep(quiet).await;
        if log.slices() == slices {
            break;
        }
    }
    drop(log);
    let log = open(folder.path());
    tokio::time::sleep(quiet).await;
    assert_eq!(log.slices(), 0, "something is left of what was trimmed");
}

#[tokio::test]
async fn limits_refuse_the_whole_append() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let shop = app("shop");
    let long = log.append(&shop, vec![vec![1], vec![0; MAX_RECORD_BYTES + 1]]).await.unwrap_err();
    assert!(matches!(long, Error::RecordTooLong { index: 1, .. }), "{long}");
    let mut full = vec![vec![7; MAX_RECORD_BYTES]; MAX_APPEND_BYTES / MAX_RECORD_BYTES];
    full.push(vec![7]);
    let large = log.append(&shop, full.clone()).await.unwrap_err();
    assert!(matches!(large, Error::AppendTooLarge { records: 33, .. }), "{large}");
    assert_eq!((long.kind(), large.kind()), (ErrorKind::Invalid, ErrorKind::Invalid));
    assert_eq!(log.end(&shop).await.unwrap(), 0, "nothing of a refused append is kept");

    full.pop();
    for end in [32, 64, 96] {
        assert_eq!(log.append(&shop, full.clone()).await.unwrap(), end, "just at the limit");
    }
    let first = log.read(&shop, 0, usize::MAX).await.unwrap();
    assert_eq!(first.len(), MAX_READ_BYTES / MAX_RECORD_BYTES, "a read is bounded in bytes");
    assert_eq!(log.read(&shop, first.len() as u64, usize::MAX).await.unwrap().len(), 32, "and goes on from there");
}

#[tokio::test]
async fn concurrent_appends_share_syncs_and_keep_each_callers_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let shop = app("shop");
    let appends = (0..400u32).map(|n| {
        let records = (0..3u32).map(|part| [n.to_be_bytes(), part.to_be_bytes()].concat()).collect();
        let (log, shop) = (&log, &shop);
        async move { (n, log.append(shop, records).await.unwrap()) }
    });
    let acknowledged = futures::future::join_all(appends).await;
    assert!(log.syncs() < 400, "{} syncs for 400 appends", log.syncs());

    let records = log.read(&shop, 0, usize::MAX).await.unwrap();
    assert_eq!(records.len(), 1200);
    for (n, last) in acknowledged {
        for part in 0..3u32 {
            let (position, bytes) = &records[(last - 3 + u64::from(part)) as usize];
            assert_eq!((*position, bytes), (last - 2 + u64::from(part), &[n.to_be_bytes(), part.to_be_bytes()].concat()));
        }
    }
}

#[tokio::test]
async fn reading_while_trimming_never_looks_like_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let shop = app("shop");
    log.append(&shop, (0..5_000u32).map(|n| n.to_be_bytes().to_vec()).collect()).await.unwrap();
    let trims = async {
        for through in (50..=5_000).step_by(50) {
            log.trim(&shop, through).await.unwrap();
        }
    };
    let reads = async {
        let mut seen = 0;
        while !log.read(&shop, 0, 10).await.unwrap().is_empty() {
            seen += 1;
        }
        seen
    };
    let ((), seen) = tokio::join!(trims, reads);
    assert!(seen > 0);
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let error = EmbeddedLog::open(&folder.path().join("log")).err().unwrap();
    assert!(matches!(error, Error::Locked(_)), "{error}");
    drop(log);
    open(folder.path());
}

/// The journal file, where everything lies until it is flushed.
fn journal(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().unwrap()
}

#[tokio::test]
async fn a_torn_tail_loses_only_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let mut lengths = Vec::new();
    {
        let log = open(folder.path());
        for n in 0..20u32 {
            log.append(&shop, vec![n.to_be_bytes().repeat(10)]).await.unwrap();
            lengths.push(written(&journal(folder.path())));
        }
    }
    let whole = std::fs::read(journal(folder.path())).unwrap();
    // What a power cut leaves of an append that was never acknowledged: any part of it, with the zeros behind that the file was made
    // with. (A step of 11 never cuts between an item's two lengths: there fjall's debug assertion panics, where a release build goes on.)
    for kept in (lengths[9]..lengths[10]).step_by(11) {
        for zeros in [0, 4096] {
            std::fs::write(journal(folder.path()), [&whole[..kept], &vec![0; zeros]].concat()).unwrap();
            std::fs::remove_file(folder.path().join("log.mark")).unwrap();
            let log = open(folder.path());
            assert_eq!(log.end(&shop).await.unwrap(), 10, "{kept} bytes kept, {zeros} zeros behind");
            assert_eq!(log.read(&shop, 0, 100).await.unwrap().len(), 10);
        }
    }
}

#[tokio::test]
async fn a_changed_byte_of_a_record_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    {
        let log = open(folder.path());
        log.append(&shop, texts(&["first", "the needle", "last"])).await.unwrap();
        log.append(&shop, texts(&["more"])).await.unwrap();
    }
    let mut bytes = std::fs::read(journal(folder.path())).unwrap();
    let at = bytes.windows(10).position(|window| window == b"the needle").unwrap();
    bytes[at] ^= 1;
    std::fs::write(journal(folder.path()), bytes).unwrap();
    let error = EmbeddedLog::open(&folder.path().join("log")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &copied) } else { std::fs::copy(&path, copied).map(|_| ()).unwrap() }
    }
}

/// Whatever byte of the journal is flipped: no panic, and either everything is there, or the log is refused with an error that names its folder.
#[tokio::test]
async fn a_changed_byte_anywhere_loses_nothing_in_silence() {
    let home = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let whole = home.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    {
        let log = open(&whole);
        for n in 0..12 {
            log.append(&shop, texts(&[&format!("record {n}")])).await.unwrap();
        }
    }
    let name = journal(&whole).file_name().unwrap().to_owned();
    let written = written(&journal(&whole));
    let mut refused = 0;
    for at in (0..written).step_by(17) {
        let folder = home.path().join(format!("at-{at}"));
        copy(&whole, &folder);
        let path = journal(&folder).with_file_name(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 0x41;
        std::fs::write(&path, bytes).unwrap();
        match EmbeddedLog::open(&folder.join("log")) {
            Ok(log) => assert_eq!(log.read(&shop, 0, 100).await.unwrap().len(), 12, "byte {at}"),
            Err(error) => {
                assert!(error.to_string().contains(folder.to_str().unwrap()), "byte {at}: {error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
                refused += 1;
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(refused > 0, "no byte of {written} mattered");
}

/// Bytes of the journal up to its last one that is not zero, for it is allocated ahead.
fn written(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[tokio::test]
async fn a_log_that_lost_acknowledged_records_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let mut lengths = Vec::new();
    {
        let log = open(folder.path());
        for n in 0..4u32 {
            log.append(&shop, vec![n.to_be_bytes().to_vec()]).await.unwrap();
            lengths.push(written(&journal(folder.path())));
        }
    }
    let path = journal(folder.path());
    let whole = std::fs::read(&path).unwrap();
    for kept in [lengths[1], lengths[3] / 2, lengths[3] - 1, 0] {
        std::fs::write(&path, &whole[..kept]).unwrap();
        let error = EmbeddedLog::open(&folder.path().join("log")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kept} bytes kept: {error}");
        assert!(error.to_string().contains("log.mark"), "{error}");
    }
    // Whoever accepts the loss removes the mark.
    std::fs::write(&path, &whole[..lengths[1]]).unwrap();
    std::fs::remove_file(folder.path().join("log.mark")).unwrap();
    let log = open(folder.path());
    assert_eq!(log.end(&shop).await.unwrap(), 2);
    assert_eq!(log.append(&shop, texts(&["on"])).await.unwrap(), 3);
    drop(log);
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    assert!(matches!(EmbeddedLog::open(&folder.path().join("log")), Err(Error::Lost { missing: 3, .. })));
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_folder_that_is_gone() {
    let shop = app("shop");
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(&shop, texts(&["a"])).await.unwrap();
    std::fs::remove_file(journal(folder.path())).unwrap();
    let error = log.append(&shop, texts(&["b"])).await.unwrap_err();
    assert!(matches!(&error, Error::Gone(what) if what.contains(".jnl was deleted")), "{error}");
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    let error = log.append(&shop, texts(&["c"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(&error, Error::Gone(what) if what.contains("log was deleted")), "{error}");
    std::fs::create_dir(folder.path().join("log")).unwrap();
    assert!(matches!(log.append(&shop, texts(&["d"])).await, Err(Error::Gone(_))), "another folder of that name is not ours");
}

/// 50,000 bytes that do not compress.
fn noise(seed: u64) -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(seed), next).map(|state| (state >> 56) as u8).take(50_000).collect()
}

#[tokio::test]
async fn a_full_disk_is_told_and_overcome_once_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::over(folder.path(), "a_full_disk_is_told_and_overcome_once_it_has_room", "2m") else { return };
    let shop = app("shop");
    let log = open(folder.path());
    let mut acknowledged = 0;
    let error = loop {
        match log.append(&shop, vec![noise(acknowledged)]).await {
            Ok(end) => acknowledged = end,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "the disk does not fill");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(folder.path().join("log").to_str().unwrap()), "{error}");
    // Callers go on to be told, and it goes on to be tried.
    for _ in 0..5 {
        assert_eq!(log.append(&shop, vec![noise(0)]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(acknowledged > 10);
    disk.grow("64m");
    let began = std::time::Instant::now();
    let next = loop {
        match log.append(&shop, texts(&["again"])).await {
            Ok(end) => break end,
            Err(error) => assert!(began.elapsed().as_secs() < 5, "5 s after there is room: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(next > acknowledged, "positions are not given twice");
    let kept = log.read(&shop, 0, 1000).await.unwrap();
    assert_eq!(kept.len() as u64, next, "nothing acknowledged is lost, and there is no hole");
    assert_eq!(kept.last().unwrap().1, b"again");
    drop(log);
    assert_eq!(open(folder.path()).read(&shop, 0, 1000).await.unwrap(), kept);
}
