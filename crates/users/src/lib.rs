//! Users by their ids: how they come, change and go.
//!
//! - [`Users::change`]: live changes of tag values, durable when it returns, in every answer a
//!   moment later.
//! - [`Users::delete`]: gone from every tag value, every crowd version and the dictionary when it
//!   returns, with a [`Receipt`]. The files follow: the index's at the next flush, the crowds' and
//!   the dictionary's with [`Users::tidy`].
//! - [`Users::compact`]: users of an expression expire, and all others are renumbered without gaps,
//!   while questions are answered.
//!
//! What is changed by hand is noted in the log of live calls too, and lands in the lake, so that
//! productions keep it ([`Users::noting_in`]).
//!
//! It is where the dictionary, the index and the crowds change together, so that readers of each
//! see the same users.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod change;
mod compact;
mod delete;
mod error;
mod journal;
mod nearest;
mod share;
mod users;

pub use change::{Changed, Strangers, UserChange};
pub use compact::Compacted;
pub use delete::{Receipt, ReceiptTag};
pub use error::{Error, Result};
pub use taghouse_index::Op;
pub use share::{Assigned, SharedUsers};
pub use users::{HeldUsers, MAX_CHANGES, MAX_DELETED, Tidied, Users};
