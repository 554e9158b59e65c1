//! The lake through its public API, on a folder and a SQLite catalog as in production.
#![allow(clippy::unwrap_used, clippy::panic)]

mod commit;
mod faults;
mod properties;
mod readers;
mod scan;
mod schema;
mod sql;
mod support;
mod upkeep;
mod write;
