//! The change feed of each app: what the stream changed, as records with ascending ids, kept on
//! disk for a while, so that a subscriber goes on after the last record it has seen.
//!
//! - [`Feeds::append`] numbers records and returns; they are written and synced in groups, off the
//!   path of the stream. [`Feeds::flush`] waits for that. Readers see only what is on disk.
//! - [`FeedReader`] reads from the files at its own pace, a frame at a time. It holds no lock while
//!   it reads.
//! - The files are segments: whole ones are removed by age and by size ([`Retention`]). Who asks for
//!   what is gone is told so ([`Error::Gone`]).
//!
//! A record says how something is from then on, not by how much it changed. So one that comes again
//! does no harm, as after a crash, when the stream shows again what came since its checkpoint.
//!
//! The feed is not ground truth: where its files are lost, it goes on with higher ids, and readers
//! are told to begin with the current values. A backup has it ([`Feeds::copy_to`]), and a restored one
//! leaps over the ids that another feed may have given meanwhile ([`note_restored`]).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod app_feed;
mod copy;
mod error;
mod feeds;
mod frame;
mod leaps;
mod reader;
mod record;
mod segment;
mod subscribers;
#[cfg(test)]
mod tests;
mod value_bytes;

pub use error::{Error, Result};
pub use feeds::{Extent, Feeds, Retention};
pub use leaps::note_restored;
pub use reader::{FeedReader, Start};
pub use record::{Change, Record};
pub use subscribers::Lag;
