//! Writes the portable form of one shard straight from ordinals or words, without a Roaring
//! container in between: what bulk loading needs for millions of small sets. The bytes are those
//! that croaring writes of a set after its run optimisation.

mod absorb;
mod ascending;
mod container_form;
mod shard_encoder;
#[cfg(test)]
mod tests;

pub use absorb::for_each_low;
pub use ascending::encode_ascending;
pub use shard_encoder::ShardEncoder;
