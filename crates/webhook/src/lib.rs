//! Webhooks: the change feed sent to HTTP servers, signed as [Standard Webhooks] are.
//!
//! ```text
//! feed ─► reader ─► lanes, by hash of the user ─► a batch each ─► courier ─► receiver
//!                                                     │  tried again until `retry_for` has passed
//!                                                     └─► dead letters
//! ```
//!
//! - A [`WebhookWriter`] is a task of its own for each sink, so a receiver that is slow or down delays
//!   nobody else. What it has not sent waits in the feed.
//! - A user's changes are in one lane, which has one request under way: so they stay in order. A
//!   change that is about nobody alone waits until all lanes are empty, and all wait for it.
//! - The position that is remembered lies before the first change that is neither acknowledged nor
//!   among the dead letters. So every change comes at least once, also after a crash.
//! - Receivers at private addresses are refused unless the operator allows their network. The
//!   address that is checked is the one that is connected to, and no redirect is followed.
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod activation;
mod backoff;
mod batch;
mod board;
mod client;
mod courier;
mod dead_letters;
mod delivery;
mod delivery_log;
mod destination;
mod error;
mod intake;
mod lanes;
mod letter;
mod line_files;
mod networks;
mod record;
mod resend;
mod resolver;
mod signature;
mod sink;
mod verdict;
mod webhooks;
mod writer;

pub use activation::WebhookTarget;
pub use backoff::backoff;
pub use board::{Counts, Problem, WriterState, WriterStatus};
pub use client::{Fetched, FetchedFile, Validators};
pub use dead_letters::{DeadLetter, DeadLetterList};
pub use delivery::{Delivery, Outcome};
pub use error::{Error, Result};
pub use networks::{Networks, WrongNetwork};
pub use resend::Resent;
pub use sink::{WebhookWriter, WriterParts};
pub use webhooks::{Tested, Webhooks, WebhooksParts};
