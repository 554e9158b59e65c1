//! The HTTP API and the gRPC services over the engine: routes, status codes, keys and roles, and limits per caller.
//!
//! ```
//! use taghouse_api::WebOrigins;
//!
//! let origins: Result<WebOrigins, _> = "https://shop.example.com,https://*.example.com".parse();
//! assert!(origins.is_ok());
//! assert!("shop.example.com".parse::<WebOrigins>().is_err(), "an origin has a scheme");
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod access;
mod audit_rules;
mod exported;
mod exposition;
mod extract;
mod flag_failure;
mod flags;
mod gates;
mod grpc;
mod guard;
mod key_ring;
mod limits;
mod origins;
mod parity_metrics;
mod position;
mod problem;
mod quota;
mod rate;
mod refusals;
mod rounding;
mod router;
mod routes;
mod server;
mod shape;
mod sink_metrics;
mod subscription;
mod topic_metrics;
mod values;
mod whole;

pub use key_ring::{KeyRing, hash, new_secret};
pub use limits::{Limits, UploadLimits};
pub use origins::WebOrigins;
pub use problem::{Place, Problem};
pub use router::{openapi, router};
pub use server::Server;
