//! The HTTP API: the only wire types and status codes, keys and roles, and the runs put together from the rooms' tasks.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod access;
mod audit;
mod background;
mod clock_text;
mod extract;
mod fit;
mod gates;
mod house;
mod limits;
mod memory;
mod origins;
mod problem;
mod quota;
mod refusals;
mod reports;
mod router;
mod routes;
mod shape;
mod tasks;
mod whole;
mod wire;

pub use access::{KeyRing, hash, new_secret};
pub use audit::AuditLimits;
pub use background::{keep_small, land_due};
pub use house::House;
pub use limits::{Limits, UploadLimits};
pub use memory::Memory;
pub use origins::WebOrigins;
pub use problem::{Place, Problem};
pub use quota::sweep_uploads;
pub use router::{openapi, router};
