//! Files that survive a loss of power, and the checks that detect lost data.
//!
//! - A file that is written at once is synced, and so is every folder that names it: [`write_new`],
//!   [`replace`], [`Folders`], [`DurableStore`]. Only then may a pointer move to it, or the log
//!   that holds the same be trimmed.
//! - A folder that a library fills is made beside its place and moved there: [`make_filled`].
//! - [`Mark`] notes beside a log how far it was acknowledged. A log that ends before its mark has
//!   lost acknowledged data.
//! - [`Standing`] tells whether a path still leads to what was opened: what is written to a deleted
//!   file is lost.
//! - [`blocking`] moves what waits for a disk off the threads that answer requests.
//! - [`caught`] turns a panic on damaged bytes into an error.
//! - [`rehearsal`] simulates a loss of power, or a sync that fails, in tests.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod blocking;
mod caught;
mod folders;
mod mark;
pub mod rehearsal;
mod standing;
mod store;
mod unfinished;
mod whole;

pub use blocking::{TaskFailed, blocking};
pub use caught::caught;
pub use folders::{Folders, make_filled, make_folder, sync_folder};
pub use mark::Mark;
pub use standing::Standing;
pub use store::DurableStore;
pub use unfinished::remove_unfinished;
pub use whole::{replace, sync, sync_data, write_new};
