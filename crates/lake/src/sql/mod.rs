//! SQL over an app's tables: DataFusion, read-only. The only place that knows it.

mod failure;
mod filter;
mod guard;
mod provider;
mod session;

pub(crate) use session::SqlRuntime;
