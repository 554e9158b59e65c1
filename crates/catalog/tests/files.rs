//! The file itself: made, reopened, refused, killed, and read by pyiceberg.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../../../tests/needs/small_disk.rs"]
mod small_disk;

#[path = "../../../tests/needs/mod.rs"]
mod needs;

use serde_json::json;
use small_disk::SmallDisk;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use taghouse_catalog::{
    AuditQuery, AuditRecord, Catalog, Change, Error, IngestedFile, KeyRecord, Role, RunRecord,
    SqliteCatalog,
};
use taghouse_model::{AppId, ErrorKind, Name};

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

fn put(expected: Option<u64>, value: u64) -> Change {
    Change::PutPointer {
        kind: "k".into(),
        app: shop(),
        name: "p".into(),
        expected,
        value: json!(value),
    }
}

fn swap(expected: Option<&str>, location: &str) -> Change {
    Change::SwapTable {
        app: shop(),
        table: "events".into(),
        expected: expected.map(str::to_owned),
        location: location.into(),
    }
}

async fn sqlite(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(
        &SqliteConnectOptions::new().filename(path).create_if_missing(true),
    )
    .await
    .unwrap()
}

async fn refused(path: &Path) -> Error {
    SqliteCatalog::open(path).await.unwrap_err()
}

#[tokio::test]
async fn what_is_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    // What a process leaves that was killed while making the file.
    std::fs::write(&path, b"").unwrap();
    for revision in 0..3 {
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        catalog.commit(vec![put((revision > 0).then_some(revision), revision)]).await.unwrap();
        if revision == 1 {
            catalog.close().await;
            let closed = catalog.commit(vec![put(Some(2), 9)]).await.unwrap_err();
            assert_eq!(closed.kind(), ErrorKind::Unavailable, "{closed}");
        }
    }
    let pointer = SqliteCatalog::open(&path)
        .await
        .unwrap()
        .pointer("k", &shop(), "p")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((pointer.revision, pointer.value), (3, json!(2)));
}

#[tokio::test]
async fn the_file_is_in_wal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let _catalog = SqliteCatalog::open(&path).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut sqlite(&path).await)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn foreign_files_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("text", b"id,name\n1,x\n".to_vec()), ("long", vec![b'x'; 8192]), ("zeros", vec![0; 4096])]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("is not an SQLite file"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    let other = folder.path().join("other.db");
    sqlx::raw_sql("CREATE TABLE songs (id INTEGER)")
        .execute(&mut sqlite(&other).await)
        .await
        .unwrap();
    let error = refused(&other).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("of another program"), "{error}");

    let missing = refused(&folder.path().join("no/such/folder/catalog.db")).await;
    assert_eq!(missing.kind(), ErrorKind::Unavailable, "{missing}");
}

#[tokio::test]
async fn a_damaged_file_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    SqliteCatalog::open(&path).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the first page's header, where the schema's tree begins.
    bytes[100..4096].fill(0xee);
    std::fs::write(&path, &bytes).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    SqliteCatalog::open(&path).await.unwrap().close().await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut sqlite(&path).await).await.unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, Error::TooNew { found: 99, known: 6, .. }), "{error}");
    assert!(error.to_string().contains("run a newer taghouse"), "{error}");
}

/// The statements that pyiceberg 0.12's `SqlCatalog` made, as `sqlite_schema` holds them.
const PYICEBERG: [(&str, &str); 2] = [
    (
        "iceberg_tables",
        "CREATE TABLE iceberg_tables (\n\tcatalog_name VARCHAR(255) NOT NULL, \n\ttable_namespace VARCHAR(255) NOT NULL, \n\ttable_name VARCHAR(255) NOT NULL, \n\tmetadata_location VARCHAR(1000), \n\tprevious_metadata_location VARCHAR(1000), \n\ticeberg_type VARCHAR(5), \n\tPRIMARY KEY (catalog_name, table_namespace, table_name)\n)",
    ),
    (
        "iceberg_namespace_properties",
        "CREATE TABLE iceberg_namespace_properties (\n\tcatalog_name VARCHAR(255) NOT NULL, \n\tnamespace VARCHAR(255) NOT NULL, \n\tproperty_key VARCHAR(255) NOT NULL, \n\tproperty_value VARCHAR(1000) NOT NULL, \n\tPRIMARY KEY (catalog_name, namespace, property_key)\n)",
    ),
];

#[tokio::test]
async fn iceberg_tables_have_pyicebergs_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    // A file that pyiceberg made first is taken over.
    let theirs = folder.path().join("theirs.db");
    for (_, statement) in PYICEBERG {
        sqlx::raw_sql(statement).execute(&mut sqlite(&theirs).await).await.unwrap();
    }
    for path in [&path, &theirs] {
        let catalog = SqliteCatalog::open(path).await.unwrap();
        catalog
            .commit(vec![swap(None, "file:///a"), swap(Some("file:///a"), "file:///b")])
            .await
            .unwrap();
        assert_eq!(
            catalog.table_location(&shop(), "events").await.unwrap().as_deref(),
            Some("file:///b")
        );
        assert_eq!(catalog.table_location(&shop(), "tags").await.unwrap(), None);
        assert_eq!(catalog.tables(&shop()).await.unwrap(), ["events"]);
        catalog.close().await;

        let mut db = sqlite(path).await;
        for (table, statement) in PYICEBERG {
            let ours: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?")
                .bind(table)
                .fetch_one(&mut db)
                .await
                .unwrap();
            let words = |sql: &str| {
                sql.split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace("( ", "(")
                    .replace(" )", ")")
            };
            assert_eq!(words(&ours), words(statement));
        }
        let row: (String, String, String, String, String, String) =
            sqlx::query_as("SELECT * FROM iceberg_tables").fetch_one(&mut db).await.unwrap();
        let text = |text: &str| text.to_owned();
        assert_eq!(
            row,
            (
                text("taghouse"),
                text("shop"),
                text("events"),
                text("file:///b"),
                text("file:///a"),
                text("TABLE")
            )
        );
        let row: (String, String, String, String) =
            sqlx::query_as("SELECT * FROM iceberg_namespace_properties")
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(row, (text("taghouse"), text("shop"), text("exists"), text("true")));
    }
}

const FOLDER: &str = "TAGHOUSE_CATALOG_CRASH_FOLDER";

/// Not a test of its own: `acknowledged_commits_survive_sigkill` runs it as a process and kills it.
#[test]
#[ignore = "run as a subprocess by acknowledged_commits_survive_sigkill"]
fn child_that_commits_until_killed() {
    let path = Path::new(&std::env::var(FOLDER).expect("run by the test below")).join("catalog.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        loop {
            let revision =
                catalog.pointer("k", &shop(), "p").await.unwrap().map(|pointer| pointer.revision);
            let location = |revision: u64| format!("file:///{revision}");
            let next = revision.unwrap_or(0) + 1;
            let swap = swap(revision.map(location).as_deref(), &location(next));
            catalog.commit(vec![put(revision, next), swap]).await.unwrap();
            println!("ack {next}");
        }
    });
}

#[tokio::test]
async fn acknowledged_commits_survive_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, said)) = line.split_once("ack ") else { continue };
            let revision: u64 = said.parse().unwrap();
            assert!(
                revision == last + 1 || seen == 0 && revision == last + 2,
                "{revision} behind {last}: one commit may lack its answer"
            );
            last = revision;
            seen += 1;
            if seen == 20 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 20 * round, "the child ended by itself");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let pointer = catalog.pointer("k", &shop(), "p").await.unwrap().unwrap();
        assert!(
            pointer.revision == last || pointer.revision == last + 1,
            "{} after {last} was acknowledged",
            pointer.revision
        );
        assert_eq!(pointer.value, json!(pointer.revision));
        let location = catalog.table_location(&shop(), "events").await.unwrap();
        assert_eq!(
            location,
            Some(format!("file:///{}", pointer.revision)),
            "one commit is whole or not at all"
        );
        catalog.close().await;
    }
}

/// pyiceberg lists what was swapped in.
#[tokio::test]
async fn pyiceberg_lists_our_tables() {
    let Some(python) = needs::peers("pyiceberg_lists_our_tables") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    // A table made by pyiceberg elsewhere gives real metadata to point to.
    let script = r#"
import sys
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, StringType
folder, step = sys.argv[1:]
name = "other" if step == "make" else "taghouse"
file = "made.db" if step == "make" else "catalog.db"
catalog = SqlCatalog(name, uri=f"sqlite:///{folder}/{file}", warehouse=f"file://{folder}/warehouse")
if step == "make":
    catalog.create_namespace("shop")
    print(catalog.create_table("shop.events", Schema(NestedField(1, "user_id", StringType(), required=True))).metadata_location)
else:
    print(catalog.list_namespaces(), catalog.list_tables("shop"), catalog.load_table("shop.events").schema().column_names)
"#;
    let python = |step: &str| {
        let done = Command::new(&python)
            .args(["-c", script])
            .arg(folder.path())
            .arg(step)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let location = python("make");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit(vec![swap(None, &location)]).await.unwrap();
    assert_eq!(python("list"), "[('shop',)] [('shop', 'events')] ['user_id']");
}

/// Commits, each a frame or more of the write-ahead log, and ends without closing, as a killed
/// process does.
fn commit_and_die(path: &Path, commits: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let catalog = runtime.block_on(async {
        let catalog = SqliteCatalog::open(path).await.unwrap();
        for revision in 0..commits {
            catalog
                .commit(vec![put((revision > 0).then_some(revision), revision + 1)])
                .await
                .unwrap();
        }
        catalog
    });
    // Its files as they are now; the copies below are made of them.
    let (file, log) = (std::fs::read(path).unwrap(), std::fs::read(wal(path)).unwrap());
    runtime.block_on(catalog.close());
    std::fs::write(path, file).unwrap();
    std::fs::write(wal(path), log).unwrap();
}

fn wal(path: &Path) -> std::path::PathBuf {
    path.with_file_name("catalog.db-wal")
}

#[test]
fn a_catalog_that_lost_acknowledged_commits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let mark = folder.path().join("catalog.mark");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    commit_and_die(&path, 9);
    let whole = [&path, &wal(&path), &mark].map(|path| std::fs::read(path).unwrap());
    let put_back = || {
        for (path, bytes) in [&path, &wal(&path), &mark].into_iter().zip(&whole) {
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::remove_file(path.with_file_name("catalog.db-shm")).ok();
    };
    let log = &whole[1];
    let flipped = |at: usize| {
        let mut bytes = log.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |length: usize| log[..length].to_vec();
    let damages = [
        ("flipped in the middle", flipped(log.len() / 2)),
        ("flipped at its end", flipped(log.len() - 1)),
        ("flipped in its head", flipped(17)),
        ("cut at half", cut(log.len() / 2)),
        ("cut by one byte", cut(log.len() - 1)),
        ("emptied", Vec::new()),
    ];
    for (what, damaged) in damages {
        put_back();
        std::fs::write(wal(&path), damaged).unwrap();
        for attempt in 0..2 {
            let error = runtime.block_on(refused(&path));
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}, attempt {attempt}: {error}");
            for named in ["catalog.db", "catalog.db-wal", "backup", "catalog.mark"] {
                assert!(error.to_string().contains(named), "{what}, attempt {attempt}: {error}");
            }
        }
    }
    put_back();
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(wal(&path)).unwrap();
    assert!(
        matches!(runtime.block_on(refused(&path)), Error::Lost { missing: 9, .. }),
        "a catalog that is gone is not made new"
    );
    // What is whole is read, and whoever accepts the loss removes the mark.
    put_back();
    let revision = || {
        runtime.block_on(async {
            let catalog = SqliteCatalog::open(&path).await.unwrap();
            let revision = catalog.pointer("k", &shop(), "p").await.unwrap().unwrap().revision;
            catalog.close().await;
            revision
        })
    };
    assert_eq!(revision(), 9);
    put_back();
    std::fs::write(wal(&path), cut(log.len() - 1)).unwrap();
    std::fs::remove_file(&mark).unwrap();
    assert_eq!((revision(), revision()), (8, 8));
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit(vec![put(None, 1)]).await.unwrap();
    let log = std::fs::read(wal(&path)).unwrap();
    std::fs::remove_file(wal(&path)).unwrap();
    let error = catalog.commit(vec![put(Some(1), 2)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("catalog.db-wal"), "{error}");
    std::fs::write(wal(&path), log).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = catalog.commit(vec![put(Some(2), 3)]).await.unwrap_err();
    assert!(
        matches!(&error, Error::Gone(what) if what.contains("catalog.db was deleted")),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_disk_is_told_and_overcome_once_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) =
        SmallDisk::over(folder.path(), "a_full_disk_is_told_and_overcome_once_it_has_room", "1m")
    else {
        return;
    };
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit(vec![put(None, 1)]).await.unwrap();
    let large = |name: usize| Change::PutPointer {
        kind: "large".into(),
        app: shop(),
        name: name.to_string(),
        expected: None,
        value: json!("x".repeat(20_000)),
    };
    let mut kept = 0;
    let error = loop {
        match catalog.commit(vec![large(kept)]).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "the disk does not fill");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    for _ in 0..3 {
        let error = catalog.commit(vec![large(kept)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(
        catalog.pointers("large", &shop()).await.unwrap().len(),
        kept,
        "what is there can be read"
    );
    disk.grow("64m");
    catalog.commit(vec![large(kept)]).await.unwrap();
    catalog.commit(vec![put(Some(1), 2)]).await.unwrap();
    assert_eq!(catalog.pointers("large", &shop()).await.unwrap().len(), kept + 1);
    catalog.close().await;
    assert_eq!(
        SqliteCatalog::open(&path).await.unwrap().pointers("large", &shop()).await.unwrap().len(),
        kept + 1
    );
}

#[tokio::test]
async fn a_flipped_bit_of_a_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let definition = Change::PutDefinition {
        app: shop(),
        kind: "tag".into(),
        name: "needle_name".into(),
        expected: None,
        body: json!({"window": "needle_body"}),
        at_ms: 1,
    };
    catalog.commit(vec![put(None, 77_777_777), definition]).await.unwrap();
    catalog.close().await;
    let whole = std::fs::read(&path).unwrap();
    for needle in ["needle_name", "needle_body", "77777777"] {
        let at =
            whole.windows(needle.len()).rposition(|window| window == needle.as_bytes()).unwrap();
        for place in [at, at + needle.len() - 1] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            let error = refused(&path).await;
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{needle}: {error}");
            assert!(error.to_string().contains("catalog.db"), "{error}");
        }
    }
    std::fs::write(&path, &whole).unwrap();
    // A row that a version before this one wrote.
    let old = "UPDATE pointers SET value = '5' WHERE name = 'p'";
    sqlx::raw_sql(old).execute(&mut sqlite(&path).await).await.unwrap();
    assert_eq!(
        SqliteCatalog::open(&path)
            .await
            .unwrap()
            .pointer("k", &shop(), "p")
            .await
            .unwrap()
            .unwrap()
            .value,
        json!(5)
    );
}

#[tokio::test]
async fn a_changed_column_of_a_key_a_file_a_run_or_a_line_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let key = |id: &str| KeyRecord {
        id: id.into(),
        app: Some(shop()),
        role: Role::Viewer,
        secret_sha256: [7; 32],
        note: String::new(),
        created_ms: 1,
        revoked_ms: None,
        terms: taghouse_catalog::KeyTerms {
            grants: vec!["crowd:vip=judge".parse().unwrap()],
            ..taghouse_catalog::KeyTerms::default()
        },
        used_ms: None,
    };
    let file = IngestedFile {
        name: "orders.csv".into(),
        size_bytes: 1,
        checksum: "c".into(),
        rows: 2,
        accepted: 2,
        rejected: 0,
        filtered: 0,
        duplicates: 0,
        batch: 1,
        ingested_ms: 1,
    };
    let run = RunRecord {
        id: "run-1".into(),
        app: shop(),
        kind: "produce".into(),
        state: "succeeded".into(),
        detail: json!({"tasks": [1.5, "x"]}),
        started_ms: 1,
        finished_ms: Some(2),
    };
    let line = AuditRecord {
        app: Some(shop()),
        at_ms: 1,
        actor: "k".into(),
        action: "produce".into(),
        subject: "all".into(),
        outcome: "done".into(),
    };
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let put = vec![
        Change::PutKey(key("k1")),
        Change::PutKey(key("k2")),
        Change::RevokeKey { id: "k1".into(), at_ms: 5 },
        Change::RecordFile { app: shop(), source: Name::new("orders").unwrap(), file },
        Change::PutRun(RunRecord { finished_ms: None, ..run.clone() }),
        Change::PutRun(run),
        Change::Audit(line),
    ];
    catalog.commit(put).await.unwrap();
    assert_eq!(catalog.keys().await.unwrap()[0].revoked_ms, Some(5));
    catalog.close().await;
    let whole = std::fs::read(&path).unwrap();
    for (table, change) in [
        ("api_keys", "UPDATE api_keys SET role = 'admin' WHERE id = 'k2'"),
        ("api_keys", "UPDATE api_keys SET revoked_ms = NULL WHERE id = 'k1'"),
        ("api_keys", "UPDATE api_keys SET app = NULL WHERE id = 'k1'"),
        ("api_keys", "UPDATE api_keys SET secret_sha256 = zeroblob(32) WHERE id = 'k1'"),
        (
            "key terms",
            "UPDATE api_keys SET terms = replace(terms, 'judge', 'edit') WHERE id = 'k1'",
        ),
        ("ingested_files", "UPDATE ingested_files SET name = 'orders.csw'"),
        ("ingested_files", "UPDATE ingested_files SET batch = 2"),
        ("runs", "UPDATE runs SET state = 'failed'"),
        ("runs", "UPDATE runs SET finished_ms = NULL"),
        ("audit", "UPDATE audit SET actor = 'j'"),
        ("audit", "UPDATE audit SET outcome = 'failed'"),
    ] {
        std::fs::write(&path, &whole).unwrap();
        let mut raw = sqlite(&path).await;
        sqlx::raw_sql(change).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
        let error = match table {
            "api_keys" | "key terms" | "ingested_files" => refused(&path).await,
            read => {
                let catalog = SqliteCatalog::open(&path).await.unwrap();
                let trail = AuditQuery { app: Some(shop()), limit: 9, ..AuditQuery::default() };
                let error = match read {
                    "runs" => catalog.runs(&shop(), 9).await.unwrap_err(),
                    _ => catalog.audit(&trail).await.unwrap_err(),
                };
                catalog.close().await;
                error
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error}");
        assert!(
            error.to_string().contains(table) && error.to_string().contains("catalog.db"),
            "{change}: {error}"
        );
    }
    // Rows that a version before this one wrote.
    std::fs::write(&path, &whole).unwrap();
    sqlx::raw_sql("UPDATE api_keys SET seal = NULL, note = 'old'")
        .execute(&mut sqlite(&path).await)
        .await
        .unwrap();
    assert_eq!(SqliteCatalog::open(&path).await.unwrap().keys().await.unwrap()[0].note, "old");
}
