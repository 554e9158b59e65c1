//! The Online Retail files, where they are: the exact counts, and a kill in the middle.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs, unreachable_pub)]

mod house;

use house::{House, definitions};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact() {
    let given = std::env::var_os("TAGHOUSE_RETAIL").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/online-retail")));
    if !folder.is_dir() {
        eprintln!("no Online Retail files at {}: this test is passed over; TAGHOUSE_RETAIL names another folder", folder.display());
        return;
    }
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/online-retail/source.yaml")).unwrap();
    let definitions = definitions(&source);
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let report = house.ingest(&definitions, &folder).await.unwrap();
    assert_eq!(report.accepted, BTreeMap::from([("purchase".to_owned(), 397_924), ("refund".to_owned(), 8_905)]));
    assert_eq!(report.rejected, BTreeMap::from([("no_user_id".to_owned(), 135_080)]));
    assert_eq!((report.files_new, report.rows, report.duplicates, report.filtered), (305, 541_909, 0, 0));
    assert_eq!(report.failed, []);
    let again = house.ingest(&definitions, &folder).await.unwrap();
    assert_eq!((again.files_new, again.files_unchanged, again.rows), (0, 305, 0));
    let mut users = house.rows("events", &["user_id"]).await;
    users.dedup();
    assert_eq!(users.len(), 4_372);
}
