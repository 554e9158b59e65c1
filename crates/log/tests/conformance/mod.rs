//! What every [`EventLog`] must do. A test of each implementation calls [`conforms`].

use std::cell::Cell;
use std::sync::Arc;
use taghouse_log::{Error, EventLog, MAX_APPEND_BYTES, MAX_READ_BYTES, MAX_RECORD_BYTES};
use taghouse_model::{AppId, ErrorKind};

/// Holds a log to the trait's contract. `open` opens an empty log the first time, and the same log
/// each time after.
pub(crate) async fn conforms(open: &dyn Fn() -> Arc<dyn EventLog>) {
    let log = open();
    positions_are_dense_from_one_and_separate_for_each_app(log.as_ref()).await;
    a_read_starts_after_from_and_stops_at_its_limit(log.as_ref()).await;
    limits_refuse_the_whole_append(log.as_ref()).await;
    concurrent_appends_keep_each_callers_order(log.as_ref()).await;
    a_read_beside_a_trim_never_looks_like_the_end(log.as_ref()).await;
    trims(log.as_ref()).await;
    drop(log);
    positions_go_on_after_reopening(open().as_ref()).await;
}

fn app(id: &str) -> AppId {
    AppId::new(id).unwrap()
}

fn texts(records: &[&str]) -> Vec<Vec<u8>> {
    records.iter().map(|text| text.as_bytes().to_vec()).collect()
}

async fn shown(log: &dyn EventLog, app: &AppId, from: u64, limit: usize) -> Vec<String> {
    let records = log.read(app, from, limit).await.unwrap();
    records
        .into_iter()
        .map(|(position, bytes)| format!("{position}:{}", String::from_utf8(bytes).unwrap()))
        .collect()
}

async fn positions_are_dense_from_one_and_separate_for_each_app(log: &dyn EventLog) {
    // One id is a prefix of the others, and '-' sorts before every other byte of an id.
    let apps = [app("a"), app("a-"), app("aa")];
    for (n, id) in apps.iter().enumerate() {
        assert_eq!(log.end(id).await.unwrap(), 0);
        assert_eq!(
            log.append(id, Vec::new()).await.unwrap(),
            0,
            "an empty append gives the log's end"
        );
        assert_eq!(log.append(id, texts(&[&format!("{n}x"), &format!("{n}y")])).await.unwrap(), 2);
    }
    assert_eq!(log.append(&apps[0], texts(&["", "0z"])).await.unwrap(), 4);
    assert_eq!(shown(log, &apps[0], 0, 10).await, ["1:0x", "2:0y", "3:", "4:0z"]);
    assert_eq!(shown(log, &apps[1], 0, 10).await, ["1:1x", "2:1y"]);
    assert_eq!(shown(log, &apps[2], 0, 10).await, ["1:2x", "2:2y"]);
}

async fn a_read_starts_after_from_and_stops_at_its_limit(log: &dyn EventLog) {
    let shop = app("reads");
    log.append(&shop, texts(&["a", "b", "c", "d"])).await.unwrap();
    let cases: [(u64, usize, &[&str]); 6] = [
        (0, 2, &["1:a", "2:b"]),
        (2, 2, &["3:c", "4:d"]),
        (3, 100, &["4:d"]),
        (4, 100, &[]),
        (u64::MAX, 100, &[]),
        (0, 0, &[]),
    ];
    for (from, limit, expected) in cases {
        assert_eq!(shown(log, &shop, from, limit).await, expected, "from {from}, limit {limit}");
    }
}

async fn limits_refuse_the_whole_append(log: &dyn EventLog) {
    let shop = app("limits");
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
        assert_eq!(log.append(&shop, full.clone()).await.unwrap(), end, "exactly at the limit");
    }
    let first = log.read(&shop, 0, usize::MAX).await.unwrap();
    assert_eq!(first.len(), MAX_READ_BYTES / MAX_RECORD_BYTES, "a read is bounded in bytes");
    assert_eq!(
        log.read(&shop, first.len() as u64, usize::MAX).await.unwrap().len(),
        32,
        "and continues from there"
    );
}

async fn concurrent_appends_keep_each_callers_order(log: &dyn EventLog) {
    let shop = app("concurrent");
    let appends = (0..400u32).map(|n| {
        let records =
            (0..3u32).map(|part| [n.to_be_bytes(), part.to_be_bytes()].concat()).collect();
        let shop = &shop;
        async move { (n, log.append(shop, records).await.unwrap()) }
    });
    let acknowledged = futures::future::join_all(appends).await;

    let records = log.read(&shop, 0, usize::MAX).await.unwrap();
    assert_eq!(records.len(), 1200);
    for (n, last) in acknowledged {
        for part in 0..3u32 {
            let (position, bytes) = &records[(last - 3 + u64::from(part)) as usize];
            assert_eq!(
                (*position, bytes),
                (last - 2 + u64::from(part), &[n.to_be_bytes(), part.to_be_bytes()].concat())
            );
        }
    }
}

async fn a_read_beside_a_trim_never_looks_like_the_end(log: &dyn EventLog) {
    let shop = app("beside");
    log.append(&shop, (0..5_000u32).map(|n| n.to_be_bytes().to_vec()).collect()).await.unwrap();
    let asked = Cell::new(0);
    let trims = async {
        for through in (10..=5_000).step_by(10) {
            asked.set(through);
            log.trim(&shop, through).await.unwrap();
        }
    };
    let reads = async {
        let mut last = 0;
        while let Some((first, _)) = log.read(&shop, 0, 10).await.unwrap().first() {
            assert!(*first >= last, "what was trimmed is there again");
            last = *first;
        }
        assert_eq!(
            asked.get(),
            5_000,
            "a read found nothing beside a trim: the last record that it saw first was {last}"
        );
    };
    tokio::join!(trims, reads);
    assert_eq!(log.end(&shop).await.unwrap(), 5_000);
}

async fn trims(log: &dyn EventLog) {
    let shop = app("trims");
    log.append(&shop, texts(&["a", "b", "c"])).await.unwrap();
    log.trim(&shop, 2).await.unwrap();
    log.trim(&shop, 1).await.unwrap();
    assert_eq!(shown(log, &shop, 0, 10).await, ["3:c"]);
    let past = log.trim(&shop, 4).await.unwrap_err();
    assert!(matches!(past, Error::PastEnd { end: 3, .. }), "{past}");
    assert_eq!(past.kind(), ErrorKind::Invalid);
    log.trim(&shop, 3).await.unwrap();
    assert_eq!(shown(log, &shop, 0, 10).await, [""; 0]);
}

async fn positions_go_on_after_reopening(log: &dyn EventLog) {
    let shop = app("trims");
    assert_eq!(log.end(&shop).await.unwrap(), 3, "no position is given twice");
    assert_eq!(log.append(&shop, texts(&["d"])).await.unwrap(), 4);
    assert_eq!(shown(log, &shop, 0, 10).await, ["4:d"]);
    assert_eq!(
        shown(log, &app("a"), 0, 10).await,
        ["1:0x", "2:0y", "3:", "4:0z"],
        "what was acknowledged is there"
    );
}
