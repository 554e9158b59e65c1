//! Rows of keys.

use super::rows::KEYS;
use super::sealed::RowKey;
use crate::{Error, KeyRecord, KeyTerms, Result};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use taghouse_model::{AppId, TimestampMs};

fn place(id: &str) -> RowKey<'_> {
    RowKey { kind: "key terms", app: "", name: id, revision: 0 }
}

fn sealed(id: &str, terms: &KeyTerms) -> Result<String> {
    let json = serde_json::to_string(terms)
        .map_err(|error| Error::Unavailable(format!("the terms of key {id}: {error}")))?;
    Ok(place(id).seal(&json))
}

/// The terms in a row.
pub(super) fn terms(row: &SqliteRow) -> Result<KeyTerms> {
    let id: &str = row.try_get("id")?;
    let Some(stored) = row.try_get::<Option<&str>, _>("terms")? else {
        return Ok(KeyTerms::default());
    };
    serde_json::from_str(place(id).unseal(stored)?)
        .map_err(|error| Error::Corrupt(format!("the terms of key {id}: {error}")))
}

pub(super) async fn put(db: &mut SqliteConnection, key: &KeyRecord) -> Result<()> {
    let done = sqlx::query(
        "INSERT INTO api_keys (id, app, role, secret_sha256, note, created_ms, revoked_ms, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&key.id)
    .bind(key.app.as_ref().map(AppId::as_str))
    .bind(key.role.as_str())
    .bind(key.secret_sha256.as_slice())
    .bind(&key.note)
    .bind(key.created_ms)
    .bind(key.revoked_ms)
    .bind(sealed(&key.id, &key.terms)?)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 1 {
        return KEYS.seal(db, &[&key.id]).await;
    }
    Err(Error::Conflict {
        what: format!("key {}", key.id),
        expected: "none".to_owned(),
        found: "a key of that id".to_owned(),
    })
}

/// The row of a key, checked: a damaged row must not get a checksum that fits it.
async fn found(db: &mut SqliteConnection, id: &str) -> Result<SqliteRow> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *db)
        .await?
        .ok_or_else(|| Error::NotFound(format!("key {id}")))?;
    KEYS.check(&row)?;
    Ok(row)
}

pub(super) async fn revoke(db: &mut SqliteConnection, id: &str, at_ms: TimestampMs) -> Result<()> {
    found(db, id).await?;
    sqlx::query("UPDATE api_keys SET revoked_ms = coalesce(revoked_ms, ?) WHERE id = ?")
        .bind(at_ms)
        .bind(id)
        .execute(&mut *db)
        .await?;
    KEYS.seal(db, &[id]).await
}

pub(super) async fn rotate(
    db: &mut SqliteConnection,
    id: &str,
    [expected, secret]: [&[u8; 32]; 2],
    new: &KeyTerms,
) -> Result<()> {
    let row = found(db, id).await?;
    terms(&row)?;
    let conflict = |expected: &str, found: &str| Error::Conflict {
        what: format!("key {id}"),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    if row.try_get::<Option<i64>, _>("revoked_ms")?.is_some() {
        return Err(conflict("a key that works", "one that was revoked"));
    }
    if row.try_get::<&[u8], _>("secret_sha256")? != expected.as_slice() {
        return Err(conflict("the secret that it had", "another one"));
    }
    sqlx::query("UPDATE api_keys SET secret_sha256 = ?, terms = ? WHERE id = ?")
        .bind(secret.as_slice())
        .bind(sealed(id, new)?)
        .bind(id)
        .execute(&mut *db)
        .await?;
    KEYS.seal(db, &[id]).await
}

pub(super) async fn used(db: &mut SqliteConnection, id: &str, at_ms: TimestampMs) -> Result<()> {
    sqlx::query("UPDATE api_keys SET used_ms = max(coalesce(used_ms, ?1), ?1) WHERE id = ?2")
        .bind(at_ms)
        .bind(id)
        .execute(&mut *db)
        .await?;
    Ok(())
}
