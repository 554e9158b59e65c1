//! The HTTP API: the only wire types and status codes, keys and roles, and the runs put together from the rooms' tasks.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod access;
mod clock_text;
mod extract;
mod fit;
mod house;
mod memory;
mod problem;
mod router;
mod routes;
mod tasks;
mod wire;

pub use access::{KeyRing, hash, new_secret};
pub use house::House;
pub use memory::Memory;
pub use problem::{Place, Problem};
pub use router::{openapi, router};
pub use tasks::land_all;
