//! Backups: a data folder as it is at one moment, copied while it is served, and put back.
//!
//! A backup is what `kill -9` at that moment would have left, without what nothing leads to. For
//! that moment, writers of all apps wait ([`Backup::write`] says how long): the small files that
//! change in place are copied, those that are never written to again are linked. The copying itself
//! goes on beside them. So a backup is opened like any data folder, and what holds after a crash
//! holds for it.
//!
//! `backup.listing` is written last, and says the length and hash of every file: what lacks it is
//! not a backup, and [`restore`] puts back only what it says.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let above = tempfile::tempdir()?;
//! let folder = above.path().join("not-a-backup");
//! std::fs::create_dir(&folder)?;
//! assert!(taghouse_backup::restore(&folder, &above.path().join("data"), 0).is_err());
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod backup;
mod copy;
mod error;
mod freeze;
mod listing;
mod restore;

pub use backup::{Backup, BackupParts, Written};
pub use error::{Error, Result};
pub use listing::LISTING;
pub use restore::{Restored, restore};
