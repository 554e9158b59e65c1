//! The flags of the commands on activations.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Activate {
    /// The activation
    pub(crate) activation: String,
    /// Wait until it is sent, and show what became of it. Without a server it is always waited for
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Subcommand)]
pub(crate) enum ActivationAction {
    /// List activations, each with its last delivery
    List,
    /// List the last deliveries of an activation, newest first
    Deliveries {
        /// The activation
        activation: String,
    },
    /// Write the users whom the destination did not take, and why, as CSV
    Failed {
        /// The activation
        activation: String,
        /// The number of the delivery
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        delivery: u64,
        /// The file to write. Default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}
