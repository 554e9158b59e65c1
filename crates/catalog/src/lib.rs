//! Ground truth of everything that is small: definitions, version pointers, the lake's table
//! pointers, ingested files, keys, runs and the audit trail, in one SQLite file.
//!
//! What a reader of Taghouse sees changes only here: [`Catalog::commit`] is a compare-and-swap over
//! any number of [`Change`]s, all or nothing. Every condition is checked inside the transaction, so
//! of two writers that expect the same state exactly one wins.
//!
//! ```
//! use serde_json::json;
//! use taghouse_catalog::{Catalog, Change, SqliteCatalog};
//! use taghouse_model::{AppId, ErrorKind};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let catalog = SqliteCatalog::open(&folder.path().join("catalog.db")).await?;
//! let shop = AppId::new("shop")?;
//! let put = |expected| Change::PutPointer {
//!     kind: "index".into(),
//!     app: shop.clone(),
//!     name: "current".into(),
//!     expected,
//!     value: json!({ "manifest": "m1" }),
//! };
//!
//! // Nothing is expected to be there: of two such commits the second one fails.
//! catalog.commit(vec![put(None)]).await?;
//! let error = catalog.commit(vec![put(None)]).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Conflict);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod catalog;
mod change;
mod error;
mod record;
mod role;
mod sqlite;

pub use catalog::Catalog;
pub use change::Change;
pub use error::{Error, Result};
pub use record::{
    AuditEntry, AuditQuery, AuditRecord, FormerSecret, IngestedFile, KeyRate, KeyRecord, KeyTerms,
    Pointer, RunRecord, StoredDefinition,
};
pub use role::Role;
pub use sqlite::SqliteCatalog;
