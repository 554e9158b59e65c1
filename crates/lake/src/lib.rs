//! The lake: Iceberg v2 tables of an app, readable by any engine, and SQL over them.
//!
//! Ground truth: the data files, manifests and metadata files under the warehouse, and the pointers
//! to the newest metadata in the catalog. A table changes only by a compare-and-swap of that
//! pointer ([`Commit`]); objects are immutable and on disk before a pointer names them.
//! Derived: manifests and handles kept in memory.
//!
//! What no reader needs any more is removed as the tables grow: see [`Upkeep`].
//!
//! All calls run within a tokio runtime of several threads.
//!
//! ```
//! use std::sync::Arc;
//! use taghouse_catalog::SqliteCatalog;
//! use taghouse_lake::{Lake, layout};
//! use taghouse_model::{AppId, Clock, TimestampMs};
//!
//! # struct Fixed;
//! # impl Clock for Fixed {
//! #     fn now_ms(&self) -> TimestampMs {
//! #         1_322_697_600_000
//! #     }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let catalog = Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await?);
//! let lake = Lake::open(catalog, &folder.path().join("lake"), Arc::new(Fixed))?;
//! let shop = AppId::new("shop")?;
//!
//! let table = lake.ensure(&shop, &layout::attributes()).await?;
//! assert!(table.arrow_schema().field_with_name("user_id").is_ok());
//! assert_eq!(table.snapshots().len(), 0, "nothing was written yet");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod by_file;
mod commit;
mod compact;
mod content;
mod datum;
mod encode;
mod ensure;
mod error;
mod known_tables;
mod lake;
pub mod layout;
mod maintain;
mod manifest;
mod metadata;
mod objects;
mod pin;
mod plan;
mod prune;
mod read;
mod relocate;
mod removal;
mod remove_due;
mod retention;
mod scan;
mod schema;
mod snapshot;
mod split;
mod sql;
mod statistics;
mod sweep;
mod table;
mod take_out;
mod upkeep;
mod warehouse;
mod write;

pub use by_file::TableFile;
pub use commit::Commit;
pub use error::{Error, Result};
pub use lake::Lake;
pub use layout::{Column, ColumnType, Partition, TableLayout};
pub use maintain::Maintained;
pub use plan::Scan;
pub use prune::Comparison;
pub use read::BatchStream;
pub use removal::KeptFiles;
pub use scan::ScanBuilder;
pub use schema::layout_schema;
pub use sql::{SqlLimits, with_as_of};
pub use table::{SnapshotInfo, Table};
pub use take_out::Going;
pub use upkeep::Upkeep;
pub use write::{DataFile, TableWriter};
