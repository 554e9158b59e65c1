//! Real invoice lines, counted exactly, and not again where the files come again.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;
#[path = "../../../tests/needs/mod.rs"]
mod needs;

use house::{House, definitions};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact() {
    let needs::Retail { folder, known } = needs::retail();
    let source = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/online-retail/source.yaml"
    ))
    .unwrap();
    let definitions = definitions(&source);
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let report = house.ingest(&definitions, &folder).await.unwrap();
    assert_eq!(
        report.accepted,
        BTreeMap::from([
            ("purchase".to_owned(), known.purchases),
            ("refund".to_owned(), known.refunds)
        ])
    );
    assert_eq!(report.rejected, BTreeMap::from([("no_user_id".to_owned(), known.without_user)]));
    assert_eq!(
        (report.files_new, report.rows, report.duplicates, report.filtered),
        (known.files, known.lines, 0, 0)
    );
    assert_eq!(report.failed, []);
    let again = house.ingest(&definitions, &folder).await.unwrap();
    assert_eq!((again.files_new, again.files_unchanged, again.rows), (0, known.files, 0));
    let mut users = house.rows("events", &["user_id"]).await;
    users.dedup();
    assert_eq!(users.len() as u64, known.users);
}
