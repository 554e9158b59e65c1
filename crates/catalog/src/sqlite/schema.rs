use super::acknowledged;
use crate::{Error, Result};
use sqlx::sqlite::SqlitePool;
use std::io::Read;
use std::path::Path;

/// One script a version, in order: the first makes version 1.
const SCRIPTS: &[&str] = &[
    include_str!("../../schema/001_first.sql"),
    include_str!("../../schema/002_commits.sql"),
    include_str!("../../schema/003_audit.sql"),
    include_str!("../../schema/004_seals.sql"),
    include_str!("../../schema/005_open_acts.sql"),
    include_str!("../../schema/006_key_terms.sql"),
];
const KNOWN: i64 = SCRIPTS.len() as i64;
/// The first version that counts commits.
const COUNTS_COMMITS: usize = 2;
/// SQLite's `application_id`: "TAGH".
const APPLICATION_ID: i64 = 0x5441_4748;
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Refuses a file that SQLite did not write before any connection touches it: SQLite itself notices
/// late, and takes a short file of other bytes for an empty database.
pub(super) fn refuse_foreign_bytes(path: &Path) -> Result<()> {
    let mut head = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            let read = file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut head);
            read.map_err(|e| Error::Unavailable(format!("{}: {e}", path.display())))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::Unavailable(format!("{}: {e}", path.display()))),
    }
    // An empty file is what a process leaves that was killed while making it.
    if head.is_empty() || head == SQLITE_MAGIC {
        Ok(())
    } else {
        Err(Error::Corrupt(format!("{} is not an SQLite file", path.display())))
    }
}

/// Brings the file to the newest schema, in one transaction.
pub(super) async fn migrate(writer: &SqlitePool, path: &Path) -> Result<()> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *transaction).await?;
    let foreign: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name NOT IN ('iceberg_tables', 'iceberg_namespace_properties')",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let ours = application == APPLICATION_ID;
    if !ours && (application != 0 || version != 0 || foreign != 0) {
        return Err(Error::Corrupt(format!(
            "{} is an SQLite file of another program",
            path.display()
        )));
    }
    if version > KNOWN {
        return Err(Error::TooNew { path: path.to_owned(), found: version, known: KNOWN });
    }
    let done = usize::try_from(version)
        .map_err(|_| Error::Corrupt(format!("{} has schema version {version}", path.display())))?;
    if done == SCRIPTS.len() {
        return Ok(());
    }
    let noted = acknowledged::noted(path);
    if done < COUNTS_COMMITS && noted > 0 {
        // What would have been made new here was lost with the rest.
        let (log, mark) = (acknowledged::log_of(path), acknowledged::mark_of(path));
        return Err(Error::Lost { path: path.to_owned(), log, missing: noted, mark });
    }
    for script in &SCRIPTS[done..] {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    // Pragmas take no parameters; both are written in the transaction, for they live in the file's
    // first page.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {KNOWN};"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    tracing::info!(path = %path.display(), from = version, to = KNOWN, "catalog schema brought up to date");
    Ok(())
}
