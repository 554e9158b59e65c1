use super::ICEBERG_CATALOG;
use super::keys;
use super::rows::{AUDIT, FILES, RUNS};
use super::sealed::RowKey;
use crate::{AuditRecord, Change, Error, IngestedFile, Result, RunRecord};
use serde_json::Value as Json;
use sqlx::sqlite::SqliteConnection;
use taghouse_model::{AppId, Name, TimestampMs};

/// Checks one change's condition and applies it, inside the caller's transaction.
pub(super) async fn apply(db: &mut SqliteConnection, change: &Change) -> Result<()> {
    match change {
        Change::PutPointer { kind, app, name, expected, value } => {
            let next =
                next_revision(pointer_revision(db, kind, app, name).await?, *expected, || {
                    pointer_label(kind, app, name)
                })?;
            put_pointer(db, kind, app, name, next, Some(value)).await
        }
        Change::DeletePointer { kind, app, name, expected } => {
            let next = next_revision(
                pointer_revision(db, kind, app, name).await?,
                Some(*expected),
                || pointer_label(kind, app, name),
            )?;
            put_pointer(db, kind, app, name, next, None).await
        }
        Change::SwapTable { app, table, expected, location } => {
            swap_table(db, app, table, expected.as_deref(), location).await
        }
        Change::PutDefinition { app, kind, name, expected, body, at_ms } => {
            let found = definition_revision(db, app, kind, name).await?;
            let next = next_revision(found, *expected, || definition_label(app, kind, name))?;
            put_definition(db, app, kind, name, next, Some(body), Some(*at_ms)).await
        }
        Change::DeleteDefinition { app, kind, name, expected } => {
            let found = definition_revision(db, app, kind, name).await?;
            let next = next_revision(found, Some(*expected), || definition_label(app, kind, name))?;
            put_definition(db, app, kind, name, next, None, None).await
        }
        Change::RecordFile { app, source, file } => record_file(db, app, source, file).await,
        Change::ReplaceFile { app, source, expected_batch, file } => {
            replace_file(db, app, source, *expected_batch, file).await
        }
        Change::PutKey(key) => keys::put(db, key).await,
        Change::RevokeKey { id, at_ms } => keys::revoke(db, id, *at_ms).await,
        Change::RotateKey { id, expected, secret_sha256, terms } => {
            keys::rotate(db, id, [expected, secret_sha256], terms).await
        }
        Change::UseKey { id, at_ms } => keys::used(db, id, *at_ms).await,
        Change::PutRun(run) => put_run(db, run).await,
        Change::Audit(line) => put_audit(db, line).await,
        Change::PruneAudit { before_ms, keep, at_once } => {
            prune_audit(db, *before_ms, *keep, *at_once).await
        }
    }
}

/// A row's revision and whether it is there; a deleted one keeps its revision.
type Found = Option<(i64, bool)>;

fn pointer_label(kind: &str, app: &AppId, name: &str) -> String {
    format!("pointer {kind}/{app}/{name}")
}

fn definition_label(app: &AppId, kind: &str, name: &str) -> String {
    format!("definition {app}/{kind}/{name}")
}

/// The revision to write, if what was found is what was expected.
fn next_revision(found: Found, expected: Option<u64>, label: impl Fn() -> String) -> Result<i64> {
    let live = found.and_then(|(revision, live)| live.then_some(revision));
    let wanted = expected.map(|revision| number(revision, "the expected revision")).transpose()?;
    if live == wanted {
        return Ok(found.map_or(1, |(revision, _)| revision + 1));
    }
    let say = |revision: Option<i64>| {
        revision.map_or_else(|| "none".to_owned(), |revision| format!("revision {revision}"))
    };
    Err(Error::Conflict { what: label(), expected: say(wanted), found: say(live) })
}

fn number(number: u64, what: &str) -> Result<i64> {
    i64::try_from(number).map_err(|_| {
        Error::Invalid(format!("{what} is {number}, more than the catalog holds (2^63 - 1)"))
    })
}

async fn pointer_revision(
    db: &mut SqliteConnection,
    kind: &str,
    app: &AppId,
    name: &str,
) -> Result<Found> {
    let row = sqlx::query_as(
        "SELECT revision, value IS NOT NULL FROM pointers WHERE kind = ? AND app = ? AND name = ?",
    );
    Ok(row.bind(kind).bind(app.as_str()).bind(name).fetch_optional(db).await?)
}

async fn put_pointer(
    db: &mut SqliteConnection,
    kind: &str,
    app: &AppId,
    name: &str,
    revision: i64,
    value: Option<&Json>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO pointers (kind, app, name, revision, value) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, app, name) DO UPDATE SET revision = excluded.revision, value = excluded.value",
    )
    .bind(kind)
    .bind(app.as_str())
    .bind(name)
    .bind(revision)
    .bind(value.map(|value| RowKey { kind, app: app.as_str(), name, revision }.seal(&value.to_string())))
    .execute(db)
    .await?;
    Ok(())
}

async fn definition_revision(
    db: &mut SqliteConnection,
    app: &AppId,
    kind: &str,
    name: &str,
) -> Result<Found> {
    let row = sqlx::query_as(
        "SELECT revision, body IS NOT NULL FROM definitions WHERE app = ? AND kind = ? AND name = ?",
    );
    Ok(row.bind(app.as_str()).bind(kind).bind(name).fetch_optional(db).await?)
}

async fn put_definition(
    db: &mut SqliteConnection,
    app: &AppId,
    kind: &str,
    name: &str,
    revision: i64,
    body: Option<&Json>,
    at_ms: Option<TimestampMs>,
) -> Result<()> {
    // A deletion carries no time (the audit trail does): the row of a deleted definition keeps the
    // time of its last put.
    sqlx::query(
        "INSERT INTO definitions (app, kind, name, revision, body, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 0))
         ON CONFLICT (app, kind, name) DO UPDATE SET revision = ?4, body = ?5, updated_ms = coalesce(?6, updated_ms)",
    )
    .bind(app.as_str())
    .bind(kind)
    .bind(name)
    .bind(revision)
    .bind(body.map(|body| RowKey { kind, app: app.as_str(), name, revision }.seal(&body.to_string())))
    .bind(at_ms)
    .execute(db)
    .await?;
    Ok(())
}

async fn swap_table(
    db: &mut SqliteConnection,
    app: &AppId,
    table: &str,
    expected: Option<&str>,
    location: &str,
) -> Result<()> {
    let found: Option<Option<String>> = sqlx::query_scalar(
        "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
    )
    .bind(ICEBERG_CATALOG)
    .bind(app.as_str())
    .bind(table)
    .fetch_optional(&mut *db)
    .await?;
    let found = found.flatten();
    if found.as_deref() != expected {
        let say = |location: Option<&str>| location.unwrap_or("none").to_owned();
        return Err(Error::Conflict {
            what: format!("table {app}.{table}"),
            expected: say(expected),
            found: say(found.as_deref()),
        });
    }
    // pyiceberg lists a namespace by its properties, and this one is the least it writes itself.
    sqlx::query(
        "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
         VALUES (?, ?, 'exists', 'true') ON CONFLICT (catalog_name, namespace, property_key) DO NOTHING",
    )
    .bind(ICEBERG_CATALOG)
    .bind(app.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO iceberg_tables
         (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
         VALUES (?, ?, ?, ?, ?, 'TABLE') ON CONFLICT (catalog_name, table_namespace, table_name) DO UPDATE
         SET metadata_location = excluded.metadata_location, previous_metadata_location = excluded.previous_metadata_location",
    )
    .bind(ICEBERG_CATALOG)
    .bind(app.as_str())
    .bind(table)
    .bind(location)
    .bind(expected)
    .execute(db)
    .await?;
    Ok(())
}

async fn record_file(
    db: &mut SqliteConnection,
    app: &AppId,
    source: &Name,
    file: &IngestedFile,
) -> Result<()> {
    let found: Option<String> = sqlx::query_scalar(
        "SELECT checksum FROM ingested_files WHERE app = ? AND source = ? AND name = ?",
    )
    .bind(app.as_str())
    .bind(source.as_str())
    .bind(&file.name)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(checksum) = found {
        let what = format!("file {app}/{source}/{}", file.name);
        return Err(Error::Conflict {
            what,
            expected: "none".to_owned(),
            found: format!("checksum {checksum}"),
        });
    }
    insert_file(db, app, source, file).await
}

async fn replace_file(
    db: &mut SqliteConnection,
    app: &AppId,
    source: &Name,
    expected_batch: u64,
    file: &IngestedFile,
) -> Result<()> {
    let deleted = sqlx::query(
        "DELETE FROM ingested_files WHERE app = ? AND source = ? AND name = ? AND batch = ?",
    )
    .bind(app.as_str())
    .bind(source.as_str())
    .bind(&file.name)
    .bind(number(expected_batch, "the batch number")?)
    .execute(&mut *db)
    .await?;
    if deleted.rows_affected() == 0 {
        let what = format!("file {app}/{source}/{}", file.name);
        return Err(Error::Conflict {
            what,
            expected: format!("batch {expected_batch}"),
            found: "another or none".to_owned(),
        });
    }
    insert_file(db, app, source, file).await
}

async fn insert_file(
    db: &mut SqliteConnection,
    app: &AppId,
    source: &Name,
    file: &IngestedFile,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO ingested_files
         (app, source, name, size_bytes, checksum, rows, accepted, rejected, filtered, duplicates, batch, ingested_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(app.as_str())
    .bind(source.as_str())
    .bind(&file.name)
    .bind(number(file.size_bytes, "the file's size")?)
    .bind(&file.checksum)
    .bind(number(file.rows, "the number of rows")?)
    .bind(number(file.accepted, "the number of accepted rows")?)
    .bind(number(file.rejected, "the number of rejected rows")?)
    .bind(number(file.filtered, "the number of filtered rows")?)
    .bind(number(file.duplicates, "the number of duplicates")?)
    .bind(number(file.batch, "the batch number")?)
    .bind(file.ingested_ms)
    .execute(&mut *db)
    .await?;
    FILES.seal(db, &[&file.name, app.as_str(), source.as_str()]).await
}

async fn put_run(db: &mut SqliteConnection, run: &RunRecord) -> Result<()> {
    let done = sqlx::query(
        "INSERT INTO runs (id, app, kind, state, detail, started_ms, finished_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, state = excluded.state, detail = excluded.detail,
         started_ms = excluded.started_ms, finished_ms = excluded.finished_ms WHERE app = excluded.app",
    )
    .bind(&run.id)
    .bind(run.app.as_str())
    .bind(&run.kind)
    .bind(&run.state)
    .bind(run.detail.to_string())
    .bind(run.started_ms)
    .bind(run.finished_ms)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 1 {
        return RUNS.seal(db, &[&run.id]).await;
    }
    let expected = format!("a run of app {}", run.app);
    Err(Error::Conflict {
        what: format!("run {}", run.id),
        expected,
        found: "a run of another app".to_owned(),
    })
}

async fn put_audit(db: &mut SqliteConnection, line: &AuditRecord) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (app, at_ms, actor, action, subject, outcome) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(line.app.as_ref().map(AppId::as_str))
    .bind(line.at_ms)
    .bind(&line.actor)
    .bind(&line.action)
    .bind(&line.subject)
    .bind(&line.outcome)
    .execute(&mut *db)
    .await?;
    AUDIT.seal(&mut *db, &[]).await?;
    note_open(db, line).await
}

/// Keeps the acts that have begun and not ended: of two that read the same, the older ends first.
async fn note_open(db: &mut SqliteConnection, line: &AuditRecord) -> Result<()> {
    if line.outcome == AuditRecord::BEGUN {
        sqlx::query("INSERT INTO open_acts (id) VALUES (last_insert_rowid())").execute(db).await?;
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM open_acts WHERE id = (SELECT open_acts.id FROM open_acts JOIN audit ON audit.id = open_acts.id
         WHERE app IS ? AND actor = ? AND action = ? AND subject = ? ORDER BY open_acts.id LIMIT 1)",
    )
    .bind(line.app.as_ref().map(AppId::as_str))
    .bind(&line.actor)
    .bind(&line.action)
    .bind(&line.subject)
    .execute(db)
    .await?;
    Ok(())
}

async fn prune_audit(
    db: &mut SqliteConnection,
    before_ms: TimestampMs,
    keep: u64,
    at_once: u32,
) -> Result<()> {
    // Ids rise with the lines, so the oldest are found without an index by time.
    sqlx::query(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT ?) AND at_ms < ?",
    )
    .bind(at_once)
    .bind(before_ms)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id <= (SELECT max(id) FROM audit) - ? ORDER BY id LIMIT ?)")
        .bind(number(keep, "the number of lines to keep")?)
        .bind(at_once)
        .execute(&mut *db)
        .await?;
    sqlx::query("DELETE FROM open_acts WHERE id NOT IN (SELECT id FROM audit)").execute(db).await?;
    Ok(())
}
