use super::ICEBERG_CATALOG;
use super::rows::{AUDIT, FILES, KEYS, RUNS};
use super::sealed::RowKey;
use crate::{
    AuditEntry, AuditQuery, AuditRecord, Error, IngestedFile, KeyRecord, Pointer, Result,
    RunRecord, StoredDefinition,
};
use serde_json::Value as Json;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use std::path::Path;
use taghouse_model::{AppId, Name};

/// Text that the catalog itself wrote: if it no longer parses, the file is damaged.
fn json(row: &SqliteRow, column: &str) -> Result<Json> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text)
        .map_err(|e| Error::Corrupt(format!("column {column} holds no JSON ({e})")))
}

fn natural(row: &SqliteRow, column: &str) -> Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| Error::Corrupt(format!("column {column} holds {number}")))
}

fn app_id(text: &str) -> Result<AppId> {
    AppId::new(text).map_err(|e| Error::Corrupt(e.to_string()))
}

/// As [`json`], of a row with a checksum.
fn sealed_json(row: &SqliteRow, kind: &str, app: &AppId, name: &str, column: &str) -> Result<Json> {
    let text = RowKey { kind, app: app.as_str(), name, revision: row.try_get("revision")? }
        .unseal(row.try_get(column)?)?;
    serde_json::from_str(text)
        .map_err(|e| Error::Corrupt(format!("column {column} holds no JSON ({e})")))
}

fn pointer_of(row: &SqliteRow, kind: &str, app: &AppId, name: &str) -> Result<Pointer> {
    Ok(Pointer {
        revision: natural(row, "revision")?,
        value: sealed_json(row, kind, app, name, "value")?,
    })
}

pub(super) async fn pointer(
    pool: &SqlitePool,
    kind: &str,
    app: &AppId,
    name: &str,
) -> Result<Option<Pointer>> {
    let row = sqlx::query("SELECT revision, value FROM pointers WHERE kind = ? AND app = ? AND name = ? AND value IS NOT NULL")
        .bind(kind)
        .bind(app.as_str())
        .bind(name)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(|row| pointer_of(row, kind, app, name)).transpose()
}

pub(super) async fn pointers(
    pool: &SqlitePool,
    kind: &str,
    app: &AppId,
) -> Result<Vec<(String, Pointer)>> {
    let rows = sqlx::query("SELECT name, revision, value FROM pointers WHERE kind = ? AND app = ? AND value IS NOT NULL ORDER BY name")
        .bind(kind)
        .bind(app.as_str())
        .fetch_all(pool)
        .await?;
    let named = |row: &SqliteRow| {
        let name: String = row.try_get("name")?;
        let pointer = pointer_of(row, kind, app, &name)?;
        Ok((name, pointer))
    };
    rows.iter().map(named).collect()
}

pub(super) async fn pointer_revisions(
    pool: &SqlitePool,
    kind: &str,
    app: &AppId,
) -> Result<Vec<(String, u64)>> {
    let rows = sqlx::query("SELECT name, revision FROM pointers WHERE kind = ? AND app = ? AND value IS NOT NULL ORDER BY name")
        .bind(kind)
        .bind(app.as_str())
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, natural(row, "revision")?))).collect()
}

pub(super) async fn definitions(pool: &SqlitePool, app: &AppId) -> Result<Vec<StoredDefinition>> {
    let rows = sqlx::query(
        "SELECT kind, name, revision, body, updated_ms FROM definitions WHERE app = ? AND body IS NOT NULL ORDER BY kind, name",
    )
    .bind(app.as_str())
    .fetch_all(pool)
    .await?;
    let definition = |row: &SqliteRow| {
        let (kind, name): (String, String) = (row.try_get("kind")?, row.try_get("name")?);
        Ok(StoredDefinition {
            body: sealed_json(row, &kind, app, &name, "body")?,
            kind,
            name,
            revision: natural(row, "revision")?,
            updated_ms: row.try_get("updated_ms")?,
        })
    };
    rows.iter().map(definition).collect()
}

pub(super) async fn apps(pool: &SqlitePool) -> Result<Vec<AppId>> {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT app FROM definitions WHERE body IS NOT NULL ORDER BY app",
    )
    .fetch_all(pool)
    .await?;
    texts.iter().map(|text| app_id(text)).collect()
}

pub(super) async fn table_location(
    pool: &SqlitePool,
    app: &AppId,
    table: &str,
) -> Result<Option<String>> {
    let location: Option<Option<String>> = sqlx::query_scalar(
        "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
    )
    .bind(ICEBERG_CATALOG)
    .bind(app.as_str())
    .bind(table)
    .fetch_optional(pool)
    .await?;
    Ok(location.flatten())
}

pub(super) async fn tables(pool: &SqlitePool, app: &AppId) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(
        "SELECT table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?
         AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL) ORDER BY table_name",
    );
    Ok(names.bind(ICEBERG_CATALOG).bind(app.as_str()).fetch_all(pool).await?)
}

pub(super) async fn ingested_files(
    pool: &SqlitePool,
    app: &AppId,
    source: &Name,
) -> Result<Vec<IngestedFile>> {
    let rows =
        sqlx::query("SELECT * FROM ingested_files WHERE app = ? AND source = ? ORDER BY name")
            .bind(app.as_str())
            .bind(source.as_str())
            .fetch_all(pool)
            .await?;
    let file = |row: &SqliteRow| {
        FILES.check(row)?;
        Ok(IngestedFile {
            name: row.try_get("name")?,
            size_bytes: natural(row, "size_bytes")?,
            checksum: row.try_get("checksum")?,
            rows: natural(row, "rows")?,
            accepted: natural(row, "accepted")?,
            rejected: natural(row, "rejected")?,
            filtered: natural(row, "filtered")?,
            duplicates: natural(row, "duplicates")?,
            batch: natural(row, "batch")?,
            ingested_ms: row.try_get("ingested_ms")?,
        })
    };
    rows.iter().map(file).collect()
}

pub(super) async fn keys(pool: &SqlitePool) -> Result<Vec<KeyRecord>> {
    let rows =
        sqlx::query("SELECT * FROM api_keys ORDER BY created_ms, id").fetch_all(pool).await?;
    let key = |row: &SqliteRow| {
        KEYS.check(row)?;
        let role: &str = row.try_get("role")?;
        let digest: &[u8] = row.try_get("secret_sha256")?;
        Ok(KeyRecord {
            id: row.try_get("id")?,
            app: row.try_get::<Option<&str>, _>("app")?.map(app_id).transpose()?,
            role: role
                .parse()
                .map_err(|e: taghouse_model::Invalid| Error::Corrupt(e.to_string()))?,
            secret_sha256: digest
                .try_into()
                .map_err(|_| Error::Corrupt("a key's digest is not 32 bytes".to_owned()))?,
            note: row.try_get("note")?,
            created_ms: row.try_get("created_ms")?,
            revoked_ms: row.try_get("revoked_ms")?,
            terms: super::keys::terms(row)?,
            used_ms: row.try_get("used_ms")?,
        })
    };
    rows.iter().map(key).collect()
}

fn run_of(row: &SqliteRow) -> Result<RunRecord> {
    RUNS.check(row)?;
    Ok(RunRecord {
        id: row.try_get("id")?,
        app: app_id(row.try_get("app")?)?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        detail: json(row, "detail")?,
        started_ms: row.try_get("started_ms")?,
        finished_ms: row.try_get("finished_ms")?,
    })
}

pub(super) async fn runs(pool: &SqlitePool, app: &AppId, limit: u32) -> Result<Vec<RunRecord>> {
    let rows =
        sqlx::query("SELECT * FROM runs WHERE app = ? ORDER BY started_ms DESC, id DESC LIMIT ?");
    rows.bind(app.as_str()).bind(limit).fetch_all(pool).await?.iter().map(run_of).collect()
}

pub(super) async fn run(pool: &SqlitePool, app: &AppId, id: &str) -> Result<Option<RunRecord>> {
    let row = sqlx::query("SELECT * FROM runs WHERE app = ? AND id = ?")
        .bind(app.as_str())
        .bind(id)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(run_of).transpose()
}

pub(super) async fn unfinished_runs(pool: &SqlitePool) -> Result<Vec<RunRecord>> {
    let rows = sqlx::query("SELECT * FROM runs WHERE finished_ms IS NULL ORDER BY started_ms, id")
        .fetch_all(pool)
        .await?;
    rows.iter().map(run_of).collect()
}

pub(super) async fn audit(pool: &SqlitePool, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
    // IS compares NULL too: without an app these are the lines of the whole data folder.
    let rows = sqlx::query(
        "SELECT * FROM audit WHERE app IS ?1 AND (?2 IS NULL OR action = ?2 OR substr(action, 1, length(?2) + 1) = ?2 || '.')
         AND (?3 IS NULL OR actor = ?3) AND (?4 IS NULL OR at_ms >= ?4) AND (?5 IS NULL OR at_ms < ?5) AND id < ?6
         ORDER BY id DESC LIMIT ?7",
    )
    .bind(query.app.as_ref().map(AppId::as_str))
    .bind(query.action.as_deref())
    .bind(query.actor.as_deref())
    .bind(query.from_ms)
    .bind(query.to_ms)
    .bind(query.before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX))
    .bind(query.limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok(AuditEntry { id: natural(row, "id")?, line: line_of(row)? })).collect()
}

/// In a read transaction of SQLite's own.
pub(super) async fn copy(pool: &SqlitePool, file: &Path) -> Result<()> {
    let target = file.to_str().ok_or_else(|| {
        Error::Invalid(format!("{} is not UTF-8: choose another folder", file.display()))
    })?;
    sqlx::query("VACUUM INTO ?").bind(target).execute(pool).await?;
    Ok(())
}

pub(super) async fn open_acts(pool: &SqlitePool) -> Result<Vec<AuditRecord>> {
    let rows = sqlx::query(
        "SELECT audit.* FROM audit JOIN open_acts ON open_acts.id = audit.id ORDER BY audit.id",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(line_of).collect()
}

fn line_of(row: &SqliteRow) -> Result<AuditRecord> {
    AUDIT.check(row)?;
    Ok(AuditRecord {
        app: row.try_get::<Option<&str>, _>("app")?.map(app_id).transpose()?,
        at_ms: row.try_get("at_ms")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        outcome: row.try_get("outcome")?,
    })
}
