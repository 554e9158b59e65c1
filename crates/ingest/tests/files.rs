//! Files into the lake: what lands, what is rejected and why, and that the same files again change
//! nothing.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use house::{House, definitions};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use taghouse_ingest::{Attendant, Error, IngestOptions, IngestReport};
use taghouse_model::ErrorKind;
use taghouse_rules::Definitions;

const DIRTY: &str = r#"
kind: source
name: orders
format: csv
user_id: { column: customer, type: int }
event:
  - { when: "invoice like 'C%'", name: refund }
  - { name: purchase }
time: { column: at, format: "%Y-%m-%d %H:%M:%S" }
properties:
  invoice: { column: invoice, required: true }
  quantity: { column: quantity, type: int }
  price: { column: price, type: decimal, scale: 2 }
  day: { column: day, type: date }
attributes:
  country: country
filters: ["quantity != 0"]
reject: [ { when: "price < 0", reason: "negative price" } ]
ignore: [note]
max_reject_share: 0.9
"#;

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A folder with these files, named so that the first has the first name.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The dirty file: each line with what is to become of it.
fn dirty_csv() -> (Vec<u8>, Vec<(usize, &'static str)>) {
    let long_id = "7".repeat(600);
    let long_text = "x".repeat(1025);
    let lines: Vec<(Vec<u8>, Option<&'static str>)> = vec![
        (b"17850.0,A1,6,2.55,2010-12-01 08:26:00,2010-12-01,United Kingdom,fine".to_vec(), None),
        (
            b"17850,CA1,-6,2.5500,2011-07-01 00:00:00,,France,\"a \"\"refund\"\"\nover two lines\""
                .to_vec(),
            None,
        ),
        (b",A2,6,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("no_user_id")),
        (b"abc,A3,6,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("bad_type")),
        (format!("{long_id},A4,6,2.55,2010-12-01 08:26:00,,UK,").into_bytes(), Some("id_too_long")),
        (b"17850,A5,6,2.55,2010-12-01 08:26:00,,UK".to_vec(), Some("broken_line")),
        (b"17850,A6,6,2.55,2010-12-01 08:26:00,,UK,,extra".to_vec(), Some("broken_line")),
        (b"17850,\"A7\"x,6,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("broken_line")),
        (b"17850,\"A8,6,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("broken_line")),
        (b"17850,A9,six,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("bad_type")),
        (b"17850,A10,6.5,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("bad_type")),
        (
            b"17850,A11,99999999999999999999,2.55,2010-12-01 08:26:00,,UK,".to_vec(),
            Some("number_out_of_range"),
        ),
        (b"17850,A12,6,2.555,2010-12-01 08:26:00,,UK,".to_vec(), Some("number_out_of_range")),
        (b"17850,A13,6,1e40,2010-12-01 08:26:00,,UK,".to_vec(), Some("number_out_of_range")),
        (b"17850,A14,6,2.55,1969-12-31 23:00:00,,UK,".to_vec(), Some("bad_time")),
        (b"17850,A15,6,2.55,2026-11-22 00:00:01,,UK,".to_vec(), Some("bad_time")),
        (b"17850,A16,6,2.55,yesterday,,UK,".to_vec(), Some("bad_time")),
        (b"17850,A17,6,2.55,,,UK,".to_vec(), Some("bad_time")),
        (b"17850,A18,6,2.55,2010-12-01 08:26:00,,\xff\xfe,".to_vec(), Some("not_utf8")),
        (b"17850,A19,6,2.55,2010-12-01 08:26:00,,UK,caf\xe9".to_vec(), Some("not_utf8")),
        (
            format!("17850,A20,6,2.55,2010-12-01 08:26:00,,{long_text},").into_bytes(),
            Some("value_too_long"),
        ),
        (b"17850,,6,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("missing_value")),
        (b"17850,A22,6,-1,2010-12-01 08:26:00,,UK,".to_vec(), Some("rule: negative price")),
        (b"17850,A23,6,2.55,2010-12-01 08:26:00,2010-02-30,UK,".to_vec(), Some("bad_type")),
        (b"17850,A24,0,2.55,2010-12-01 08:26:00,,UK,".to_vec(), Some("filtered")),
        (b"12345,A25,,,2026-11-21 23:59:59,,,".to_vec(), Some("filtered")),
        (b"12345,A26,1,,2026-11-21 23:59:59,,,".to_vec(), None),
    ];
    let mut text = b"\xef\xbb\xbfcustomer,invoice,quantity,price,at,day,country,note\r\n".to_vec();
    let mut fates = Vec::new();
    for (at, (line, fate)) in lines.into_iter().enumerate() {
        text.extend_from_slice(&line);
        text.extend_from_slice(b"\r\n");
        if let Some(fate) = fate.filter(|fate| *fate != "filtered") {
            fates.push((at + 1, fate));
        }
    }
    (text, fates)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_of_a_dirty_file() {
    let (text, fates) = dirty_csv();
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = folder(&[("dirty.csv", &text)]);
    let report = house.ingest(&definitions(DIRTY), input.path()).await.unwrap();

    let mut expected = BTreeMap::new();
    for (_, fate) in &fates {
        *expected.entry((*fate).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(report.rejected, expected);
    assert_eq!(report.accepted, counts(&[("purchase", 2), ("refund", 1)]));
    assert_eq!((report.rows, report.filtered, report.duplicates, report.attributes), (27, 2, 0, 2));

    let mut places: Vec<_> = fates
        .iter()
        .map(|(row, fate)| format!("orders|dirty.csv|{row}|{fate}|2026-11-21T00:00:00"))
        .collect();
    places.sort();
    assert_eq!(
        house.rows("rejected_events", &["source", "file", "row", "reason", "received_at"]).await,
        places
    );
    let details = house.rows("rejected_events", &["row", "detail", "raw"]).await;
    for expected in [
        "3|column \"customer\" is empty|,A2,6,2.55,2010-12-01 08:26:00,,UK,",
        "8|text stands behind a closing quote|17850,\"A7\"x,6,2.55,2010-12-01 08:26:00,,UK,",
        "10|column \"quantity\": \"six\" is not int|",
        "13|column \"price\": \"2.555\" has more digits behind the point than decimal(2)|",
        "16|column \"at\": \"2026-11-22 00:00:01\" is more than 24 h ahead of the clock|",
        "19|column \"country\" is not UTF-8|17850,A18,6,2.55,2010-12-01 08:26:00,,\u{fffd}\u{fffd},",
        "20|column \"note\" is not UTF-8|",
    ] {
        assert!(
            details.iter().any(|row| row.starts_with(expected)),
            "{expected} among {details:#?}"
        );
    }

    let columns = [
        "user_id",
        "event",
        "time",
        "message_id",
        "invoice",
        "quantity",
        "price",
        "day",
        "properties",
    ];
    assert_eq!(
        house.rows("events", &columns).await,
        [
            "12345|purchase|2026-11-21T23:59:59|dirty.csv:000000027|A26|1|-|-|-",
            "17850|purchase|2010-12-01T08:26:00|dirty.csv:000000001|A1|6|2.55|2010-12-01|-",
            "17850|refund|2011-06-30T23:00:00|dirty.csv:000000002|CA1|-6|2.55|-|-",
        ]
    );
    assert_eq!(
        house
            .rows("attributes", &["user_id", "name", "value", "time", "message_id", "source"])
            .await,
        [
            "17850|country|France|2011-06-30T23:00:00|dirty.csv:000000002|orders",
            "17850|country|United Kingdom|2010-12-01T08:26:00|dirty.csv:000000001|orders",
        ]
    );
}

const HEADER: &str = "customer,invoice,quantity,price,at,day,country,note\n";

fn row(customer: u32, invoice: &str) -> String {
    format!("{customer},{invoice},1,1.5,2011-01-01 10:00:00,,UK,\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_folder_twice_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(DIRTY);
    let text = format!("{HEADER}{}{}", row(1, "A"), row(2, "B"));
    let input = folder(&[
        ("a.csv", text.as_bytes()),
        ("b.csv.gz", &gzip(text.as_bytes())),
        ("other.txt", b"not ours"),
    ]);
    let first = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((first.files_new, first.files_unchanged, first.rows, first.batches), (2, 0, 4, 1));
    let events = house.rows("events", &["user_id", "message_id"]).await;
    assert_eq!(events.len(), 4);

    let again = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((again.files_new, again.files_unchanged, again.rows, again.batches), (0, 2, 0, 0));
    assert_eq!(house.rows("events", &["user_id", "message_id"]).await, events);
    assert_eq!(house.snapshots("events").await, 1);

    fs::write(input.path().join("c.csv"), format!("{HEADER}{}", row(3, "C"))).unwrap();
    let third = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((third.files_new, third.files_unchanged, third.rows), (1, 2, 1));
    let table = house.lake.table(&house.app, "events").await.unwrap().unwrap();
    assert_eq!(house::noted(&table, "taghouse.batch").unwrap(), "orders/2");
    let ledger = house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap();
    let batches: Vec<_> = ledger
        .iter()
        .map(|file| (file.name.as_str(), file.rows, file.accepted, file.batch))
        .collect();
    assert_eq!(batches, [("a.csv", 2, 2, 1), ("b.csv.gz", 2, 2, 1), ("c.csv", 1, 1, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_cut_and_damaged_files_say_so_and_the_others_land() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(DIRTY);
    let text = format!("{HEADER}{}{}", row(1, "A"), row(2, "B"));
    let input = folder(&[("a.csv", text.as_bytes()), ("b.csv", text.as_bytes())]);
    house.ingest(&source, input.path()).await.unwrap();

    fs::write(input.path().join("a.csv"), &text[..text.len() - 5]).unwrap();
    fs::write(input.path().join("b.csv"), text.replace("UK", "FR")).unwrap();
    fs::write(input.path().join("c.csv"), &text).unwrap();
    let packed = gzip(text.repeat(2000).as_bytes());
    fs::write(input.path().join("d.csv.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::write(input.path().join("e.csv.gz"), b"this is not gzip").unwrap();
    let files_before = house.data_files();
    let report = house.ingest(&source, input.path()).await.unwrap();
    let failed: Vec<_> =
        report.failed.iter().map(|f| format!("{}: {}", f.file, f.message)).collect();
    let (old, cut) = (text.len(), text.len() - 5);
    assert_eq!(failed.len(), 4, "{failed:#?}");
    assert!(
        failed[0].starts_with(&format!("a.csv: the file was cut since it was ingested: it had {old} bytes and has {cut} now; restore it")),
        "{failed:#?}"
    );
    assert!(
        failed[1].starts_with(&format!("b.csv: the file has changed since it was ingested: it had {old} bytes and has {old} now")),
        "{failed:#?}"
    );
    assert!(failed[2].starts_with("d.csv.gz: the gzip data is cut off; restore"), "{failed:#?}");
    assert!(failed[3].starts_with("e.csv.gz: the gzip data is damaged"), "{failed:#?}");
    assert_eq!((report.files_new, report.rows), (1, 2));
    assert_eq!(house.rows("events", &["message_id"]).await.len(), 6);
    assert!(house.data_files() <= files_before + 3, "nothing of the damaged files stays");
}

/// A damaged file long enough to have data files of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_damaged_file_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(
        &DIRTY.replace("max_reject_share: 0.9", "message_id: invoice\nmax_reject_share: 0.9"),
    );
    let mut text = HEADER.to_owned();
    for number in 0..150_000 {
        text.push_str(&row(number % 50 + 1, &format!("A{number}")));
    }
    let packed = gzip(text.as_bytes());
    let good = format!("{HEADER}{}{}", row(1, "A1"), row(1, "A2"));
    let input = folder(&[("a.csv.gz", &packed[..packed.len() - 20]), ("b.csv", good.as_bytes())]);
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!(report.failed.len(), 1, "{report:?}");
    assert_eq!(
        (report.files_new, report.rows, report.duplicates),
        (1, 2, 0),
        "ids of the damaged file are not taken"
    );
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(house.data_files(), 2, "events and attributes of b.csv");

    fs::write(input.path().join("a.csv.gz"), &packed).unwrap();
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!(
        (report.files_new, report.files_unchanged, report.rows, report.events()),
        (1, 1, 150_000, 149_998)
    );
    assert_eq!(report.duplicates, 2, "ids that b.csv has brought");
    assert_eq!(house.rows("events", &["user_id"]).await.len(), 150_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_ids_seen_in_the_run_are_dropped_in_file_order() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(&DIRTY.replace("max_reject_share: 0.9", "message_id: invoice"));
    let files: Vec<(String, String)> = (0..20)
        .map(|n| {
            (
                format!("{n:02}.csv"),
                format!(
                    "{HEADER}{}{}{}",
                    row(n + 1, "SAME"),
                    row(n + 1, &format!("OWN{n}")),
                    row(n + 1, "SAME")
                ),
            )
        })
        .collect();
    let listed: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let input = folder(&listed);
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!(
        (report.rows, report.events(), report.duplicates, report.attributes),
        (60, 21, 39, 21)
    );
    let rows = house.rows("events", &["message_id", "user_id"]).await;
    assert!(rows.contains(&"SAME|1".to_owned()), "the first file's row is kept: {rows:?}");
    let ledger = house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap();
    assert_eq!(
        ledger.iter().map(|file| file.duplicates).collect::<Vec<_>>(),
        [vec![1], vec![2; 19]].concat()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_stop_the_run_unless_allowed() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(&DIRTY.replace("max_reject_share: 0.9", "max_reject_share: 0.5"));
    let bad = ",A,1,1,2011-01-01 10:00:00,,UK,\n";
    let input = folder(&[
        ("a.csv", format!("{HEADER}{}", row(1, "A")).as_bytes()),
        ("b.csv", format!("{HEADER}{bad}{bad}").as_bytes()),
    ]);
    let error = house.ingest(&source, input.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("rejects 2 of 3 rows, more than its max_reject_share of 0.5 (mostly no_user_id: column \"customer\" is empty)"),
        "{text}"
    );
    assert_eq!(house.rows("events", &["user_id"]).await.len(), 0);
    assert_eq!(house.rows("rejected_events", &["row"]).await.len(), 0);
    assert!(
        house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap().is_empty()
    );

    let report = house
        .ingest_with(
            &source,
            input.path(),
            &IngestOptions { allow_rejects: true, ..IngestOptions::default() },
        )
        .await
        .unwrap();
    assert_eq!((report.rows, report.rejected_rows()), (3, 2));
    assert_eq!(house.rows("rejected_events", &["row"]).await.len(), 2);

    // Half and half is not over the share.
    fs::write(input.path().join("c.csv"), format!("{HEADER}{}{bad}", row(1, "A"))).unwrap();
    assert_eq!(house.ingest(&source, input.path()).await.unwrap().rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_stop_a_long_run_early() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let bad = ",A,1,1,2011-01-01 10:00:00,,UK,\n".repeat(40_000);
    let good = row(1, "A").repeat(120_000);
    let input = folder(&[
        ("a.csv", format!("{HEADER}{bad}").as_bytes()),
        ("b.csv", format!("{HEADER}{good}").as_bytes()),
    ]);
    let Error::TooManyRejects { rows, rejected, .. } =
        house.ingest(&definitions(DIRTY), input.path()).await.unwrap_err()
    else {
        panic!()
    };
    assert!(rows <= 40_000 && rejected == rows, "{rejected} of {rows}");
    assert_eq!(house.data_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_fit_refuses_the_file() {
    let text = "customer,invoice,quantity,price,at,day,country,colour\n1,A,1,1,2011-01-01 10:00:00,,UK,red\n1,B,1,1,2011-01-01 10:00:00,,UK,\n";
    let ingest = async |yaml: &str, text: &str| {
        let home = tempfile::tempdir().unwrap();
        let house = House::open(home.path()).await;
        let input = folder(&[("a.csv", text.as_bytes())]);
        let report = house.ingest(&definitions(yaml), input.path()).await.unwrap();
        let rejected = house.rows("rejected_events", &["detail"]).await.len();
        let ledger =
            house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap().len();
        (report, house.rows("events", &["properties"]).await, rejected, ledger)
    };
    let lands = async |yaml: String, text: &str, properties: &[&str]| {
        let (report, found, rejected, ledger) = ingest(&yaml, text).await;
        assert_eq!((report.failed, rejected, ledger), (vec![], 0, 1), "{yaml}");
        assert_eq!(found, properties, "{yaml}");
    };
    let refused = async |yaml: String, text: &str, message: &str| {
        let (report, found, rejected, ledger) = ingest(&yaml, text).await;
        assert_eq!(
            report.failed.iter().map(|file| file.message.as_str()).collect::<Vec<_>>(),
            [message],
            "{yaml}"
        );
        assert_eq!((report.rows, found.len(), rejected, ledger), (0, 0, 0, 0), "{yaml}");
    };
    let base = DIRTY.to_owned();
    let unnamed = "nothing names the column \"colour\": map it, list it under `ignore`, or set `unknown_columns`";
    refused(base.clone(), text, unnamed).await;
    lands(format!("{base}unknown_columns: keep\n"), text, &["-", "{\"colour\":\"red\"}"]).await;
    lands(format!("{base}unknown_columns: ignore\n"), text, &["-", "-"]).await;

    // A missing optional column is no value; without a required one no row can be read.
    lands(base.clone(), "customer,invoice,quantity,at\n1,A,1,2011-01-01 10:00:00\n", &["-"]).await;
    let found = |columns: &str| {
        format!("the file does not have it, but {columns}; correct the source or the file")
    };
    let missing =
        |column: &str, columns: &str| format!("unknown column \"{column}\": {}", found(columns));
    let without = "customer,quantity,at\n1,1,2011-01-01 10:00:00\n";
    refused(base.clone(), without, &missing("invoice", "\"customer\", \"quantity\", \"at\"")).await;
    refused(
        base.clone(),
        "invoice,quantity,at\n",
        &missing("customer", "\"invoice\", \"quantity\", \"at\""),
    )
    .await;

    // A name that stands twice is refused where it is read.
    let twice = |first: u32, second: u32, name: &str| {
        format!(
            "columns {first} and {second} are both called \"{name}\", so nobody knows which is meant: rename one in the file"
        )
    };
    let text = "customer,invoice,quantity,price,at,day,country,price\n1,A,1,1,2011-01-01 10:00:00,,UK,100\n";
    refused(base.clone(), text, &twice(4, 8, "price")).await;
    let text = "customer,invoice,quantity,at,note,note\n1,A,1,2011-01-01 10:00:00,x,y\n";
    lands(base.clone(), text, &["-"]).await;
    let text = "customer,invoice,quantity,at,x,x\n1,A,1,2011-01-01 10:00:00,1,2\n";
    lands(format!("{base}unknown_columns: ignore\n"), text, &["-"]).await;
    refused(format!("{base}unknown_columns: keep\n"), text, &twice(5, 6, "x")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_does_not_take_its_name() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(DIRTY);
    let input = folder(&[
        ("a.csv", b""),
        ("b.csv", HEADER.as_bytes()),
        ("c.csv.gz", &gzip(b"\n\n")),
        ("d.csv", b"\xef\xbb\xbf\r\n"),
    ]);
    for _ in 0..2 {
        let report = house.ingest(&source, input.path()).await.unwrap();
        assert_eq!(report.empty, ["a.csv", "b.csv", "c.csv.gz", "d.csv"]);
        assert_eq!((report.files_new, report.files_unchanged, report.batches), (0, 0, 0));
    }
    assert_eq!(house.catalog.ingested_files(&house.app, &house::name("orders")).await.unwrap(), []);
    fs::write(input.path().join("b.csv"), format!("{HEADER}{}", row(1, "A"))).unwrap();
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((report.files_new, report.rows, report.empty.len()), (1, 1, 3));
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((report.files_new, report.files_unchanged, report.empty.len()), (0, 1, 3));
}

const JSONL: &str = r#"
kind: source
name: clicks
format: jsonl
user_id: { column: user.id, type: int }
event: { column: type }
time: { column: at, format: epoch_ms }
message_id: id
properties:
  page: { column: page.path }
  amount: { column: amount, type: decimal, scale: 4 }
  labels: { column: labels, type: set }
  fresh: { column: fresh, type: bool }
  seen: { column: seen, type: date, precision: millisecond }
attributes:
  plan: user.plan
unknown_columns: keep
max_reject_share: 1
"#;

#[tokio::test(flavor = "multi_thread")]
async fn json_lines() {
    let lines = [
        r#"{"id":"m1","user":{"id":7.0,"plan":"pro"},"type":"view","at":1300000000123,"page":{"path":"/a\u00e9","query":"?x"},"amount":12345678901234567890.1234,"labels":["b","a","b"],"fresh":true,"seen":"2011-07-01T10:00","n":1.50}"#,
        r#"{"id":"m2","user":{"id":"8","plan":null},"type":"view","at":"1300000000123","amount":null}"#,
        "",
        r#"{"id":"m1","user":{"id":9},"type":"view","at":1300000000123}"#,
        r#"{"id":"m3","user":{},"type":"view","at":1300000000123}"#,
        r#"{"id":"m4","user":{"id":1},"type":"view","at":1300000000123,"fresh":"maybe"}"#,
        r#"{"id":"m5","user":{"id":1},"type":"","at":1300000000123}"#,
        r#"{"user":{"id":1},"type":"view","at":1300000000123}"#,
        r#"{"id":"m6","user":{"id":1},"type":"view","at":1300000000123"#,
        r#"["m7"]"#,
        r#"{"id":"m8","user":{"id":1},"type":"view","at":{}}"#,
        r#"{"id":"m9","user":{"id":1},"type":"view","at":1300000000123,"labels":[["deep"]]}"#,
    ]
    .join("\n");
    let mut bytes = lines.into_bytes();
    bytes.extend_from_slice(b"\n{\"id\":\"\xff\"}\n");
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = folder(&[("a.jsonl.gz", &gzip(&bytes))]);
    let report = house.ingest(&definitions(JSONL), input.path()).await.unwrap();
    let rejected = [
        ("bad_time", 1),
        ("bad_type", 2),
        ("broken_line", 2),
        ("no_event", 1),
        ("no_message_id", 1),
        ("no_user_id", 1),
        ("not_utf8", 1),
    ];
    assert_eq!(report.rejected, counts(&rejected));
    assert_eq!((report.rows, report.duplicates, report.events()), (12, 1, 2));
    let columns = [
        "user_id",
        "message_id",
        "time",
        "page",
        "amount",
        "labels",
        "fresh",
        "seen",
        "properties",
    ];
    assert_eq!(
        house.rows("events", &columns).await,
        [
            "7|m1|2011-03-13T07:06:40.123|/aé|12345678901234567890.1234|[a, b]|true|2011-07-01T09:00:00|{\"page.query\":\"?x\",\"n\":1.50}",
            "8|m2|2011-03-13T07:06:40.123|-|-|-|-|-|-",
        ]
    );
    assert_eq!(
        house.rows("attributes", &["user_id", "name", "value"]).await,
        ["7|plan|pro", "8|plan|-"]
    );
}

const PARQUET: &str = r#"
kind: source
name: sales
format: parquet
user_id: { column: customer, type: int }
event: sale
time: { column: at, zone: Europe/London }
properties:
  sku: sku
  price: { column: price, type: decimal, scale: 2 }
  quantity: { column: quantity, type: int }
  labels: { column: labels, type: set }
  day: { column: day, type: date }
unknown_columns: keep
max_reject_share: 1
"#;

fn write_parquet(path: &Path) {
    use arrow::array::{
        ArrayRef, Date32Array, Float32Array, Float64Array, ListBuilder, StringArray, StringBuilder,
        TimestampNanosecondArray, UInt64Array,
    };
    use std::sync::Arc;
    let mut labels = ListBuilder::new(StringBuilder::new());
    labels.values().append_value("x");
    labels.values().append_value("y \"z\"");
    labels.append(true);
    labels.append(false);
    labels.append(true);
    let summer = 1_309_514_400_000_000_000; // 2011-07-01T10:00:00 of no zone
    let columns: [(&str, ArrayRef); 8] = [
        ("customer", Arc::new(Float64Array::from(vec![Some(17850.0), Some(2.0), None]))),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![Some(summer), None, Some(summer)]))),
        ("sku", Arc::new(StringArray::from(vec![Some("A"), Some("B"), Some("C")]))),
        ("price", Arc::new(Float32Array::from(vec![Some(0.1), Some(1.0), Some(2.0)]))),
        ("quantity", Arc::new(UInt64Array::from(vec![Some(3), Some(u64::MAX), None]))),
        ("labels", Arc::new(labels.finish())),
        ("day", Arc::new(Date32Array::from(vec![Some(1), None, None]))),
        ("extra", Arc::new(StringArray::from(vec![Some("e"), None, None]))),
    ];
    write_columns(path, columns.to_vec());
}

fn write_columns(path: &Path, columns: Vec<(&str, arrow::array::ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = arrow::array::RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None)
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files_whose_columns_do_not_fit_or_without_rows() {
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = folder(&[]);
    let columns = |rows: usize, names: &[&'static str]| {
        let array = || {
            Arc::new(StringArray::from_iter_values((1..=rows).map(|row| row.to_string())))
                as ArrayRef
        };
        names.iter().map(|name| (*name, array())).collect::<Vec<_>>()
    };
    write_columns(
        &input.path().join("a.parquet"),
        columns(1, &["customer", "at", "price", "price"]),
    );
    write_columns(&input.path().join("b.parquet"), columns(1, &["customer", "price"]));
    write_columns(&input.path().join("c.parquet"), columns(0, &["customer", "at"]));
    let report = house.ingest(&definitions(PARQUET), input.path()).await.unwrap();
    let failed: Vec<_> =
        report.failed.iter().map(|file| format!("{}: {}", file.file, file.message)).collect();
    assert!(
        failed[0].starts_with("a.parquet: columns 3 and 4 are both called \"price\""),
        "{failed:?}"
    );
    assert!(
        failed[1].starts_with("b.parquet: unknown column \"at\": the file does not have it"),
        "{failed:?}"
    );
    assert_eq!(
        (failed.len(), report.empty, report.files_new),
        (2, vec!["c.parquet".to_owned()], 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = folder(&[("broken.parquet", b"PAR1 this is not PAR1")]);
    write_parquet(&input.path().join("a.parquet"));
    let report = house.ingest(&definitions(PARQUET), input.path()).await.unwrap();
    assert_eq!(report.rejected, counts(&[("bad_time", 1), ("no_user_id", 1)]));
    assert_eq!(report.failed.len(), 1);
    assert!(report.failed[0].message.contains("Parquet data is damaged"), "{:?}", report.failed);
    let columns =
        ["user_id", "event", "time", "sku", "price", "quantity", "labels", "day", "properties"];
    let expected =
        "17850|sale|2011-07-01T09:00:00|A|0.10|3|[x, y \"z\"]|1970-01-02|{\"extra\":\"e\"}";
    assert_eq!(house.rows("events", &columns).await, [expected]);
    let raw = house.rows("rejected_events", &["row", "raw"]).await;
    assert!(raw[0].starts_with("2|{\"customer\":2"), "{raw:?}");
    assert_eq!(house.ingest(&definitions(PARQUET), input.path()).await.unwrap().files_unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_attributes_only() {
    let yaml = "kind: source\nname: people\nformat: csv\nuser_id: id\nmessage_id: key\nattributes:\n  city: city\n  born: { column: born, type: date }\n  worth: { column: worth, type: decimal, scale: 3 }\n";
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let input = folder(&[(
        "a.csv",
        b"id,key,city,born,worth\nu1,k1,Oslo,1990-01-02,1.5\nu2,k2,,,\nu3,k1,Rome,,\n",
    )]);
    let report = house.ingest(&definitions(yaml), input.path()).await.unwrap();
    assert_eq!((report.rows, report.events(), report.attributes, report.duplicates), (3, 0, 6, 1));
    assert_eq!(
        house.rows("attributes", &["user_id", "name", "value", "time"]).await,
        [
            "u1|born|1990-01-02|2026-11-21T00:00:00",
            "u1|city|Oslo|2026-11-21T00:00:00",
            "u1|worth|1.500|2026-11-21T00:00:00",
            "u2|born|-|2026-11-21T00:00:00",
            "u2|city|-|2026-11-21T00:00:00",
            "u2|worth|-|2026-11-21T00:00:00",
        ]
    );
}

/// Definitions change: the table gets a column behind the others, and rows of before have none
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn new_properties_come_behind() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let yaml = "kind: source\nname: s\nformat: csv\nuser_id: u\nevent: e\ntime: t\nproperties:\n  mid: m\n";
    let input = folder(&[("a.csv", b"u,t,m\n1,2011-01-01,x\n")]);
    house.ingest(&definitions(yaml), input.path()).await.unwrap();
    fs::write(input.path().join("b.csv"), "u,t,m,a\n2,2011-01-01,y,z\n").unwrap();
    house.ingest(&definitions(&format!("{yaml}  early: a\n")), input.path()).await.unwrap();
    fs::write(input.path().join("c.csv"), "u,t,m\n3,2011-01-01,w\n").unwrap();
    house.ingest(&definitions(yaml), input.path()).await.unwrap();
    assert_eq!(
        house.rows("events", &["user_id", "mid", "early"]).await,
        ["1|x|-", "2|y|z", "3|w|-"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_calls_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let source = definitions(DIRTY);
    let ingest = async |definitions: &Definitions, name: &str, path: &Path| {
        let run = house.files();
        let (name, paths) = (house::name(name), [path.to_owned()]);
        run.ingest(
            &house.app,
            definitions,
            &name,
            &paths,
            &IngestOptions::default(),
            Attendant::nobody(),
        )
        .await
    };
    let error = ingest(&source, "order", home.path()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::NotFound, "no source \"order\": the sources are orders".to_owned())
    );
    let error = ingest(&source, "orders", &home.path().join("gone")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let live = definitions("kind: source\nname: web\nformat: segment\n");
    assert_eq!(ingest(&live, "web", home.path()).await.unwrap_err().kind(), ErrorKind::Invalid);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(ingest(&source, "orders", empty.path()).await.unwrap(), IngestReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_has_done_nothing() {
    let home = tempfile::tempdir().unwrap();
    let source = definitions(DIRTY);
    let text = format!("{HEADER}{}", row(1, "A").repeat(100_000));
    let input = folder(&[("a.csv", text.as_bytes()), ("b.csv", text.as_bytes())]);
    {
        let house = House::open(home.path()).await;
        let files = [input.path().to_owned()];
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
        let on_progress = |_: &taghouse_ingest::IngestProgress| {
            assert!(told.send(()).is_ok() || told.is_closed())
        };
        let (run, name, options) = (house.files(), house::name("orders"), IngestOptions::default());
        let run = run.ingest(
            &house.app,
            &source,
            &name,
            &files,
            &options,
            Attendant { progress: &on_progress, ..Attendant::nobody() },
        );
        // Dropped in the middle, as a kill would.
        tokio::select! { _ = run => panic!("it should have been stopped"), _ = telling.recv() => {} }
    }
    let house = House::open(home.path()).await;
    assert_eq!(house.rows("events", &["user_id"]).await.len(), 0);
    let report = house.ingest(&source, input.path()).await.unwrap();
    assert_eq!((report.files_new, report.events()), (2, 200_000));
    assert_eq!(house.rows("events", &["user_id"]).await.len(), 200_000);
}
