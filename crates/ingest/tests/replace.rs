//! Files that land again in the place of their earlier rows, beside landings, joins of small files,
//! and kills.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use house::{House, NOW_MS, definitions};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use taghouse_ingest::{Attendant, Error, IngestOptions, IngestReport};
use taghouse_lake::{Lake, Upkeep};
use taghouse_rules::Definitions;

const SOURCE: &str = "kind: source
name: orders
format: csv
user_id: u
event: buy
time: t
message_id: m
properties:
  qty: { column: q, type: int }
attributes:
  city: city
max_reject_share: 1
";

const HEADER: &str = "u,t,m,q,city\n";

async fn replace(
    house: &House,
    source: &Definitions,
    input: &Path,
) -> taghouse_ingest::Result<IngestReport> {
    house
        .ingest_with(source, input, &IngestOptions { replace: true, ..IngestOptions::default() })
        .await
}

async fn everything(house: &House) -> [Vec<String>; 3] {
    [
        house.rows("events", &["message_id", "user_id", "qty", "source_file"]).await,
        house.rows("attributes", &["message_id", "value", "source_file"]).await,
        house.rows("rejected_events", &["file", "row", "reason"]).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_rows_go_and_new_ones_come_at_once() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(SOURCE);
    let input = tempfile::tempdir().unwrap();
    let put = |name: &str, rows: &str| {
        fs::write(input.path().join(name), format!("{HEADER}{rows}")).unwrap()
    };
    put("a.csv", "u1,2026-03-01,m1,1,Oslo\nu1,2026-03-02,m2,2,Kiel\nu2,2026-03-02,m3,x,Rome\n");
    put("b.csv", "u3,2026-03-02,m4,4,Bern\n");
    house.ingest(&source, input.path()).await.unwrap();
    let other = definitions(&SOURCE.replace("name: orders", "name: others"));
    fs::create_dir(input.path().join("other")).unwrap();
    fs::write(input.path().join("other/a.csv"), format!("{HEADER}u9,2026-03-02,m9,9,Ulm\n"))
        .unwrap();
    house.ingest(&other, &input.path().join("other")).await.unwrap();
    let untouched = house.lake.table(&house.app, "events").await.unwrap().unwrap();

    put(
        "a.csv",
        "u1,2026-03-02,m2,20,Kiel\nu2,2026-03-02,m3,3,Rome\nu2,2026-03-05,m4,5,Wien\nu2,2026-03-02,m4,5,Wien\n",
    );
    let changed = house.ingest(&source, input.path()).await.unwrap();
    assert!(changed.failed[0].message.contains("--replace"), "{changed:?}");
    let report = replace(&house, &source, input.path()).await.unwrap();
    assert_eq!(
        (report.files_new, report.files_replaced, report.files_unchanged, report.batches),
        (0, 2, 0, 1)
    );
    // The id m4 stands in both files; the run takes the first, which is a.csv's now.
    assert_eq!((report.events(), report.duplicates), (3, 2));
    assert_eq!(
        everything(&house).await,
        [
            ["m2|u1|20|a.csv", "m3|u2|3|a.csv", "m4|u2|5|a.csv", "m9|u9|9|a.csv"]
                .map(str::to_owned)
                .to_vec(),
            ["m2|Kiel|a.csv", "m3|Rome|a.csv", "m4|Wien|a.csv", "m9|Ulm|a.csv"]
                .map(str::to_owned)
                .to_vec(),
            vec![],
        ]
    );
    // Whoever reads the snapshot before still sees it whole.
    let mut before = 0;
    for mut batches in untouched.scan(&["message_id"]).plan(1).await.unwrap().partitions() {
        while let Some(batch) = futures::StreamExt::next(&mut batches).await {
            before += batch.unwrap().num_rows();
        }
    }
    assert_eq!(before, 4);
    let ledger = house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap();
    assert_eq!(
        ledger
            .iter()
            .map(|file| (file.rows, file.accepted, file.duplicates, file.batch))
            .collect::<Vec<_>>(),
        [(4, 3, 1, 2), (1, 0, 1, 2)]
    );
    let table = house.lake.table(&house.app, "events").await.unwrap().unwrap();
    assert_eq!(table.snapshots().last().unwrap().operation, "overwrite");

    // What cannot be read leaves the earlier rows.
    let all = everything(&house).await;
    put("a.csv", "");
    fs::write(input.path().join("b.csv"), "u,t,wrong\n1,2,3\n").unwrap();
    let report = replace(&house, &source, input.path()).await.unwrap();
    assert_eq!((report.empty.len(), report.failed.len(), report.files_replaced), (1, 1, 0));
    put("a.csv", ",,,,\n");
    let strict = definitions(&SOURCE.replace("max_reject_share: 1", "max_reject_share: 0"));
    assert!(matches!(
        replace(&house, &strict, &input.path().join("a.csv")).await,
        Err(Error::TooManyRejects { .. })
    ));
    assert_eq!(everything(&house).await, all);
}

/// Small files are joined all the time while files are replaced and new ones land.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn beside_joins_and_other_runs() {
    let home = tempfile::tempdir().unwrap();
    let mut house = House::open(home.path()).await;
    let upkeep = Upkeep { min_files: 2, ..Upkeep::default() };
    house.lake = Arc::new(
        Lake::open_kept(
            house.catalog.clone(),
            &home.path().join("lake"),
            house.clock.clone(),
            upkeep,
        )
        .unwrap(),
    );
    let house = Arc::new(house);
    let source = Arc::new(definitions(SOURCE));
    let input = Arc::new(tempfile::tempdir().unwrap());
    let write = |file: usize, round: usize| {
        let rows: String = (0..50)
            .map(|row| format!("u{row},2026-03-0{},f{file}-{row},{round},r{round}\n", row % 5 + 1))
            .collect();
        fs::write(input.path().join(format!("{file}.csv")), format!("{HEADER}{rows}")).unwrap();
    };
    (0..4).for_each(|file| write(file, 0));
    house.ingest(&source, input.path()).await.unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let joins = tokio::spawn({
        let (house, over) = (house.clone(), over.clone());
        async move {
            let mut joined = 0;
            // Once more at the end: what the last run left is joined then, if it was not before.
            for ends in std::iter::from_fn(|| Some(over.load(Ordering::Relaxed))) {
                joined += house.lake.maintain(&house.app).await.unwrap().joined_files;
                if ends {
                    break;
                }
                tokio::task::yield_now().await;
            }
            joined
        }
    });
    for round in 1..8 {
        house.clock.0.store(NOW_MS + round as i64, Ordering::Relaxed);
        write(round % 4, round);
        let report = replace(&house, &source, &input.path().join(format!("{}.csv", round % 4)))
            .await
            .unwrap();
        assert_eq!(
            (report.files_replaced, report.events(), report.duplicates),
            (1, 50, 0),
            "{round}"
        );
    }
    over.store(true, Ordering::Relaxed);
    assert!(joins.await.unwrap() > 0);
    let mut events = house.rows("events", &["source_file", "qty"]).await;
    assert_eq!(events.len(), 200);
    events.dedup();
    assert_eq!(events, ["0.csv|4", "1.csv|5", "2.csv|6", "3.csv|7"]);
    assert_eq!(house.rows("attributes", &["message_id"]).await.len(), 200);

    // Two runs at once: one of a source wins, the other changes nothing.
    let (name, options) =
        (house::name("orders"), IngestOptions { replace: true, ..IngestOptions::default() });
    let (files, paths) = (house.files(), [input.path().to_owned()]);
    let run = || files.ingest(&house.app, &source, &name, &paths, &options, Attendant::nobody());
    let (a, b) = tokio::join!(run(), run());
    assert!(a.is_ok() || b.is_ok());
    for lost in [a, b].into_iter().filter_map(Result::err) {
        assert_eq!(lost.kind(), taghouse_model::ErrorKind::Conflict, "{lost}");
    }
    assert_eq!(house.rows("events", &["source_file"]).await.len(), 200);
}
