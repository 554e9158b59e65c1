//! JSON in a row, with a checksum of the row behind it: SQLite has none, and a flipped bit of a
//! text is another text.
//!
//! `{json}\n{16 hexadecimal digits}`. A row from before there were checksums has none, and is taken
//! as it is.

use super::rows::{FILES, KEYS};
use crate::{Error, Result};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use xxhash_rust::xxh3::Xxh3;

/// The key of a row, and its revision. Both are part of the checksum.
pub(super) struct RowKey<'a> {
    pub(super) kind: &'a str,
    pub(super) app: &'a str,
    pub(super) name: &'a str,
    pub(super) revision: i64,
}

impl RowKey<'_> {
    pub(super) fn seal(&self, json: &str) -> String {
        format!("{json}\n{}", self.checksum(json))
    }

    /// The JSON without its seal.
    pub(super) fn unseal<'j>(&self, sealed: &'j str) -> Result<&'j str> {
        let Some((json, checksum)) = sealed.split_once('\n') else { return Ok(sealed) };
        if checksum == self.checksum(json) {
            return Ok(json);
        }
        let Self { kind, app, name, .. } = self;
        Err(Error::Corrupt(format!(
            "the row of {kind} {name:?} of app {app:?} is not what was written"
        )))
    }

    fn checksum(&self, json: &str) -> String {
        let mut hash = Xxh3::new();
        for part in [self.kind, self.app, self.name, json] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(&self.revision.to_le_bytes());
        format!("{:016x}", hash.digest())
    }
}

/// Looks through what the file's answers hang on: its structure, and every sealed row. Only a file
/// that was changed while nobody had it open is refused here.
pub(super) async fn check(db: &mut SqliteConnection) -> Result<()> {
    let structure: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *db).await?;
    if structure != "ok" {
        return Err(Error::Corrupt(structure.replace('\n', " ")));
    }
    for select in [
        "SELECT kind, app, name, revision, value FROM pointers",
        "SELECT kind, app, name, revision, body FROM definitions",
    ] {
        for row in sqlx::query(select).fetch_all(&mut *db).await? {
            let place = place(&row)?;
            if let Some(sealed) = row.try_get::<Option<&str>, _>(4)? {
                place.unseal(sealed)?;
            }
        }
    }
    // Runs and a million lines of the trail decide nothing: they are looked at when they are read.
    for table in [KEYS, FILES] {
        table.check_all(db).await?;
    }
    for row in sqlx::query("SELECT * FROM api_keys").fetch_all(&mut *db).await? {
        super::keys::terms(&row)?;
    }
    Ok(())
}

fn place(row: &SqliteRow) -> Result<RowKey<'_>> {
    Ok(RowKey {
        kind: row.try_get(0)?,
        app: row.try_get(1)?,
        name: row.try_get(2)?,
        revision: row.try_get(3)?,
    })
}
