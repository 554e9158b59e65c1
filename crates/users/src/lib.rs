//! Users by their ids: live changes, deletion, expiry and renumbering.
//!
//! - [`Users::change`]: live changes of tag values, durable on return and visible to queries a
//!   moment later.
//! - [`Users::delete`]: removes users from every tag, every crowd version and the dictionary, and
//!   returns a [`Receipt`]. Their bytes leave the files later: those of the index at the next
//!   flush, those of the crowds and the dictionary with [`Users::tidy`].
//! - [`Users::compact`]: users that match an expression expire, and all others are renumbered
//!   without gaps, while queries are answered.
//!
//! Changes by hand are also recorded in the log of live calls, and land in the lake, so that
//! productions keep them ([`Users::noting_in`]).
//!
//! Here the dictionary, the index and the crowds change together, so that readers of each see the
//! same users.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod change;
mod compact;
mod delete;
mod error;
mod journal;
mod nearest;
mod share;
mod users;

pub use change::{Changed, UnknownUsers, UserChange};
pub use compact::Compacted;
pub use delete::{Receipt, ReceiptTag};
pub use error::{Error, Result};
pub use share::{Assigned, SharedUsers};
pub use taghouse_dictionary::DeletionWatch;
pub use taghouse_index::Op;
pub use users::{HeldUsers, MAX_CHANGES, MAX_DELETED, Tidied, Users};
