//! The YAML as it is written: what serde reads, and what the JSON Schema (and so every editor) says
//! about it. The comments here are shown to the people who write definitions.

pub(crate) mod activation;
pub(crate) mod app;
pub(crate) mod crowd;
pub(crate) mod journey;
pub(crate) mod kafka;
pub(crate) mod link;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod tag;
pub(crate) mod webhook;
