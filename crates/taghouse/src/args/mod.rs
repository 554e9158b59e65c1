//! The command line: the flags of every command, and the commands. Commands with more than a few
//! flags have a struct in a file below.

mod access;
mod activations;
mod import;
mod input;
mod insights;
mod serve;
mod sinks;
mod users;
mod versions;

pub(crate) use access::{Audit, KeyAction};
pub(crate) use activations::{Activate, ActivationAction};
pub(crate) use import::{Import, ImportTo};
pub(crate) use input::{Apply, Files, Ingest, Parity, Produce, Rejected};
pub(crate) use insights::{Compare, CompareOrder, Effect, Group, Histogram, Lookalike, Overlap};
pub(crate) use serve::{Demo, Serve, positive_seconds};
pub(crate) use sinks::SinkAction;
pub(crate) use users::{
    Change, Export, ExportFormat, IdentityAction, SuppressAction, Tail, UserAction,
};
pub(crate) use versions::VersionAction;

use crate::configuration::ConfigAction;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use taghouse_webhook::Networks;

/// Tags and audiences: events in, tags, crowds and judgments out.
#[derive(Parser)]
#[command(name = "taghouse", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command: where the data is, how to reach it, and what is printed.
#[derive(Args, Clone)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct GlobalFlags {
    /// The data folder. While a server has it open, the command is sent to that server
    #[arg(
        long,
        global = true,
        env = "TAGHOUSE_DATA",
        default_value = "taghouse-data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
    /// The app. Can be left out if there is only one
    #[arg(long, global = true, env = "TAGHOUSE_APP", value_name = "ID")]
    pub(crate) app: Option<String>,
    /// Use the server at this URL instead of a data folder, such as https://tags.example.com
    #[arg(long, global = true, env = "TAGHOUSE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The API key for --server
    #[arg(long, global = true, env = "TAGHOUSE_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Time limit for the query of an sql tag, in seconds. Applies where the query runs: in this
    /// command, or in the server that it was started with
    #[arg(long, global = true, env = "TAGHOUSE_QUERY_SECONDS", default_value_t = 300.0, value_parser = positive_seconds)]
    pub(crate) query_seconds: f64,
    /// Networks at which webhooks may be, besides the public internet: separated by commas, such as
    /// 10.20.0.0/16,192.168.1.5. Default: none
    #[arg(long, global = true, env = "TAGHOUSE_WEBHOOK_NETWORKS", value_name = "NETWORKS")]
    pub(crate) webhook_networks: Option<Networks>,
    /// A file with certificates, in PEM, of authorities that webhooks trust besides the public ones
    #[arg(long, global = true, env = "TAGHOUSE_WEBHOOK_CA", value_name = "FILE")]
    pub(crate) webhook_ca: Option<PathBuf>,
    /// The folder for files that activations write. Default: such activations fail
    #[arg(long, global = true, env = "TAGHOUSE_ACTIVATION_DIR", value_name = "DIR")]
    pub(crate) activation_dir: Option<PathBuf>,
    /// What to log on standard error: error, warn, info, debug or trace. Levels can be set per
    /// module, such as warn,taghouse_ingest=debug
    #[arg(long, global = true, env = "TAGHOUSE_LOG", default_value = "warn", value_name = "FILTER", value_parser = log_filter)]
    pub(crate) log: String,
    /// The configuration file. Default: taghouse.toml in the working folder, otherwise in the
    /// data folder
    #[arg(long, global = true, env = "TAGHOUSE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API on the data folder until Ctrl-C
    Serve(Serve),
    /// Generate data of a shop, run the whole pipeline on it, and serve the result
    Demo(Demo),
    /// Apply the definitions in files or folders: all of them, or none if one is invalid
    Apply(Apply),
    /// Print the JSON Schema of definition files, for editors
    Schema,
    /// Show the configuration in effect, or write a configuration file
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands to a folder
    Man {
        /// The folder for taghouse.1, taghouse-serve.1 and so on
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Print a draft definition of a source, derived from a data file. Save it, review it, then
    /// apply it
    Inspect {
        /// A CSV, JSONL or Parquet file
        file: PathBuf,
        /// The name of the source. Default: the name of the file
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Ingest data files into the lake
    Ingest(Ingest),
    /// List the sources: when rows last landed, how many, and the share that was rejected
    Sources,
    /// List the ingested files, newest first
    Files(Files),
    /// List rejected rows, newest first, each with the reason
    Rejected(Rejected),
    /// Compute all tags and crowds as of a time
    Produce(Produce),
    /// Compare the values of live tags with those of the batch as of the same instant, and explain
    /// every difference
    Parity(Parity),
    /// List the tags, or the values of one tag
    Tags {
        /// List the most frequent values of this tag
        tag: Option<String>,
    },
    /// List the crowds, or the versions of one crowd
    Crowds {
        /// List the versions of this crowd
        crowd: Option<String>,
    },
    /// Compute crowds from the values that their tags have now, without a production
    Refresh {
        /// The crowds
        #[arg(required = true)]
        crowds: Vec<String>,
        /// Also compute all crowds that are made of them
        #[arg(long)]
        dependents: bool,
    },
    /// Import a file of ids into a crowd that is defined with `import`: CSV, also packed, or .xlsx
    Import(Import),
    /// Say which version of a crowd answers, keep one, and compare two
    Versions {
        #[command(subcommand)]
        action: VersionAction,
    },
    /// Count the users who match an expression
    Count {
        /// Such as 'country == "France" && orders_30d >= 2'. @FILE reads it from a file, as text
        /// or as JSON
        expression: String,
        /// Fail if the tags in the expression were not all produced as of the same time
        #[arg(long)]
        strict_as_of: bool,
    },
    /// List the users who match an expression, page by page
    List {
        /// The expression, such as 'orders_30d >= 2'
        expression: String,
        /// Users per page, at most 10,000
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// Start after the previous page: the cursor that it ended with
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Show the most frequent values of a tag
    Top {
        /// The tag
        tag: String,
        /// Only count users who match this expression, such as 'crowd("big_spenders")'
        expression: Option<String>,
        /// Number of values, at most 10,000
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Count users by the values of two tags, as a table
    Group(Group),
    /// Show the distribution of a numeric or date tag: bins, sum, average, quantiles
    Histogram(Histogram),
    /// Count the users that expressions have in common, for each pair of them
    Overlap(Overlap),
    /// Compare the tag values of a crowd with a baseline: index (100 = same share), 95% interval
    Compare(Compare),
    /// Compare the arms of a crowd's split by a metric: means, 95% intervals, and whether users came into
    /// the arms as they should
    Effect(Effect),
    /// Show what the users of a crowd have in common, and how many others are like them
    Lookalike(Lookalike),
    /// Show a random sample of the users who match an expression
    Sample {
        /// The expression, such as 'orders_30d >= 2'
        expression: String,
        /// Number of users
        #[arg(long, default_value_t = 10)]
        size: u32,
        /// The seed of the random choice: the same seed gives the same sample
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Write the members of a crowd to a file or standard output
    Export(Export),
    /// Show whether a user is in a crowd
    Judge {
        /// The user id
        user: String,
        /// The crowd
        crowd: String,
        /// The answer must hold what was acknowledged with this position, which changes and calls
        /// return; for live crowds
        #[arg(long, value_name = "POSITION")]
        at_least: Option<u64>,
    },
    /// Explain why a user is in a crowd or is not: the rule part by part, with the values it asks
    Why {
        /// The user id
        user: String,
        /// The crowd
        crowd: String,
        /// The answer must hold what was acknowledged with this position, which changes and calls
        /// return; for live crowds
        #[arg(long, value_name = "POSITION")]
        at_least: Option<u64>,
    },
    /// Show the tag values of a user
    Profile {
        /// The user id
        user: String,
        /// Only these tags, separated by commas
        #[arg(long, value_name = "TAGS")]
        tags: Option<String>,
    },
    /// Show changes of live tags and live crowds as they happen
    Tail(Tail),
    /// Change the value of a tag for one user, effective immediately
    Change(Change),
    /// Show, link and unlink the ids of one user
    Identities {
        #[command(subcommand)]
        action: IdentityAction,
    },
    /// List the crowds that a user is in, or export all that is kept of a user
    Users {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Send the crowd of an activation to its destination
    Activate(Activate),
    /// List activations with their last deliveries, and whom destinations did not take
    Activations {
        #[command(subcommand)]
        action: Option<ActivationAction>,
    },
    /// Test a webhook, show what became of its deliveries, and send its dead letters again
    Sinks {
        #[command(subcommand)]
        action: SinkAction,
    },
    /// Delete users from all tags, crowds and the dictionary, and print the receipt
    Delete {
        /// User ids
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Refuse all future data of ids, or take it again
    Suppress {
        #[command(subcommand)]
        action: SuppressAction,
    },
    /// Show receipts of deletions, suppressions and exports of users
    Receipts {
        /// The receipt. Default: the newest
        id: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Expire users, then renumber the remaining users without gaps
    Compact {
        /// Expire the users who match this, such as 'last_seen < "2025-10-01"'
        #[arg(long, value_name = "EXPRESSION")]
        expire: Option<String>,
    },
    /// Back up the whole data folder, also while a server is running
    Backup {
        /// The folder to create, preferably on another disk. With --server: a name below the
        /// --backup-dir of that server
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Restore a backup to the data folder, which must be empty or not exist yet
    Restore {
        /// The folder of the backup
        #[arg(value_name = "DIR")]
        backup: PathBuf,
    },
    /// List, create and revoke API keys
    Keys {
        #[command(subcommand)]
        action: Option<KeyAction>,
    },
    /// List the most recent runs
    Runs,
    /// Show how far live calls and live tags have come, for each app or for the one of --app
    Status,
    /// Show the limits of the key and the app, and how much of each is used
    Limits,
    /// Show the audit trail: who did what, newest first
    Audit(Audit),
}

fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}
