//! The flags of the commands on single users and on the members of a crowd.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Export {
    /// The crowd
    pub(crate) crowd: String,
    /// The format of the output
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub(crate) format: ExportFormat,
    /// The file to write. Default: standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Export an older version, if it is still kept
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Export the members in this arm of the crowd's split alone
    #[arg(long, value_name = "ARM")]
    pub(crate) arm: Option<String>,
}

#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum ExportFormat {
    Csv,
    Jsonl,
    Parquet,
    Roaring,
    Roaring64,
}

#[derive(Args)]
pub(crate) struct Change {
    /// The user id
    pub(crate) user: String,
    /// The tag
    pub(crate) tag: String,
    /// The new value. For a set, its members separated by commas
    #[arg(required_unless_present_any = ["unset", "add", "remove"], conflicts_with_all = ["unset", "add", "remove"])]
    pub(crate) value: Option<String>,
    /// Remove the value
    #[arg(long, visible_alias = "clear", conflicts_with_all = ["add", "remove"])]
    pub(crate) unset: bool,
    /// Add a member to a set
    #[arg(long, value_name = "MEMBER", conflicts_with = "remove")]
    pub(crate) add: Option<String>,
    /// Remove a member from a set
    #[arg(long, value_name = "MEMBER")]
    pub(crate) remove: Option<String>,
    /// Create the user if the id is unknown
    #[arg(long)]
    pub(crate) create: bool,
}

#[derive(Args)]
pub(crate) struct Tail {
    /// Only changes of this tag. Can be given several times
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Only users who enter or leave this crowd. Can be given several times
    #[arg(long, value_name = "CROWD")]
    pub(crate) crowd: Vec<String>,
    /// Start after the record with this id; earliest: with all that are kept; latest: with what comes
    #[arg(long, value_name = "ID", default_value = "latest")]
    pub(crate) from: String,
    /// End after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// End with the last record there is, without waiting for more
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Subcommand)]
pub(crate) enum IdentityAction {
    /// Show the user of an id, all ids of the user, and how they came to be the user's
    Show {
        /// Any id of the user
        id: String,
    },
    /// Make an id a user's
    Link {
        /// The id
        id: String,
        /// One of the user's ids
        user: String,
        /// The type of the id: user, anonymous, email, phone, device, or one of the app's own
        #[arg(long = "type", value_name = "TYPE")]
        id_type: String,
    },
    /// Make an id its own user's again
    Unlink {
        /// The id
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum SuppressAction {
    /// Refuse all future data of ids. All ids of a user are suppressed
    Add {
        /// Any ids of users, known or not
        #[arg(required = true)]
        ids: Vec<String>,
        /// Delete the users, too
        #[arg(long)]
        delete: bool,
    },
    /// Take the data of ids again that comes from now on
    Lift {
        /// Each id
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Show how many ids are suppressed, and the digests of the newest
    List {
        /// How many digests
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Say whether an id is suppressed
    Check {
        /// The id
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum UserAction {
    /// List the crowds that a user is in
    Crowds {
        /// Any id of the user
        id: String,
    },
    /// Write all that is kept of a user as JSON lines: ids, attributes, events, changes by hand,
    /// tags, crowds and the history of them
    Export {
        /// Any id of the user
        id: String,
        /// The file to write. Default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}
