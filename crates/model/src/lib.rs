//! The nouns of Taghouse: ids, values and their types, time, errors' kinds, the priority of
//! threads. No I/O, no async.
//!
//! Every other crate may use this one; it uses no other crate of ours.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod app;
mod clock;
mod error;
mod grant;
mod name;
mod ordinal;
mod priority;
mod user;
mod value;
mod value_type;

pub use app::AppId;
pub use clock::{Clock, Entropy, TimestampMs};
pub use error::{ErrorKind, Invalid};
pub use grant::{Grant, Granted, Right, check_label};
pub use name::Name;
pub use ordinal::Ordinal;
pub use priority::{give_way, gives_way};
pub use user::{MAX_USER_ID_BYTES, check_user_id};
pub use value::{MAX_DECIMAL_UNITS, MAX_TEXT_BYTES, Value};
pub use value_type::ValueType;
