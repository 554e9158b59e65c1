//! The flags of the commands on API keys and on the audit trail.

use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct Audit {
    /// Only this action: definitions.apply, key, ingest, upload, produce, change, link, unlink,
    /// delete, compact, parity, export, activate or cancel
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
    },
    /// Revoke a key
    Revoke {
        /// The id of the key, as the list shows it
        id: String,
    },
}
