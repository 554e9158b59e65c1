//! The file itself: made, reopened, refused, killed, and read by pyiceberg.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use taghouse_catalog::{Catalog, Change, Error, SqliteCatalog};
use taghouse_model::{AppId, ErrorKind};

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

fn put(expected: Option<u64>, value: u64) -> Change {
    Change::PutPointer { kind: "k".into(), app: shop(), name: "p".into(), expected, value: json!(value) }
}

fn swap(expected: Option<&str>, location: &str) -> Change {
    Change::SwapTable { app: shop(), table: "events".into(), expected: expected.map(str::to_owned), location: location.into() }
}

async fn sqlite(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path).create_if_missing(true)).await.unwrap()
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
    let pointer = SqliteCatalog::open(&path).await.unwrap().pointer("k", &shop(), "p").await.unwrap().unwrap();
    assert_eq!((pointer.revision, pointer.value), (3, json!(2)));
}

#[tokio::test]
async fn the_file_is_in_wal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let _catalog = SqliteCatalog::open(&path).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut sqlite(&path).await).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn foreign_files_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("text", b"id,name\n1,x\n".to_vec()), ("long", vec![b'x'; 8192]), ("zeros", vec![0; 4096])] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("is not an SQLite file"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    let other = folder.path().join("other.db");
    sqlx::raw_sql("CREATE TABLE songs (id INTEGER)").execute(&mut sqlite(&other).await).await.unwrap();
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
    assert!(matches!(error, Error::TooNew { found: 99, known: 1, .. }), "{error}");
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
        catalog.commit(vec![swap(None, "file:///a"), swap(Some("file:///a"), "file:///b")]).await.unwrap();
        assert_eq!(catalog.table_location(&shop(), "events").await.unwrap().as_deref(), Some("file:///b"));
        assert_eq!(catalog.table_location(&shop(), "tags").await.unwrap(), None);
        assert_eq!(catalog.tables(&shop()).await.unwrap(), ["events"]);
        catalog.close().await;

        let mut db = sqlite(path).await;
        for (table, statement) in PYICEBERG {
            let ours: String =
                sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?").bind(table).fetch_one(&mut db).await.unwrap();
            let words = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")");
            assert_eq!(words(&ours), words(statement));
        }
        let row: (String, String, String, String, String, String) =
            sqlx::query_as("SELECT * FROM iceberg_tables").fetch_one(&mut db).await.unwrap();
        let text = |text: &str| text.to_owned();
        assert_eq!(row, (text("taghouse"), text("shop"), text("events"), text("file:///b"), text("file:///a"), text("TABLE")));
        let row: (String, String, String, String) =
            sqlx::query_as("SELECT * FROM iceberg_namespace_properties").fetch_one(&mut db).await.unwrap();
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
            let revision = catalog.pointer("k", &shop(), "p").await.unwrap().map(|pointer| pointer.revision);
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
            assert!(revision == last + 1 || seen == 0 && revision == last + 2, "{revision} behind {last}: one commit may lack its answer");
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
        assert!(pointer.revision == last || pointer.revision == last + 1, "{} after {last} was acknowledged", pointer.revision);
        assert_eq!(pointer.value, json!(pointer.revision));
        let location = catalog.table_location(&shop(), "events").await.unwrap();
        assert_eq!(location, Some(format!("file:///{}", pointer.revision)), "one commit is whole or not at all");
        catalog.close().await;
    }
}

/// With `TAGHOUSE_PYICEBERG` naming a Python that has pyiceberg: it lists what was swapped in.
#[tokio::test]
#[ignore = "needs a Python with pyiceberg in TAGHOUSE_PYICEBERG"]
async fn pyiceberg_lists_our_tables() {
    let python = std::env::var("TAGHOUSE_PYICEBERG").expect("TAGHOUSE_PYICEBERG names a Python with pyiceberg");
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
        let done = Command::new(&python).args(["-c", script]).arg(folder.path()).arg(step).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let location = python("make");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit(vec![swap(None, &location)]).await.unwrap();
    assert_eq!(python("list"), "[('shop',)] [('shop', 'events')] ['user_id']");
}
