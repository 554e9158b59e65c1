//! The flags of the command on versions of crowds.

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum VersionAction {
    /// Let a version answer: one that waits, or an older one. Later versions answer again
    Publish {
        /// The crowd
        crowd: String,
        /// The version. Default: the newest
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        version: Option<u64>,
    },
    /// Go back to a version that answered before. Later versions wait until one is published
    Rollback {
        /// The crowd
        crowd: String,
        /// The version. Default: the one from before the rollout, or the one that answered last
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        version: Option<u64>,
    },
    /// Let a version answer for a share of users, and for more of them later
    Rollout {
        /// The crowd
        crowd: String,
        /// The share of users, such as 25%. 0% ends the rollout, 100% completes it
        share: String,
        /// The version. Default: the one that is rolled out already, or the newest
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        version: Option<u64>,
        /// The shares that follow, such as 25%,50%. All users come after the last
        #[arg(long, value_name = "SHARES", value_delimiter = ',', requires = "every")]
        stages: Vec<String>,
        /// How long each stage lasts, such as 12h or 1d. Default: until somebody goes on
        #[arg(long, value_name = "TIME")]
        every: Option<String>,
    },
    /// Keep a version, however many are newer
    Pin {
        /// The crowd
        crowd: String,
        /// The version
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        version: u64,
    },
    /// Keep a version no longer than others of its age
    Unpin {
        /// The crowd
        crowd: String,
        /// The version
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        version: u64,
    },
    /// Show the rows of an imported file that gave no user, and why, as CSV
    Rows {
        /// The crowd
        crowd: String,
        /// The version
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        version: u64,
        /// Write to this file. Default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<std::path::PathBuf>,
    },
    /// Show the sizes of the versions that answered, newest first
    Trend {
        /// The crowd
        crowd: String,
    },
    /// Show who entered and left between two versions, and which conditions moved
    Diff {
        /// The crowd
        crowd: String,
        /// The version to compare with
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        from: u64,
        /// The version to compare. Default: the one that answers
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        to: Option<u64>,
        /// How many of the users to show, at most 10,000
        #[arg(long, value_name = "N", default_value_t = 10)]
        sample: usize,
    },
}
