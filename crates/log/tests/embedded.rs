//! The embedded log through its public face.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conformance;
#[path = "../../../tests/needs/copy_folder.rs"]
mod copy_folder;
#[path = "../../../tests/needs/small_disk.rs"]
mod small_disk;

use copy_folder::copy_folder;
use small_disk::SmallDisk;
use std::path::Path;
use std::sync::Arc;
use taghouse_log::{EmbeddedLog, Error, EventLog};
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

#[tokio::test]
async fn it_does_what_every_log_must() {
    let folder = tempfile::tempdir().unwrap();
    conformance::conforms(&|| Arc::new(open(folder.path()))).await;
}

#[tokio::test]
async fn concurrent_appends_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let shop = app("shop");
    let appends = (0..400u32).map(|n| log.append(&shop, vec![n.to_be_bytes().to_vec()]));
    futures::future::try_join_all(appends).await.unwrap();
    assert!(log.syncs() < 400, "{} syncs for 400 appends", log.syncs());
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

/// The last segment.
fn segment(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap()
}

/// What a power cut leaves of an append that was never acknowledged: any part of it, or all of it
/// with pages that were never written.
#[tokio::test]
async fn a_torn_tail_loses_only_what_was_torn() {
    const PAGE: usize = 4096;
    let folder = tempfile::tempdir().unwrap();
    let shop = app("shop");
    let mut lengths = Vec::new();
    {
        let log = open(folder.path());
        for n in 0..11u32 {
            log.append(&shop, vec![n.to_be_bytes().repeat(10 + 2_000 * (n as usize / 10))])
                .await
                .unwrap();
            lengths.push(length(&segment(folder.path())));
        }
    }
    let path = segment(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let near = |byte: &usize| byte - lengths[9] < 100 || lengths[10] - byte < 100;
    let cut = (lengths[9]..lengths[10]).filter(|byte| near(byte) || byte % 997 == 0);
    let cut = cut.map(|kept| whole[..kept].to_vec());
    let unwritten = (lengths[9].div_ceil(PAGE)..whole.len().div_ceil(PAGE)).map(|page| {
        let mut bytes = whole.clone();
        bytes[page * PAGE..whole.len().min((page + 1) * PAGE)].fill(0);
        bytes
    });
    for (n, bytes) in cut.chain(unwritten).enumerate() {
        std::fs::write(&path, bytes).unwrap();
        std::fs::remove_file(folder.path().join("log.mark")).unwrap();
        let log = open(folder.path());
        assert_eq!(log.end(&shop).await.unwrap(), 10, "case {n}");
        assert_eq!(log.read(&shop, 0, 100).await.unwrap().len(), 10);
        drop(log);
        assert_eq!(length(&path), lengths[9], "what is torn is cut off");
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
    let mut bytes = std::fs::read(segment(folder.path())).unwrap();
    let at = bytes.windows(10).position(|window| window == b"the needle").unwrap();
    bytes[at] ^= 1;
    std::fs::write(segment(folder.path()), bytes).unwrap();
    let error = EmbeddedLog::open(&folder.path().join("log")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// Whatever byte of the file is flipped: no panic, and the log is refused with an error that names
/// the file.
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
    let name = segment(&whole).file_name().unwrap().to_owned();
    for at in 0..length(&segment(&whole)) {
        let folder = home.path().join(format!("at-{at}"));
        copy_folder(&whole, &folder);
        let path = segment(&folder).with_file_name(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 0x41;
        std::fs::write(&path, bytes).unwrap();
        let error = EmbeddedLog::open(&folder.join("log")).err().unwrap();
        assert!(error.to_string().contains(path.to_str().unwrap()), "byte {at}: {error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

fn length(path: &Path) -> usize {
    std::fs::read(path).unwrap().len()
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
            lengths.push(length(&segment(folder.path())));
        }
    }
    let path = segment(folder.path());
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
    assert!(matches!(
        EmbeddedLog::open(&folder.path().join("log")),
        Err(Error::Lost { missing: 3, .. })
    ));
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_folder_that_is_gone() {
    let shop = app("shop");
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(&shop, texts(&["a"])).await.unwrap();
    std::fs::remove_file(segment(folder.path())).unwrap();
    let error = log.append(&shop, texts(&["b"])).await.unwrap_err();
    assert!(matches!(&error, Error::Gone(what) if what.contains(".log was deleted")), "{error}");
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    let error = log.append(&shop, texts(&["c"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(&error, Error::Gone(what) if what.contains("/log was deleted")), "{error}");
    std::fs::create_dir(folder.path().join("log")).unwrap();
    assert!(
        matches!(log.append(&shop, texts(&["d"])).await, Err(Error::Gone(_))),
        "another folder of that name is not ours"
    );
}

/// 50,000 bytes that do not compress.
fn noise(seed: u64) -> Vec<u8> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(seed), next).map(|state| (state >> 56) as u8).take(50_000).collect()
}

#[tokio::test]
async fn a_full_disk_is_told_and_overcome_once_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) =
        SmallDisk::over(folder.path(), "a_full_disk_is_told_and_overcome_once_it_has_room", "2m")
    else {
        return;
    };
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
        assert_eq!(
            log.append(&shop, vec![noise(0)]).await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    }
    assert!(acknowledged > 10);
    disk.grow("64m");
    let began = std::time::Instant::now();
    let next = loop {
        match log.append(&shop, texts(&["again"])).await {
            Ok(end) => break end,
            Err(error) => {
                assert!(began.elapsed().as_secs() < 5, "5 s after there is room: {error}")
            }
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
