//! The demonstration shop: files as a real shop would drop them, the same bytes on every machine
//! for the same seed, and the definitions that map them.
//!
//! [`generate`] writes one `events-YYYY-MM-DD.csv` a day and one `users.csv`. They are as untidy as
//! real exports are, in known amounts: [`ShopSummary`] says how many lines an ingestion must
//! accept, drop as duplicates, and reject. Only integers and IEEE 754's `+ − × ÷` decide what is
//! written, for these alone give the same bits everywhere.

mod calendar;
mod catalogue;
mod dice;
mod generate;
mod line;
mod population;
mod session;
mod vocabulary;
mod zipf;

#[cfg(test)]
mod tests;

pub(crate) use generate::{ShopOptions, generate};

/// The id of the app in [`DEFINITIONS`].
pub(crate) const APP: &str = "shop";

/// The instant, in the app's time zone, for which the tags are produced: the end of the last
/// generated day.
pub(crate) const AS_OF: &str = "2026-07-01T00:00";

/// The sources of [`DEFINITIONS`] that read files, in the order in which to ingest them.
pub(crate) const FILE_SOURCES: [&str; 2] = ["users", "events"];

/// The definitions as `(file name, YAML)`, for `rules::parse_definitions`.
pub(crate) const DEFINITIONS: [(&str, &str); 4] = [
    ("app.yaml", include_str!("definitions/app.yaml")),
    ("sources.yaml", include_str!("definitions/sources.yaml")),
    ("tags.yaml", include_str!("definitions/tags.yaml")),
    ("crowds.yaml", include_str!("definitions/crowds.yaml")),
];
