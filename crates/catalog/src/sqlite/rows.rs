//! Rows of several columns with a checksum of them all in the column `seal`: a flipped bit of a
//! key's role is another role.
//!
//! A row from before there were checksums has none, and is taken as it is.

use crate::{Error, Result};
use futures::TryStreamExt;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, Decode, Row, TypeInfo, ValueRef};
use xxhash_rust::xxh3::Xxh3;

/// A table of such rows.
pub(super) struct Sealed {
    name: &'static str,
    /// Those that the checksum is of, in its order. One more would be a new schema.
    columns: &'static [&'static str],
    /// One row of it: what a write just put there.
    one: &'static str,
}

pub(super) const KEYS: Sealed = Sealed {
    name: "api_keys",
    columns: &["id", "app", "role", "secret_sha256", "note", "created_ms", "revoked_ms"],
    one: "id = ?",
};
pub(super) const RUNS: Sealed = Sealed {
    name: "runs",
    columns: &["id", "app", "kind", "state", "detail", "started_ms", "finished_ms"],
    one: "id = ?",
};
pub(super) const FILES: Sealed = Sealed {
    name: "ingested_files",
    columns: &[
        "name",
        "app",
        "source",
        "size_bytes",
        "checksum",
        "rows",
        "accepted",
        "rejected",
        "filtered",
        "duplicates",
        "batch",
        "ingested_ms",
    ],
    one: "name = ? AND app = ? AND source = ?",
};
pub(super) const AUDIT: Sealed = Sealed {
    name: "audit",
    columns: &["id", "app", "at_ms", "actor", "action", "subject", "outcome"],
    one: "id = last_insert_rowid()",
};

impl Sealed {
    /// Stores the checksum of a row that was just written and is found by `key`.
    pub(super) async fn seal(&self, db: &mut SqliteConnection, key: &[&str]) -> Result<()> {
        let Self { name, one, .. } = self;
        let row = key.iter().fold(
            sqlx::query(AssertSqlSafe(format!("SELECT * FROM {name} WHERE {one}"))),
            |query, part| query.bind(*part),
        );
        let seal = self.checksum(&row.fetch_one(&mut *db).await?)?;
        let update = sqlx::query(AssertSqlSafe(format!("UPDATE {name} SET seal = ? WHERE {one}")))
            .bind(seal);
        key.iter().fold(update, |query, part| query.bind(*part)).execute(db).await?;
        Ok(())
    }

    /// An error where the row, with all its columns, is not what was written.
    pub(super) fn check(&self, row: &SqliteRow) -> Result<()> {
        let Some(seal) = row.try_get::<Option<i64>, _>("seal")? else { return Ok(()) };
        if seal == self.checksum(row)? {
            return Ok(());
        }
        let first = self.columns[0];
        let key = row
            .try_get::<String, _>(first)
            .or_else(|_| row.try_get::<i64, _>(first).map(|id| id.to_string()))
            .unwrap_or_default();
        Err(Error::Corrupt(format!("the row {key:?} of {} is not what was written", self.name)))
    }

    /// Checks all rows.
    pub(super) async fn check_all(&self, db: &mut SqliteConnection) -> Result<()> {
        let mut rows = sqlx::query(AssertSqlSafe(format!("SELECT * FROM {}", self.name))).fetch(db);
        while let Some(row) = rows.try_next().await? {
            self.check(&row)?;
        }
        Ok(())
    }

    fn checksum(&self, row: &SqliteRow) -> Result<i64> {
        let mut hash = Xxh3::new();
        hash.update(self.name.as_bytes());
        for column in self.columns {
            add(&mut hash, row.try_get_raw(*column)?).map_err(|error| {
                Error::Corrupt(format!("column {column} of {}: {error}", self.name))
            })?;
        }
        Ok(hash.digest().cast_signed())
    }
}

/// Type, length and bytes, so that no two rows have the same.
fn add(
    hash: &mut Xxh3,
    value: SqliteValueRef<'_>,
) -> std::result::Result<(), sqlx::error::BoxDynError> {
    hash.update(&[u8::from(value.is_null())]);
    if value.is_null() {
        return Ok(());
    }
    let kind = value.type_info().name().to_owned();
    hash.update(kind.as_bytes());
    if kind == "INTEGER" {
        hash.update(&<i64 as Decode<'_, Sqlite>>::decode(value)?.to_le_bytes());
        return Ok(());
    }
    let bytes = match kind.as_str() {
        "BLOB" => <&[u8] as Decode<'_, Sqlite>>::decode(value)?,
        _ => <&str as Decode<'_, Sqlite>>::decode(value)?.as_bytes(),
    };
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    Ok(())
}
