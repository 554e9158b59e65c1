//! Crowds as feature flags: how they are evaluated, and how those who hold flags hear of changes.

mod evaluation;
mod ticket;
mod watch;

pub(crate) use evaluation::{etag, evaluated, every};
pub(crate) use ticket::Ticket;
pub(crate) use watch::{Watch, Watches};
