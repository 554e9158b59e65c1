//! Input made to take long: time is in proportion to its bytes, and a run that reads it can be
//! stopped.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use house::{Counting, House, NOW_MS, definitions, name};
use std::time::{Duration, Instant};
use taghouse_ingest::{Attendant, Error, IngestOptions, LiveCall};
use tokio_util::sync::CancellationToken;

const FILES: &str = "kind: source\nname: lines\nformat: jsonl\nuser_id: u\ntime: { column: t }\nevent: e\nunknown_columns: keep\nmax_reject_share: 1\n";

fn object(members: usize) -> String {
    let members: Vec<String> = (0..members).map(|n| format!("\"{n}\":1")).collect();
    format!(r#"{{"u":"1","t":"2026-11-20","e":"paid",{}}}"#, members.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_100_000_members_is_one_rejected_row() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = home.path().join("in.jsonl");
    let lines =
        [object(90_000), object(9_000), r#"{"u":"1","t":"2026-11-20","e":"paid"}"#.to_owned()];
    assert!(lines[0].len() < 1 << 20);
    std::fs::write(&input, lines.join("\n")).unwrap();
    let report = house.ingest(&definitions(FILES), &input).await.unwrap();
    assert_eq!((report.events(), report.rejected_rows()), (2, 1));
    assert_eq!(
        house.rows("rejected_events", &["row", "reason", "detail"]).await,
        ["1|too_many_members|it has more than 10000 members: send fewer, or an array of them"]
    );
}

/// 12 MB of messages with 3,300 members each. Where each member is compared with all before, that
/// is 2 billion comparisons.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_many_members_land_in_no_time() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let members: Vec<String> = (0..3_300).map(|n| format!("\"{n:04}\":1")).collect();
    let mut records = Vec::new();
    for at in 0..375 {
        let (kind, place) =
            if at % 25 == 0 { ("identify", "traits") } else { ("track", "properties") };
        let body = format!(
            r#"{{"userId":"u","event":"e","messageId":"m{at}","{place}":{{{}}}}}"#,
            members.join(",")
        );
        records.extend(LiveCall::parse(kind, body.as_bytes(), NOW_MS, &Counting::new()).unwrap());
    }
    log.append(&house.app, records.iter().map(|record| record.encode().unwrap()).collect())
        .await
        .unwrap();
    let started = Instant::now();
    let landed = house
        .landing(log)
        .land(
            &house.app,
            &definitions("kind: source\nname: web\nformat: segment\n"),
            &CancellationToken::new(),
        )
        .await
        .unwrap();
    assert_eq!((landed.events, landed.attributes), (360, 15 * 3_300));
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
}

/// One line without an end, of 64 GB: nothing of it is a row, so nobody would hear of the run for
/// minutes.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_heard_in_the_middle_of_a_line() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = home.path().join("endless.jsonl");
    std::fs::File::create(&input).unwrap().set_len(64 << 30).unwrap();
    let source = definitions(FILES);
    let is_open = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == input))
    };
    let cancelled = async {
        while !is_open() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let attendant = Attendant { cancelled: Box::pin(cancelled), ..Attendant::nobody() };
    let started = Instant::now();
    let (files, options) = ([input.clone()], IngestOptions::default());
    let error = house
        .files()
        .ingest(&house.app, &source, &name("lines"), &files, &options, attendant)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    while is_open() {
        assert!(started.elapsed() < Duration::from_secs(10), "the file is still being read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(house.data_files(), 0);
}
