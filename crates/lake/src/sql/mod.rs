//! SQL over an app's tables: DataFusion, read-only. The only place that knows it.

mod answer;
mod as_of;
mod bounded;
mod extent;
mod failure;
mod filter;
mod functions;
mod guard;
pub(crate) mod limits;
mod provider;
pub(crate) mod runtime;
mod session;
mod watch;
mod width;
mod words;

pub use as_of::with_as_of;
pub use limits::SqlLimits;
