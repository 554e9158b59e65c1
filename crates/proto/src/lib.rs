//! The messages and the service of judgments over gRPC, made from `proto/taghouse/v1/judgment.proto`
//! when this crate is built. Servers and clients share them.
//!
//! ```
//! use taghouse_proto::packed;
//!
//! let bits = packed::pack([true, false, true]);
//! assert_eq!(bits, [0b101]);
//! assert!(packed::is_set(&bits, 2) && !packed::is_set(&bits, 1));
//! ```

pub mod packed;

/// Version 1, as the `.proto` file describes it.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "generated; the .proto file describes it"
)]
pub mod v1 {
    tonic::include_proto!("taghouse.v1");
}

/// The `.proto` file as compiled, for servers that describe themselves: a `FileDescriptorSet`.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/judgment.descriptor"));

/// The `.proto` file.
pub const PROTO: &str = include_str!("../proto/taghouse/v1/judgment.proto");
