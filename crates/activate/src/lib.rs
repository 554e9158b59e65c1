//! Sends the members of crowds to other systems.
//!
//! - [`MemberFile`] encodes ids for whoever downloads them.
//! - A [`Target`] is where an activation sends a crowd: it takes users [piece](Piece) by piece, and what
//!   it was sent counts once the delivery ends. [`FileTarget`] is a file in the operator's folder.
//!   Destinations whose clients live in crates above this one implement the trait there.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod error;
mod file;
mod file_target;
mod postgresql_target;
mod redis_target;
mod rows;
mod target;

pub use error::{Error, Result};
pub use file::{FileFormat, MemberFile};
pub use file_target::FileTarget;
pub use postgresql_target::PostgresqlTarget;
pub use redis_target::RedisTarget;
pub use target::{Change, Column, Failed, Member, Order, Piece, Target, Totals};
