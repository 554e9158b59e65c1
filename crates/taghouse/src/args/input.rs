//! The flags of the commands that bring definitions and data in, and produce tags from them.

use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Apply {
    /// A .yaml file, or a folder of them with its subfolders. Can be repeated
    #[arg(short = 'f', long = "file", value_name = "DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete sources, tags and crowds that the files do not name
    #[arg(long)]
    pub(crate) prune: bool,
    /// With --prune: allow that everything is deleted because the files define nothing
    #[arg(long, requires = "prune")]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct Ingest {
    /// The source that the files belong to. Can be left out if only one source reads files
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Files, or folders: of a folder, the files that match the pattern of the source
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Continue even if a large share of the rows is rejected
    #[arg(long)]
    pub(crate) allow_rejects: bool,
    /// Ingest files again that were ingested before, for instance after a change of the source.
    /// Their old rows are replaced in one commit
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Args)]
pub(crate) struct Files {
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Number of files, at most 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Start after the previous page: the cursor that it ended with
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Args)]
pub(crate) struct Rejected {
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only this reason, such as bad_type
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only this file
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<String>,
    /// Number of rows, at most 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Start after the previous page: the cursor that it ended with
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Args)]
pub(crate) struct Produce {
    /// Use the events before this time, such as 2026-07-01T00:00 in the app's time zone. Default:
    /// now
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
    /// Only this tag and what is computed from it. Can be repeated
    #[arg(long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Parity {
    /// Only this live tag
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,
    /// About how many users are compared, at most 100,000
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sample: u32,
}
