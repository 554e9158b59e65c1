//! The flags of the commands on API keys and on the audit trail.

use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct Audit {
    /// Only this action: definitions.apply, key, ingest, upload, produce, crowd (its versions),
    /// change, link, unlink, delete, compact, parity, export, activate or cancel; or a way of reading the data of
    /// single users: judge, why, profile, user_crowds, list, sample, difference, follow, identity,
    /// rejected, activation_failures or dead_letters
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only actions with this key. local stands for the command line on this machine
    #[arg(long, value_name = "KEY-ID")]
    pub(crate) actor: Option<String>,
    /// Only from this time on, such as 2026-07-01T00:00 in the app's time zone
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Number of lines, at most 1,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    /// Only lines before the line with this id, for the next page
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<u64>,
    /// Show actions that concern all apps. Not together with --app
    #[arg(long, conflicts_with = "app")]
    pub(crate) all_apps: bool,
}

/// What a key is limited to.
#[derive(Args)]
pub(crate) struct KeyTermFlags {
    /// What the key may do: crowd:NAME=RIGHTS, tag:NAME=RIGHTS or category:NAME=RIGHTS, with patterns
    /// such as vip_* for names and rights out of view, edit, activate and judge; then it is limited to
    /// what these name. label:NAME shows values that the label masks, exact numbers as they are.
    /// Repeatable
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<String>,
    /// When the key stops to work: a time such as 2027-01-01T00:00:00Z, or after how long, such as 90d
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// Requests per second. Default: as many as the server allows each key
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_second: Option<u32>,
    /// Requests at once after a pause. Default: as many as per second
    #[arg(long, value_name = "N", requires = "requests_per_second")]
    pub(crate) burst: Option<u32>,
}

#[derive(Subcommand)]
pub(crate) enum KeyAction {
    /// List keys
    List,
    /// Create a key and print its secret, which is never shown again
    Create {
        /// What the key allows: admin, editor, viewer, write or judge
        #[arg(long)]
        role: String,
        /// A note, to recognise the key in the list
        #[arg(long, default_value = "")]
        note: String,
        /// Create a key for all apps, if --app is not given
        #[arg(long)]
        all_apps: bool,
        #[command(flatten)]
        terms: KeyTermFlags,
    },
    /// Give a key another secret and print it; the former one works for a while
    Rotate {
        /// The id of the key, as the list shows it
        id: String,
        /// How long the former secret works, such as 1h, at most 30d; 0s for not at all. Default: 1d
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
        /// When the key stops to work from now on: a time such as 2027-01-01T00:00:00Z, after how long,
        /// such as 90d, or never. Default: as before
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Revoke a key
    Revoke {
        /// The id of the key, as the list shows it
        id: String,
    },
}
