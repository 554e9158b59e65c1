//! What a request carries, whatever it is about.

use bytes::Bytes;

/// What is signed and posted.
pub(crate) struct Letter {
    /// The same for each attempt.
    pub(crate) id: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}
