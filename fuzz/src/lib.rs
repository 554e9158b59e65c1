//! What each fuzz target does with its bytes, and the inputs it starts from. A target is a module
//! here of two functions: `read`, which must not panic nor touch memory that is not its own
//! whatever the bytes, and `seeds`.
//!
//! What lies behind a checksum is fuzzed below it: the target seals the bytes itself, so that
//! mutations reach the tables.

pub mod bitmap;
pub mod bundle;
pub mod definitions;
pub mod dictionary;
pub mod expression;
pub mod expression_json;
pub mod feed;
mod folder;
mod frames;
pub mod live;
pub mod log;
pub mod manifest;
pub mod portable;
pub mod portable64;
pub mod sealed;
pub mod seeds;
pub mod segment;
pub mod slices;
pub mod state;

/// Sets of more users are not listed one by one: a full container of 65,536 takes 8 bytes.
const LISTED: u64 = 200_000;

#[cfg(test)]
mod tests;
