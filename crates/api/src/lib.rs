//! The HTTP API over the engine: routes, the only status codes, keys and roles, and what one caller
//! may take.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod access;
mod exported;
mod extract;
mod gates;
mod limits;
mod origins;
mod problem;
mod quota;
mod refusals;
mod router;
mod routes;
mod server;
mod shape;
mod values;
mod whole;

pub use access::{KeyRing, hash, new_secret};
pub use limits::{Limits, UploadLimits};
pub use origins::WebOrigins;
pub use problem::{Place, Problem};
pub use router::{openapi, router};
pub use server::Server;
